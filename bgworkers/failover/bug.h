// Deliberate defects for the simulator: a checker that has never caught anything proves nothing.
//
// In the shipped library every PGQUORUM_FAILOVER_BUG(x) is the constant false and leaves no code.
// The same sources are compiled a second time with PGQUORUM_FAILOVER_BUGS for failover_sim_bugs,
// where sim/bugs.cpp turns one of them on.
#pragma once

namespace pgquorum::failover {

enum class Bug {
  kNone,
  // The agent's.
  kNoPledge,              // reports a position without having written the pledge
  kPositionBeforeStop,    // reports it while the receiver still runs
  kReceiveLsnAsPosition,  // reports the receive LSN
  kConnectBeforeCompare,  // follows without comparing histories
  kObeyStaleAppointment,  // ignores the boot id
  kEmptyListOnFence,      // empties the synchronous list when it is revoked
  kRepairInSet,           // rewinds or re-clones while a voter
  kResumeWithoutBoot,     // as primary of the rule promotes after a restart
  kServeBeforeSettled,
  kIgnoreLease,           // leaves the gate open without a lease
  kNamesWithoutTimeline,  // uses the same name on every timeline
  // The coordinator's.
  kLongestWalWins,           // ignores timelines when it compares positions
  kRecruitOffByOne,          // one recruit fewer than |V| - n
  kSettleWithoutBarrier,     // does not wait for the marker's flush
  kNoLeaseWait,              // does not wait out the leases
  kOnlyLastRule,             // recruits for the latest rule alone
  kRuleWithoutConfirmation,  // raises n, shrinks V before the list is in force
  // The lease's and the state machine's.
  kLeaseFromReply,    // counts from the answer
  kGrantAfterRevoke,  // grants whatever the log holds
  kForeignTailHides,  // nothing counts above a tail that was begun by hand
  kForcedAfterLease,  // a forced membership does not end the leases of before
  kLocalTimelines,    // every candidate takes the next timeline that it would take by itself
};

#ifdef PGQUORUM_FAILOVER_BUGS
bool BugEnabled(Bug bug);
#define PGQUORUM_FAILOVER_BUG(name) \
  (::pgquorum::failover::BugEnabled(::pgquorum::failover::Bug::name))
#else
#define PGQUORUM_FAILOVER_BUG(name) false
#endif

}  // namespace pgquorum::failover

#include "base/pure.h"
