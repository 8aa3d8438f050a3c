// The coordinator's part of reconfiguration: scan the dead redo, tell the masters, unfreeze,
// replay, and retire the dead redo. The coordinator is the lowest member; if it dies, the next
// epoch's begins anew, and nothing is lost: a replayed page is a dirty frame of the dead
// coordinator, and the redo that made it is still there.
//
// Retiring is a later step than replaying. A dead thread's record is garbage only when the disk has
// the version that it made: a survivor's current copy made replay unnecessary, but that copy dies
// with its survivor.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "cachefusion/grd/ring.h"
#include "cachefusion/membership.h"
#include "cachefusion/output.h"
#include "cachefusion/types.h"

namespace pgquorum::fusion {

class Recovery {
 public:
  static constexpr std::size_t kReplaysAtOnce = 4;
  static constexpr std::size_t kWritesAtOnce = 16;
  static constexpr std::size_t kMarksPerMessage = 4096;

  enum class Phase : uint8_t { kIdle, kScanning, kRebuilding, kReplaying, kRetiring };

  Recovery(Outbox& out, const BucketMap& map) : out_(out), map_(map) {}

  // A new epoch; the former one's work is void.
  void Begin(const Membership& membership);
  void Scanned(Incarnation thread, uint64_t id, const std::vector<PageMark>& marks);
  void OnReady(const Message& message);
  // This instance has been unfrozen.
  void Unfrozen();
  // The page is current again: replayed here, or a survivor has it.
  void PageDone(PageId page);
  // Of the dead redo; known from the last scan on.
  const std::map<PageId, Psn>& marks() const { return marks_; }
  void OnOnDisk(const Message& message);

  Phase phase() const { return phase_; }
  std::size_t pages_left() const { return todo_.size() + underway_.size(); }

 private:
  void SendMarks();
  void Next();
  void Retire();

  Outbox& out_;
  const BucketMap& map_;
  Membership membership_;
  Phase phase_ = Phase::kIdle;
  std::set<Incarnation> to_scan_;
  InstanceSet not_ready_;
  std::map<PageId, Psn> marks_;
  std::map<PageId, Psn> todo_;
  std::map<PageId, Psn> underway_;
};

}  // namespace pgquorum::fusion

#include "base/pure.h"
