// Judgements about streaming between two members. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "bgworkers/failover/cluster_state.h"
#include "bgworkers/failover/facts.h"
#include "bgworkers/failover/report.h"

namespace pgquorum::consensus {

// ---- the standby: will its upstream ever stream to it? ----------------------------------------

// What is known at one look. The server's own error message is of no use: it reaches the standby as
// text in the language of the primary.
struct StreamLook {
  failover::TimeNs now = 0;
  bool upstream_set = false;     // an upstream is in force; all below is about it
  uint32_t segment_size = 0;     // bytes
  failover::Lsn upstream_floor;  // the oldest WAL that it can send; zero: not known
  failover::Lsn asked_from;      // where streaming was asked to begin in this boot; zero: never yet
  failover::Lsn flushed;         // what receivers of this boot brought; zero: nothing yet
  failover::Lsn replayed;
  int32_t receiver_pid = 0;
  // Nothing but missing WAL keeps replay from going on: no pause, no delay, no conflict with a
  // query.
  bool replay_awaits_wal = false;
};

// Looks on until it is sure.
//
// WAL recycled: what the standby needs next lies below the oldest that the upstream has, and
// nothing arrives. (An upstream that has just removed a segment may still be sending it.)
//
// Diverged, though the histories agree: receiver after receiver brings WAL that continues nothing.
// PostgreSQL ends the receiver at an invalid record and asks for the same WAL again, for ever.
class StreamJudge {
 public:
  failover::StreamError Look(const StreamLook& look);

  // How long WAL below the upstream's floor may stay away.
  static constexpr failover::TimeNs kRecycledPatience = 1000 * failover::kMs;
  // Receivers in vain, over at least this time.
  static constexpr int kBarrenReceivers = 10;
  static constexpr failover::TimeNs kBarrenTime = 3000 * failover::kMs;

 private:
  bool Recycled(const StreamLook& look);
  bool Barren(const StreamLook& look);

  failover::Lsn needed_;
  failover::TimeNs below_since_ = 0;  // 0: not below the floor
  int32_t receiver_pid_ = 0;
  failover::Lsn replayed_;
  int barren_ = 0;
  failover::TimeNs barren_since_ = 0;
};

// ---- the primary: may a member stream from it? -------------------------------------------------

enum class Admission : uint8_t {
  kUnknown = 0,  // it has not reported yet: the timeline in its name speaks for it
  kFits = 1,
  kPledged = 2,   // promised to take WAL from a later epoch only
  kDiverged = 3,  // has WAL that this node has not
};

// `own` is the primary's history; `report` the member's newest, or null.
Admission JudgeAdmission(const failover::ClusterState& cluster, const failover::History& own,
                         const failover::NodeReport* report);

}  // namespace pgquorum::consensus

#include "base/pure.h"
