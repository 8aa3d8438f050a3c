#include "raftlog/sim/bug_switch.h"

#include "base/pure.h"

namespace pgquorum::raft {

#ifdef PGQUORUM_RAFT_BUGS
namespace {
Bug enabled = Bug::kNone;
}
bool BugEnabled(Bug bug) {
  return bug == enabled;
}
#endif

namespace sim {
#ifdef PGQUORUM_RAFT_BUGS
namespace {
struct Named {
  const char* name;
  Bug bug;
};
constexpr Named kBugs[] = {
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
};
}  // namespace

std::vector<std::string> CoreBugNames() {
  std::vector<std::string> names;
  for (const Named& item : kBugs) {
    names.emplace_back(item.name);
  }
  return names;
}

bool EnableCoreBug(std::string_view name) {
  if (name == "none") {
    enabled = Bug::kNone;
    return true;
  }
  for (const Named& item : kBugs) {
    if (item.name == name) {
      enabled = item.bug;
      return true;
    }
  }
  return false;
}
#else
std::vector<std::string> CoreBugNames() {
  return {};
}
bool EnableCoreBug(std::string_view name) {
  return name == "none";
}
#endif
}  // namespace sim

}  // namespace pgquorum::raft
