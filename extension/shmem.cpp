#include "extension/pg/pg.h"

extern "C" {
#include "miscadmin.h"
#include "replication/syncrep.h"
#include "replication/walsender.h"
#include "replication/walsender_private.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "storage/spin.h"
}

#include <time.h>

#include <new>

#include "extension/pg/compat.h"
#include "extension/shmem.h"

namespace pgquorum::shmem {

namespace {

constexpr char kSegment[] = "pgquorum";

shared::Root* g_root = nullptr;

// This process's slot, or null when it has no PGPROC (the postmaster) or no memory is attached.
shared::ProcessSlot* MySlot() {
  if (g_root == nullptr || MyProc == nullptr) {
    return nullptr;
  }
  auto number = static_cast<uint32_t>(compat::MyProcNumber());
  return number < g_root->process_slots ? &g_root->processes()[number] : nullptr;
}

bool SlotHas(const shared::ProcessSlot& slot, int32_t pid, uint64_t generation) {
  return slot.pid.load(std::memory_order_acquire) == pid &&
         slot.sync_generation.load(std::memory_order_acquire) >= generation;
}

bool CheckpointerHas(shared::Root* root, uint64_t generation) {
  Latch* latch = compat::CheckpointerLatch();
  if (latch == nullptr) {
    return false;
  }
  for (uint32_t i = 0; i < root->process_slots; ++i) {
    if (&ProcGlobal->allProcs[i].procLatch == latch) {
      return SlotHas(root->processes()[i], ProcGlobal->allProcs[i].pid, generation);
    }
  }
  return false;
}

bool SomeSlotHas(shared::Root* root, int32_t pid, uint64_t generation) {
  for (uint32_t i = 0; i < root->process_slots; ++i) {
    if (SlotHas(root->processes()[i], pid, generation)) {
      return true;
    }
  }
  return false;
}

bool WalsendersHave(shared::Root* root, uint64_t generation) {
  for (int i = 0; i < max_wal_senders; ++i) {
    WalSnd* sender = &WalSndCtl->walsnds[i];
    SpinLockAcquire(&sender->mutex);
    pid_t pid = sender->pid;
    WalSndState state = sender->state;
    SpinLockRelease(&sender->mutex);
    bool decides = state == WALSNDSTATE_CATCHUP || state == WALSNDSTATE_STREAMING ||
                   state == WALSNDSTATE_STOPPING;
    if (pid != 0 && decides && !SomeSlotHas(root, pid, generation)) {
      return false;
    }
  }
  return true;
}

}  // namespace

std::size_t Size(uint32_t processes) {
  return sizeof(shared::Root) + std::size_t{processes} * sizeof(shared::ProcessSlot);
}

shared::Root* Create(uint32_t processes) {
  bool found = false;
  LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
  void* memory = ShmemInitStruct(kSegment, Size(processes), &found);
  LWLockRelease(AddinShmemInitLock);
  std::memset(memory, 0, Size(processes));
  g_root = new (memory) shared::Root;
  for (uint32_t i = 0; i < processes; ++i) {
    new (g_root->processes() + i) shared::ProcessSlot{};
  }
  g_root->magic = shared::kMagic;
  g_root->layout = shared::kLayout;
  g_root->size = sizeof(shared::Root);
  g_root->process_slots = processes;
  return g_root;
}

shared::Root* Attach() {
  if (g_root == nullptr && IsUnderPostmaster) {
    // Only the header is looked at before magic, layout and size are known to fit.
    bool found = false;
    std::size_t size = Size(compat::ProcessSlots());
    LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
    void* memory = ShmemInitStruct(kSegment, size, &found);
    LWLockRelease(AddinShmemInitLock);
    auto* root = static_cast<shared::Root*>(memory);
    if (found && root->magic == shared::kMagic && root->layout == shared::kLayout &&
        root->size == sizeof(shared::Root)) {
      g_root = root;
    }
  }
  return g_root;
}

shared::Root* Created() {
  return g_root;
}

uint64_t BootTimeNs() {
  timespec now;
  clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000ULL + static_cast<uint64_t>(now.tv_nsec);
}

void RegisterWorker() {
  ForgetPredecessorsRequests();
  shared::WorkerLink& worker = Attach()->worker;
  worker.alive_ns.store(BootTimeNs());
  worker.procno.store(compat::MyProcNumber());
  worker.pid.store(MyProcPid);
}

void UnregisterWorker() {
  shared::Root* root = Attach();
  if (root != nullptr && root->worker.pid.load() == MyProcPid) {
    CloseGate();
    SetSettling(0);
    root->worker.pid.store(0);
  }
}

void BeatWorker() {
  Attach()->worker.alive_ns.store(BootTimeNs(), std::memory_order_relaxed);
}

void OpenGate(const GateOpening& opening) {
  shared::Gate& gate = Attach()->gate;
  gate.epoch_generation.store(opening.epoch_generation);
  gate.epoch_number.store(opening.epoch_number);
  gate.rule_version.store(opening.rule_version);
  gate.required_acks.store(opening.required_acks);
  gate.lease_deadline_ns.store(opening.lease_deadline_ns);
  gate.open.store(1, std::memory_order_release);
}

void RenewLease(uint64_t lease_deadline_ns) {
  Attach()->gate.lease_deadline_ns.store(lease_deadline_ns, std::memory_order_release);
}

void AcceptLists(const std::vector<std::string>& lists) {
  shared::Gate& gate = Attach()->gate;
  PGQUORUM_CHECK(lists.size() <= std::size(gate.accepted_list_hash));
  // The values before their number: in between a process may refuse a value that goes, and keeps
  // the one it has, but never takes one that does not.
  for (std::size_t i = 0; i < lists.size(); ++i) {
    gate.accepted_list_hash[i].store(shared::ListHash(lists[i]));
  }
  gate.accepted_list_count.store(static_cast<uint32_t>(lists.size()));
}

void CloseGate(bool retryable) {
  Attach()->gate.retryable.store(retryable ? 1 : 0);
  Attach()->gate.open.store(0, std::memory_order_seq_cst);
  Attach()->gate.lease_deadline_ns.store(0, std::memory_order_seq_cst);
}

bool GateIsOpen() {
  return Attach()->gate.open.load(std::memory_order_acquire) != 0;
}

void SetAdmit(shared::Admit admit) {
  Attach()->gate.admit.store(static_cast<uint32_t>(admit), std::memory_order_release);
}

void SetSettling(uint64_t until_ns) {
  Attach()->gate.settling_until_ns.store(until_ns, std::memory_order_release);
}

void PublishNode(const shared::NodeView& view) {
  Attach()->node.Publish(view);
}

void PublishHistory(const shared::HistoryView& view) {
  Attach()->history.Publish(view);
}

void PublishSettings(const shared::SettingsView& view) {
  Attach()->settings.Publish(view);
}

void PublishRaftMetrics(const shared::RaftMetricsView& view) {
  Attach()->raft_metrics.Publish(view);
}

int64_t Waiters() {
  return Attach()->counters.waiters.load(std::memory_order_acquire);
}

bool SyncGenerationInForce(uint64_t generation, bool list_is_empty) {
  shared::Root* root = Attach();
  if (compat::SyncStandbysDefined() == list_is_empty) {
    return false;
  }
  return CheckpointerHas(root, generation) && WalsendersHave(root, generation);
}

void NoteSyncGeneration(uint64_t generation) {
  Attach();
  if (shared::ProcessSlot* slot = MySlot(); slot != nullptr) {
    // The number first: a reader that sees our pid must not meet the predecessor's number.
    slot->pid.store(0, std::memory_order_release);
    slot->sync_generation.store(generation, std::memory_order_release);
    slot->pid.store(MyProcPid, std::memory_order_release);
  }
}

namespace {

void DropMemberName(int code, Datum arg) {
  (void)code, (void)arg;
  if (shared::ProcessSlot* slot = MySlot(); slot != nullptr) {
    slot->named_member.store(0);
  }
}

}  // namespace

int32_t TakeMemberName(uint64_t raft_node_id) {
  shared::Root* root = Attach();
  shared::ProcessSlot* mine = MySlot();
  if (mine == nullptr) {
    return 0;
  }
  bool had_it = mine->named_pid.load() == MyProcPid && mine->named_member.load() == raft_node_id;
  if (!had_it) {
    before_shmem_exit(DropMemberName, 0);
    mine->named_member.store(0);
    mine->named_pid.store(MyProcPid);
    mine->named_member.store(raft_node_id);
  }
  // Told first, looked around second: of two that come together one at least sees the other.
  for (uint32_t i = 0; i < root->process_slots; ++i) {
    shared::ProcessSlot* other = &root->processes()[i];
    if (other == mine || other->named_member.load() != raft_node_id) {
      continue;
    }
    int32_t pid = other->named_pid.load();
    if (pid != 0 && ProcGlobal->allProcs[i].pid == pid) {
      if (!had_it) {
        mine->named_member.store(0);
      }
      return pid;
    }
  }
  return 0;
}

}  // namespace pgquorum::shmem
