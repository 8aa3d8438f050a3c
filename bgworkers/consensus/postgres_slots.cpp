#include "bgworkers/consensus/postgres_slots.h"

#include <algorithm>
#include <utility>

#include "bgworkers/consensus/postgres_guard.h"
#include "sqlstates.h"

extern "C" {
#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "miscadmin.h"
#include "replication/slot.h"
#include "storage/lwlock.h"
#include "storage/spin.h"
}

namespace pgquorum::consensus {

using failover::Lsn;

namespace {

constexpr std::string_view kPrefix = "pgquorum_";

struct SlotState {
  bool exists = false;
  bool physical = false;
  pid_t active_pid = 0;
  XLogRecPtr restart = InvalidXLogRecPtr;
  bool invalidated = false;
};

// Caller holds ReplicationSlotControlLock, or the slot.
SlotState StateOf(ReplicationSlot* slot) {
  SlotState state;
  state.exists = true;
  SpinLockAcquire(&slot->mutex);
  state.physical = SlotIsPhysical(slot);
  state.active_pid = slot->active_pid;
  state.restart = slot->data.restart_lsn;
  state.invalidated = XLogRecPtrIsInvalid(slot->data.restart_lsn) &&
                      !XLogRecPtrIsInvalid(slot->data.invalidated_at);
  SpinLockRelease(&slot->mutex);
  return state;
}

SlotState Find(const std::string& name) {
  SlotState state;
  LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
  ReplicationSlot* slot = SearchNamedReplicationSlot(name.c_str(), false);
  if (slot != nullptr) {
    state = StateOf(slot);
  }
  LWLockRelease(ReplicationSlotControlLock);
  return state;
}

void Remember(Status* first, Status status) {
  if (first->ok()) {
    *first = std::move(status);
  }
}

}  // namespace

std::string SlotName(std::string_view node) {
  return std::string(kPrefix) + std::string(node);
}

Status SlotsUsable() {
  // The startup process restores the slots before it sets the first replay position (xlog.c,
  // StartupXLOG).
  if (RecoveryInProgress() && GetXLogReplayRecPtr(nullptr) == InvalidXLogRecPtr) {
    return Status::Error(sqlstate::kCannotConnectNow, "replication slots are not restored yet");
  }
  return Status::Ok();
}

Result<std::vector<SlotFact>> ListSlots() {
  if (Status status = SlotsUsable(); !status.ok()) {
    return status;
  }
  std::vector<SlotFact> slots;
  slots.reserve(static_cast<std::size_t>(max_replication_slots));
  LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
  for (int i = 0; i < max_replication_slots; ++i) {
    ReplicationSlot* slot = &ReplicationSlotCtl->replication_slots[i];
    if (!slot->in_use) {
      continue;
    }
    const SlotState state = StateOf(slot);
    slots.push_back({NameStr(slot->data.name), state.physical, state.active_pid, Lsn(state.restart),
                     state.invalidated});
  }
  LWLockRelease(ReplicationSlotControlLock);
  return slots;
}

Status EnsureSlot(const std::string& name) {
  if (Status status = SlotsUsable(); !status.ok()) {
    return status;
  }
  const SlotState state = Find(name);
  if (state.exists && !state.physical) {
    return Status::Error(sqlstate::kObjectNotInPrerequisiteState,
                         "replication slot \"" + name + "\" is logical");
  }
  if (state.exists &&
      (state.restart != InvalidXLogRecPtr || state.active_pid != 0 || state.invalidated)) {
    return Status::Ok();
  }
  EnterProcArray();
  const char* c_name = name.c_str();
  const bool create = !state.exists;
  return Guarded("could not create the replication slot", [&] {
    if (create) {
      ReplicationSlotCreate(c_name, false, RS_PERSISTENT, false);
    } else {
      ReplicationSlotAcquire(c_name, true);  // left without WAL by an error in between
    }
    ReplicationSlotReserveWal();
    ReplicationSlotMarkDirty();
    ReplicationSlotSave();
    ReplicationSlotRelease();
  });
}

Status DropSlot(const std::string& name) {
  if (Status status = SlotsUsable(); !status.ok()) {
    return status;
  }
  if (!Find(name).exists) {
    return Status::Ok();
  }
  EnterProcArray();
  const char* c_name = name.c_str();
  return Guarded("could not drop the replication slot", [&] { ReplicationSlotDrop(c_name, true); });
}

Result<bool> AdvanceSlot(const std::string& name, Lsn to, Lsn limit) {
  if (Status status = SlotsUsable(); !status.ok()) {
    return status;
  }
  const XLogRecPtr target = std::min(to, limit).value();
  const SlotState state = Find(name);
  if (!state.exists || !state.physical || state.active_pid != 0 ||
      state.restart == InvalidXLogRecPtr || state.restart >= target) {
    return false;
  }
  EnterProcArray();
  const char* c_name = name.c_str();
  bool moved = false;
  // What pg_replication_slot_advance() does for a physical slot (slotfuncs.c).
  Status status = Guarded("could not advance the replication slot", [&] {
    ReplicationSlotAcquire(c_name, true);
    // Between the look above and now the slot may have been invalidated or moved.
    if (MyReplicationSlot->data.restart_lsn != InvalidXLogRecPtr &&
        MyReplicationSlot->data.restart_lsn < target) {
      SpinLockAcquire(&MyReplicationSlot->mutex);
      MyReplicationSlot->data.restart_lsn = target;
      SpinLockRelease(&MyReplicationSlot->mutex);
      ReplicationSlotMarkDirty();
      ReplicationSlotsComputeRequiredLSN();
      moved = true;
    }
    ReplicationSlotRelease();
  });
  if (status.sqlstate() == "55006") {  // object_in_use: a walsender came first, and now owns it
    return false;
  }
  if (!status.ok()) {
    return status;
  }
  return moved;
}

namespace {

Status ReconcileOne(const std::string& name, Lsn flushed, const SlotPlan& plan) {
  const SlotState state = Find(name);
  if (state.invalidated && state.active_pid == 0) {
    // Keeps nothing and never will: the member must be cloned again, and needs a fresh slot for
    // that.
    if (Status status = DropSlot(name); !status.ok()) {
      return status;
    }
  }
  if (Status status = EnsureSlot(name); !status.ok()) {
    return status;
  }
  const uint64_t end = plan.own_end.value();
  if (plan.retain_bytes_max != 0 && end > plan.retain_bytes_max) {
    flushed = std::max(flushed, Lsn(end - plan.retain_bytes_max));
  }
  if (!flushed) {
    return Status::Ok();
  }
  return AdvanceSlot(name, flushed, plan.own_end).status();
}

}  // namespace

Status ReconcileSlots(const SlotPlan& plan) {
  Result<std::vector<SlotFact>> slots = ListSlots();
  if (!slots.ok()) {
    return slots.status();
  }
  Status first;
  for (const SlotFact& slot : slots.value()) {
    if (!slot.physical || slot.active_pid != 0 || !slot.name.starts_with(kPrefix) ||
        slot.name == RewindRetention::kSlot) {
      continue;
    }
    const std::string node = slot.name.substr(kPrefix.size());
    if (node == plan.self || plan.members.find(node) == plan.members.end()) {
      Remember(&first, DropSlot(slot.name));
    }
  }
  for (const auto& [node, flushed] : plan.members) {
    if (node != plan.self) {
      Remember(&first, ReconcileOne(SlotName(node), flushed, plan));
    }
  }
  return first;
}

Status RewindRetention::Update(Lsn redo, Lsn own_end) {
  if (!redo || redo == latest_) {
    return Status::Ok();
  }
  Status status = SlotsUsable();
  if (status.ok() && Find(kSlot).invalidated) {
    status = DropSlot(kSlot);  // max_slot_wal_keep_size was exceeded; begin anew
  }
  if (status.ok()) {
    status = EnsureSlot(kSlot);
  }
  if (status.ok() && latest_) {
    // `latest_` is now the one before. After a start of the worker it is not known, and the slot
    // waits.
    status = AdvanceSlot(kSlot, latest_, own_end).status();
  }
  if (status.ok()) {
    latest_ = redo;
  }
  return status;
}

}  // namespace pgquorum::consensus
