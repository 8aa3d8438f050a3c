// Which position goes into the mark, and when; and what the mark says about the end of replay.
// Pure. The mark itself: extension/identity/mark.h.
#pragma once

#include "bgworkers/failover/ids.h"

namespace pgquorum::consensus {

// A position that replay reaches again after a crash of any kind, as long as flushed bytes stay:
// the end of a record, and everything before it on disk.
//
// - A standby replays only what its receiver has flushed, so the end of replay is one.
// - A primary's flush position is none: it can lie inside of a record, which a crash cuts off. The
//   insert position always lies between two records; it is taken once everything before it is
//   flushed.
class SurvivingPosition {
 public:
  // What is certain now; without a value when nothing is. `history` of PostgresFacts; insert and
  // flush are zero in recovery.
  failover::Position Look(const failover::History& history, failover::Lsn insert,
                          failover::Lsn flush);

 private:
  failover::Position awaited_;  // between two records, not known to be flushed yet
  failover::Position flushed_;
};

// The mark is written when it is this much behind and the position has moved: how stale it can be,
// and how often a node's disk pays for it. Only a snapshot of a *running* server can be younger.
inline constexpr failover::TimeNs kMarkInterval = 5000 * failover::kMs;

// `reached` is where replay ended before anything was received in this boot.
bool EndsBelowMark(const failover::History& reached, failover::Position mark);

}  // namespace pgquorum::consensus

#include "base/pure.h"
