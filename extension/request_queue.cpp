// Requests from backends to the consensus worker; the slots' life is in shared_state.h.
#include "extension/pg/pg.h"

extern "C" {
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"
}

#include "extension/pg/compat.h"
#include "extension/pg/guard.h"
#include "extension/pg/raise.h"
#include "extension/shmem.h"
#include "sqlstates.h"

namespace pgquorum::shmem {

namespace {

using shared::RequestSlot;
using shared::SlotState;

bool Move(RequestSlot* slot, SlotState from, SlotState to) {
  auto expected = static_cast<uint32_t>(from);
  return slot->state.compare_exchange_strong(expected, static_cast<uint32_t>(to),
                                             std::memory_order_acq_rel);
}

SlotState StateOf(const RequestSlot* slot) {
  return static_cast<SlotState>(slot->state.load(std::memory_order_acquire));
}

void WakeProcess(int32_t procno) {
  if (procno >= 0 && static_cast<uint32_t>(procno) < compat::ProcessSlots()) {
    SetLatch(&ProcGlobal->allProcs[procno].procLatch);
  }
}

RequestSlot* Claim(shared::Root* root) {
  for (RequestSlot& slot : root->requests.slots) {
    if (Move(&slot, SlotState::kFree, SlotState::kClaimed)) {
      return &slot;
    }
  }
  return nullptr;
}

void Submit(shared::Root* root, RequestSlot* slot, const shared::RequestArguments& arguments) {
  slot->arguments = arguments;
  slot->answer = {};
  slot->backend_procno.store(compat::MyProcNumber());
  slot->id.store(root->requests.next_id.fetch_add(1) + 1);
  slot->state.store(static_cast<uint32_t>(SlotState::kSubmitted), std::memory_order_release);
  WakeProcess(root->worker.procno.load());
}

// The backend stops waiting. Whoever holds the slot in the end frees it.
void GiveBack(RequestSlot* slot) {
  if (Move(slot, SlotState::kSubmitted, SlotState::kFree) ||
      Move(slot, SlotState::kTaken, SlotState::kAbandoned)) {
    return;
  }
  Move(slot, SlotState::kAnswered, SlotState::kFree);
}

enum class Wait { kAnswered, kTimeout, kWorkerGone };

// A session on the old primary cannot outlive the restart that a switchover ends in. That is no
// failure, so it is said in other words than a shutdown.
void SayGoodbye(const shared::RequestArguments& arguments) {
  bool failover =
      arguments.verb == shared::Verb::kFailover || arguments.verb == shared::Verb::kForceFailover;
  if (!ProcDiePending || !failover) {
    return;
  }
  ProcDiePending = false;
  ereport(FATAL,
          (errcode(ERRCODE_ADMIN_SHUTDOWN),
           errmsg("the failover is under way: this server restarts and becomes a standby"),
           errdetail("This session was on the old primary and ends with it; the failover goes on."),
           errhint("SELECT * FROM system.failover_history LIMIT 1, on any node, shows its outcome. "
                   "Called on another node, the function returns it.")));
}

// No C++ object with a destructor may be alive here: CHECK_FOR_INTERRUPTS raises.
Wait WaitForAnswer(shared::Root* root, RequestSlot* slot, int32_t worker_pid, uint32_t timeout_ms) {
  TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), timeout_ms);
  for (;;) {
    if (StateOf(slot) == SlotState::kAnswered) {
      return Wait::kAnswered;
    }
    if (root->worker.pid.load() != worker_pid) {
      return Wait::kWorkerGone;
    }
    long left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);
    if (left <= 0) {
      return Wait::kTimeout;
    }
    // The worker's end does not wake us: look at least once a second.
    WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, Min(left, 1000L),
              PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
    SayGoodbye(slot->arguments);
    CHECK_FOR_INTERRUPTS();
  }
}

// Waits and copies the answer; the slot is given back whatever happens.
Wait WaitAndRelease(shared::Root* root, RequestSlot* slot, int32_t worker_pid, uint32_t timeout_ms,
                    shared::RequestAnswer* answer) {
  Wait outcome = Wait::kTimeout;
  pg::Finally(
      [&] {
        outcome = WaitForAnswer(root, slot, worker_pid, timeout_ms);
        if (outcome == Wait::kAnswered) {
          *answer = slot->answer;
        }
      },
      [&] { GiveBack(slot); });
  return outcome;
}

void SetError(pg::ErrorText* error, const char* sqlstate, const char* message,
              const char* detail = "", const char* hint = "") {
  strlcpy(error->sqlstate, sqlstate, sizeof(error->sqlstate));
  strlcpy(error->message, message, sizeof(error->message));
  strlcpy(error->detail, detail, sizeof(error->detail));
  strlcpy(error->hint, hint, sizeof(error->hint));
}

constexpr char kMayStillHappen[] = "The request may still take effect.";

// The slot of a submitted request, or null with the error.
RequestSlot* Start(shared::Root* root, const shared::RequestArguments& arguments,
                   pg::ErrorText* error) {
  if (root == nullptr || root->boot.mode == shared::Mode::kStandalone) {
    SetError(error, sqlstate::kObjectNotInPrerequisiteState,
             "this server is not a member of a cluster", "",
             "Create a cluster with \"pgquorum node init\" or join one with \"pgquorum cluster "
             "join\".");
    return nullptr;
  }
  if (root->boot.mode == shared::Mode::kClosed) {
    SetError(error, sqlstate::kObjectNotInPrerequisiteState, "this node is closed",
             root->boot.closed_reason.data);
    return nullptr;
  }
  if (root->worker.pid.load() == 0) {
    SetError(error, sqlstate::kConsensusUnavailable, "the consensus worker is not running", "",
             "It is restarted by itself; the server log says why it stopped.");
    return nullptr;
  }
  RequestSlot* slot = Claim(root);
  if (slot == nullptr) {
    SetError(error, sqlstate::kConfigurationLimitExceeded, "too many cluster requests are waiting");
    return nullptr;
  }
  Submit(root, slot, arguments);
  return slot;
}

}  // namespace

bool Call(const shared::RequestArguments& arguments, char* text, std::size_t size,
          pg::ErrorText* error) {
  shared::Root* root = Attach();
  int32_t worker_pid = root == nullptr ? 0 : root->worker.pid.load();
  RequestSlot* slot = Start(root, arguments, error);
  if (slot == nullptr) {
    return false;
  }
  static shared::RequestAnswer answer;  // too large for the stack
  switch (WaitAndRelease(root, slot, worker_pid, arguments.timeout_ms, &answer)) {
    case Wait::kAnswered:
      break;
    case Wait::kTimeout:
      SetError(error, sqlstate::kTransactionResolutionUnknown, "no answer from the cluster in time",
               kMayStillHappen);
      return false;
    case Wait::kWorkerGone:
      SetError(error, sqlstate::kTransactionResolutionUnknown,
               "the consensus worker stopped while it handled the request", kMayStillHappen);
      return false;
  }
  if (strncmp(answer.sqlstate, "00000", 5) != 0) {
    SetError(error, answer.sqlstate, answer.message.data, answer.detail.data, answer.hint.data);
    return false;
  }
  strlcpy(text, answer.text.data, size);
  return true;
}

void ForgetPredecessorsRequests() {
  for (RequestSlot& slot : Attach()->requests.slots) {
    Move(&slot, SlotState::kAbandoned, SlotState::kFree);
    if (StateOf(&slot) == SlotState::kTaken) {
      Answer(&slot, Status::Error(sqlstate::kTransactionResolutionUnknown,
                                  "the consensus worker stopped while it handled the request")
                        .WithDetail("The request may still take effect."));
    }
  }
}

RequestSlot* TakeRequest() {
  RequestSlot* oldest = nullptr;
  for (RequestSlot& slot : Attach()->requests.slots) {
    if (StateOf(&slot) == SlotState::kSubmitted &&
        (oldest == nullptr || slot.id.load() < oldest->id.load())) {
      oldest = &slot;
    }
  }
  // A backend may take its request back just now; the next turn finds the others.
  return oldest != nullptr && Move(oldest, SlotState::kSubmitted, SlotState::kTaken) ? oldest
                                                                                     : nullptr;
}

void Answer(RequestSlot* slot, const Status& status, std::string_view text, int64_t number) {
  slot->answer = {};
  std::memcpy(slot->answer.sqlstate, status.ok() ? "00000" : status.sqlstate().c_str(), 5);
  slot->answer.message.Set(status.message());
  slot->answer.detail.Set(status.detail());
  slot->answer.hint.Set(status.hint());
  slot->answer.text.Set(text);
  slot->answer.number = number;
  int32_t procno = slot->backend_procno.load();
  if (Move(slot, SlotState::kTaken, SlotState::kAnswered)) {
    WakeProcess(procno);
  } else {
    Move(slot, SlotState::kAbandoned, SlotState::kFree);
  }
}

bool IsAbandoned(const RequestSlot* slot) {
  return StateOf(slot) == SlotState::kAbandoned;
}

}  // namespace pgquorum::shmem
