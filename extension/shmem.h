// Access to pgquorum's shared memory (extension/shared_state.h).
//
// Both libraries link this file's object code; each finds the memory by ShmemInitStruct under the
// same name. They share nothing else: no pointer, no exported C++ function.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "extension/shared_state.h"

namespace pgquorum::pg {
struct ErrorText;
}

namespace pgquorum::shmem {

// Bytes to request in shmem_request / _PG_init. Needs MaxBackends, or its upper bound, as
// `processes`.
std::size_t Size(uint32_t processes);

// The postmaster, in shmem_startup_hook: creates the memory with everything zero and the gate
// closed. Call with no child alive.
shared::Root* Create(uint32_t processes);

// Any other process: the memory, attached on first use. Null when the library of the postmaster has
// another layout, or no memory was made (single-user mode, or the library was not preloaded).
shared::Root* Attach();

// The memory if this process has it already; never attaches, so it is safe anywhere.
shared::Root* Created();

// CLOCK_BOOTTIME in nanoseconds: goes on while the machine sleeps, never set back.
uint64_t BootTimeNs();

// ---- the consensus worker's side -------------------------------------------------------------

// Registers the calling process's latch: backends set it when they submit a request. At start.
void RegisterWorker();
// From before_shmem_exit: closes the gate and takes the registration back.
void UnregisterWorker();
// Every turn of the main loop.
void BeatWorker();

// Opens the gate for `epoch` until the lease deadline, or moves the deadline of the open gate.
struct GateOpening {
  uint64_t epoch_generation;
  uint64_t epoch_number;
  uint64_t rule_version;
  uint64_t lease_deadline_ns;
  uint32_t required_acks;
};
void OpenGate(const GateOpening& opening);
void RenewLease(uint64_t lease_deadline_ns);
// `retryable`: for a moment only (switchover), so clients get 40001 instead of 25006.
void CloseGate(bool retryable = false);
bool GateIsOpen();
void SetAdmit(shared::Admit admit);
// Until when logins wait for the gate to open; 0: no login waits.
void SetSettling(uint64_t until_ns);

// The values of synchronous_standby_names that the rule allows, one or two (during a change); none:
// any value goes. Call it before the file is written. Every process refuses other values when it
// reads its configuration, and ALTER SYSTEM fails.
void AcceptLists(const std::vector<std::string>& lists);

void PublishNode(const shared::NodeView& view);
void PublishHistory(const shared::HistoryView& view);
void PublishSettings(const shared::SettingsView& view);
void PublishRaftMetrics(const shared::RaftMetricsView& view);

// Backends between pre-commit and the end of their wait for the quorum.
int64_t Waiters();

// True when every live process that decides about acknowledgements, the checkpointer and the
// streaming walsenders, has `generation` of pgquorum.sync_generation (or a later one) in force, and
// backends wait for the quorum exactly when `list_is_empty` is false. Walsenders that start up or
// send a base backup read the configuration again before they stream, so they do not count.
bool SyncGenerationInForce(uint64_t generation, bool list_is_empty);

// Ends what a predecessor of this worker had taken and not answered. RegisterWorker() calls it.
void ForgetPredecessorsRequests();

// The next submitted request, or null. The slot stays the worker's until Answer().
shared::RequestSlot* TakeRequest();
// Answers and wakes the backend; frees the slot when nobody waits any more.
void Answer(shared::RequestSlot* slot, const Status& status, std::string_view text = {},
            int64_t number = 0);
// Whether somebody still waits for the answer.
bool IsAbandoned(const shared::RequestSlot* slot);

// ---- the backends' side ----------------------------------------------------------------------

// Submits, waits on the latch, and copies the answer's text (cut to `size`). False: `error` is set,
// by the worker, or because the worker is absent, the queue is full or the time is over (08007: the
// outcome is then open). Raises on cancel and termination, after giving the slot back.
bool Call(const shared::RequestArguments& arguments, char* text, std::size_t size,
          pg::ErrorText* error);

// Writes this process's slot; the assign hook of pgquorum.sync_generation.
void NoteSyncGeneration(uint64_t generation);

// Takes the name of a member for this walsender, until it ends. Returns the process id of another
// live one that has it, and then takes nothing; 0: taken. Of two that try at the same time none may
// succeed, and never both do.
int32_t TakeMemberName(uint64_t raft_node_id);

}  // namespace pgquorum::shmem
