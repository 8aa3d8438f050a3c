#include "bgworkers/consensus/stream_policy.h"

#include <algorithm>

#include "base/pure.h"

namespace pgquorum::consensus {

using failover::Lsn;
using failover::StreamError;

StreamError StreamJudge::Look(const StreamLook& look) {
  if (!look.upstream_set) {
    *this = StreamJudge();
    return StreamError::kNone;
  }
  bool barren = Barren(look);  // counts, so it is asked at every look
  if (Recycled(look)) {
    return StreamError::kWalRecycled;
  }
  return barren ? StreamError::kDiverged : StreamError::kNone;
}

bool StreamJudge::Recycled(const StreamLook& look) {
  // Before the first request of this boot local WAL is being replayed: what is needed comes later.
  Lsn needed = std::max({look.asked_from, look.flushed, look.replayed});
  if (!look.asked_from || !look.upstream_floor || look.segment_size == 0 ||
      needed.value() - needed.value() % look.segment_size >= look.upstream_floor.value()) {
    below_since_ = 0;
    return false;
  }
  if (below_since_ == 0 || needed != needed_) {
    below_since_ = look.now;
    needed_ = needed;
  }
  return look.now - below_since_ >= kRecycledPatience;
}

bool StreamJudge::Barren(const StreamLook& look) {
  if (look.replayed != replayed_ || barren_since_ == 0) {
    replayed_ = look.replayed;
    barren_ = 0;
    barren_since_ = look.now;
  }
  if (look.receiver_pid != 0 && look.receiver_pid != receiver_pid_) {
    receiver_pid_ = look.receiver_pid;
    // The one before has brought WAL behind the replay end, and replay could not go on with it.
    barren_ += look.replay_awaits_wal && look.flushed > look.replayed ? 1 : 0;
  }
  return barren_ >= kBarrenReceivers && look.now - barren_since_ >= kBarrenTime;
}

Admission JudgeAdmission(const failover::ClusterState& cluster, const failover::History& own,
                         const failover::NodeReport* report) {
  if (report == nullptr || !report->history.timeline) {
    return Admission::kUnknown;
  }
  if (cluster.MustPledge(report->node) || report->pledge_epoch > cluster.appointment().epoch) {
    return Admission::kPledged;
  }
  const failover::History& theirs = report->history;
  // What it has of the primary's own timeline it has from the primary, whose facts may be older.
  bool fits = own.Compatible(theirs) &&
              (theirs.timeline == own.timeline || own.Contains({theirs.timeline, theirs.end}));
  return fits ? Admission::kFits : Admission::kDiverged;
}

}  // namespace pgquorum::consensus
