// Deliberate defects for the simulator: a checker that has never caught anything proves nothing.
//
// In the shipped library every PGQUORUM_RAFT_BUG(x) is the constant false and leaves no code. The
// same sources are compiled a second time with PGQUORUM_RAFT_BUGS for raft_sim_bugs, where a switch
// (raftlog/sim/bugs.cpp) turns one of them on.
#pragma once

namespace pgquorum::raft {

enum class Bug {
  kNone,
  kCommitOldTermByCounting,    // raft paper figure 8
  kVoteTwice,                  // forgets whom it voted for
  kVoteForStaleLog,            // skips the up-to-date check (raft paper 5.4.1)
  kTruncateOnStaleAppend,      // cuts the tail although nothing conflicts
  kConfigBeforeOwnCommit,      // single-step change before the term's first commit
  kJointCountsIncomingOnly,    // ignores the outgoing majority
  kConfigKeptOnTruncate,       // does not roll an uncommitted configuration back
  kReadBeforeOwnCommit,        // read index while the commit index may be stale
  kReadWithoutRound,           // answers reads without confirming its leadership
  kReadIdsReused,              // request numbers restart at 0 with the process (etcd #20418)
  kAckWithoutMark,             // storage acknowledgements by index only (ABA)
  kVoteDespiteLease,           // votes for a candidate while a leader holds a lease
  kLeaseAfterTimeoutNow,       // serves lease reads after it has handed leadership over
  kHeartbeatCommitsUnmatched,  // commits what the leader says, not what is known to match
  kAppendCommitsUnmatched,     // commits before it has compared the logs
  kElectedByHalf,              // a majority is half
  kRestoreBeforeDurable,       // acknowledges a snapshot before it is installed
  kRemovedLeaderSilent,        // a voter outside its uncommitted configuration does not campaign
  kUncommittedLimitIgnored,    // unbounded log (etcd #10167)
  kApplyUncommitted,           // hands out everything in the log
  kNoCheckQuorum,              // a cut off leader stays
  kSessionRunsTwice,           // a repeated session command is executed again
  kForwardRunsTwice,           // a request that the network repeats is taken twice
  kRefillTrustsCommit,         // a damaged log commits what a hint or the leader names
  kRefillingVotes,             // a node with a damaged log votes
  kTrustPageCache,             // what can be read after a failed sync is taken for durable
};

#ifdef PGQUORUM_RAFT_BUGS
bool BugEnabled(Bug bug);
#define PGQUORUM_RAFT_BUG(name) (::pgquorum::raft::BugEnabled(::pgquorum::raft::Bug::name))
#else
#define PGQUORUM_RAFT_BUG(name) false
#endif

}  // namespace pgquorum::raft

#include "base/pure.h"
