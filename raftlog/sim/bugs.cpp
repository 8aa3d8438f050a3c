#include "raftlog/sim/bugs.h"

#include "raftlog/bug.h"

#include "base/sim/defects.h"

#include "base/pure.h"

namespace pgquorum::raft {
namespace {
Bug enabled = Bug::kNone;
}

#ifdef PGQUORUM_RAFT_BUGS
bool BugEnabled(Bug bug) {
  return bug == enabled;
}
#endif

namespace sim {
namespace {

using CoreDefect = pgquorum::sim::CoreDefect<Bug>;

#ifdef PGQUORUM_RAFT_BUGS
constexpr CoreDefect kCore[] = {
    {"commit-old-term-by-counting", Bug::kCommitOldTermByCounting},
    {"vote-twice", Bug::kVoteTwice},
    {"vote-for-stale-log", Bug::kVoteForStaleLog},
    {"truncate-on-stale-append", Bug::kTruncateOnStaleAppend},
    {"config-before-own-commit", Bug::kConfigBeforeOwnCommit},
    {"joint-counts-incoming-only", Bug::kJointCountsIncomingOnly},
    {"config-kept-on-truncate", Bug::kConfigKeptOnTruncate},
    {"read-before-own-commit", Bug::kReadBeforeOwnCommit},
    {"read-without-round", Bug::kReadWithoutRound},
    {"read-ids-reused", Bug::kReadIdsReused},
    {"ack-without-mark", Bug::kAckWithoutMark},
    {"vote-despite-lease", Bug::kVoteDespiteLease},
    {"lease-after-timeout-now", Bug::kLeaseAfterTimeoutNow},
    {"heartbeat-commits-unmatched", Bug::kHeartbeatCommitsUnmatched},
    {"append-commits-unmatched", Bug::kAppendCommitsUnmatched},
    {"elected-by-half", Bug::kElectedByHalf},
    {"restore-before-durable", Bug::kRestoreBeforeDurable},
    {"removed-leader-silent", Bug::kRemovedLeaderSilent},
    {"uncommitted-limit-ignored", Bug::kUncommittedLimitIgnored},
    {"apply-uncommitted", Bug::kApplyUncommitted},
    {"no-check-quorum", Bug::kNoCheckQuorum},
    {"session-runs-twice", Bug::kSessionRunsTwice},
    {"forward-runs-twice", Bug::kForwardRunsTwice},
    {"refill-trusts-commit", Bug::kRefillTrustsCommit},
    {"refilling-votes", Bug::kRefillingVotes},
    {"trust-page-cache", Bug::kTrustPageCache},
};
#else
constexpr std::span<const CoreDefect> kCore;
#endif
constexpr pgquorum::sim::WorldDefect<WorldBugs> kWorld[] = {
    {"send-before-durable", [](WorldBugs& bugs) { bugs.send_before_durable = true; }},
    {"forget-vote", [](WorldBugs& bugs) { bugs.disk.forget_vote = true; }},
    {"forget-synced-tail", [](WorldBugs& bugs) { bugs.disk.forget_synced_tail = true; }},
    {"half-installed-snapshot", [](WorldBugs& bugs) { bugs.disk.half_installed_snapshot = true; }},
};
constexpr pgquorum::sim::Defects<WorldBugs, Bug> kDefects(kCore, kWorld);

}  // namespace

std::vector<std::string> BugNames() {
  return kDefects.Names();
}

bool EnableBug(std::string_view name, WorldBugs& world) {
  return kDefects.Enable(name, world, enabled);
}

}  // namespace sim
}  // namespace pgquorum::raft
