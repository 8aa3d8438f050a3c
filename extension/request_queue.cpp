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
    CHECK_FOR_INTERRUPTS();
  }
}

// Waits and copies the answer; the slot is given back whatever happens.
Wait WaitAndRelease(shared::Root* root, RequestSlot* slot, int32_t worker_pid, uint32_t timeout_ms,
                    shared::RequestAnswer* answer) {
  volatile Wait outcome = Wait::kTimeout;
  PG_TRY();
  {
    outcome = WaitForAnswer(root, slot, worker_pid, timeout_ms);
    if (outcome == Wait::kAnswered) {
      *answer = slot->answer;
    }
  }
  PG_FINALLY();
  { GiveBack(slot); }
  PG_END_TRY();
  return outcome;
}

Status StatusOf(const shared::RequestAnswer& answer) {
  if (std::string_view(answer.sqlstate, 5) == "00000") {
    return Status::Ok();
  }
  return Status::Error(std::string_view(answer.sqlstate, 5), std::string(answer.message.view()))
      .WithDetail(std::string(answer.detail.view()))
      .WithHint(std::string(answer.hint.view()));
}

}  // namespace

Status Call(const shared::RequestArguments& arguments, std::string* text, int64_t* number) {
  shared::Root* root = Attach();
  if (root == nullptr || root->boot.mode != shared::Mode::kMember) {
    return Status::Error(sqlstate::kObjectNotInPrerequisiteState,
                         "this server is not a member of a cluster")
        .WithHint(
            "Create a cluster with \"pgquorum node init\" or join one with "
            "\"pgquorum cluster join\".");
  }
  int32_t worker_pid = root->worker.pid.load();
  if (worker_pid == 0) {
    return Status::Error(sqlstate::kConsensusUnavailable, "the consensus worker is not running")
        .WithHint("It is restarted by itself; the server log says why it stopped.");
  }
  RequestSlot* slot = Claim(root);
  if (slot == nullptr) {
    return Status::Error(sqlstate::kConfigurationLimitExceeded,
                         "too many cluster requests are waiting");
  }
  Submit(root, slot, arguments);
  // Static because it is large, and because an error that is raised must find nothing to destroy.
  static shared::RequestAnswer answer;
  switch (WaitAndRelease(root, slot, worker_pid, arguments.timeout_ms, &answer)) {
    case Wait::kAnswered:
      break;
    case Wait::kTimeout:
      return Status::Error(sqlstate::kTransactionResolutionUnknown,
                           "no answer from the cluster in time")
          .WithDetail("The request may still take effect.");
    case Wait::kWorkerGone:
      return Status::Error(sqlstate::kTransactionResolutionUnknown,
                           "the consensus worker stopped while it handled the request")
          .WithDetail("The request may still take effect.");
  }
  if (text != nullptr) {
    *text = answer.text.view();
  }
  if (number != nullptr) {
    *number = answer.number;
  }
  return StatusOf(answer);
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
