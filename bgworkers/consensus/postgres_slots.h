// Physical replication slots, one for each member, on every node: whoever becomes primary already
// retains what the others need.
//
// On the primary a member's walsender owns and advances its slot. On a standby nobody does, so the
// worker advances the slots from the flush positions that members report.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "bgworkers/failover/ids.h"

namespace pgquorum::consensus {

struct SlotFact {
  std::string name;
  bool physical = true;
  int32_t active_pid = 0;    // 0: nobody uses it
  failover::Lsn restart;     // WAL from here on is kept; zero: reserves nothing
  bool invalidated = false;  // exceeded max_slot_wal_keep_size; the member needs a re-clone
};

// `pgquorum_<node>`; node names are valid slot name parts by their grammar.
std::string SlotName(std::string_view node);

// All slots; empty before the server has restored them from disk.
Result<std::vector<SlotFact>> ListSlots();

// What every operation below needs: 57P03 until the startup process has restored the slots (a slot
// made earlier would be made twice).
Status SlotsUsable();

// Creates the slot and reserves WAL from the last checkpoint or restart point on. Existing and
// physical is fine; existing and logical is 55000. 53400 when max_replication_slots are in use.
Status EnsureSlot(const std::string& name);

// Absent is fine. 55006 when somebody uses it: end that walsender first.
Status DropSlot(const std::string& name);

// Moves the slot's start forward to `to` (never backwards, never beyond `limit`, the end of the own
// WAL), if nobody uses it. Not written to disk at once: after a crash the slot keeps a little more
// than needed. False when it did not move.
Result<bool> AdvanceSlot(const std::string& name, failover::Lsn to, failover::Lsn limit);

// Brings the slots in line with the membership: creates missing ones, drops those with our prefix
// that are not wanted and not in use, replaces invalidated ones that nobody uses, and advances the
// others to `flushed` where known. `self` is never created. Returns the first error but tries all.
struct SlotPlan {
  std::string self;
  // node name -> flushed end it reported; zero: not known, the slot stays where it is.
  std::map<std::string, failover::Lsn> members;
  failover::Lsn own_end;  // end of the own WAL: no slot goes beyond it
  // How much WAL an unused slot may hold back, bytes; a member that stays away longer needs a
  // re-clone. 0: only the server's max_slot_wal_keep_size bounds it.
  uint64_t retain_bytes_max = 0;
};
Status ReconcileSlots(const SlotPlan& plan);

// Keeps the WAL that a later pg_rewind of *this* node needs: back to the last checkpoint before the
// point where it and its successor part. Without it that WAL is gone as a rule: the first
// checkpoint after a crash, which pg_rewind itself provokes, removes all before itself (measured:
// "could not find previous WAL record"). A slot of our own holds it, at the checkpoint before the
// latest one, since the latest may lie behind the parting point. The price is one checkpoint
// distance of WAL.
class RewindRetention {
 public:
  // Call with fresh facts, every second or so.
  //   redo: of the last checkpoint or restart point (ControlFact::checkpoint_redo)
  //   own_end: end of the own WAL
  Status Update(failover::Lsn redo, failover::Lsn own_end);

  // Two underscores: no member's name can make this.
  static constexpr char kSlot[] = "pgquorum__rewind";

 private:
  failover::Lsn latest_;
};

}  // namespace pgquorum::consensus
