// Deliberate defects for the simulator: a checker that has never caught anything proves nothing.
//
// In the shipped libraries every PGQUORUM_REPLICATION_BUG(x) is the constant false and leaves no
// code. The same sources are compiled a second time with PGQUORUM_REPLICATION_BUGS for
// multimaster_sim_bugs, where sim/bugs.cpp turns one of them on.
#pragma once

namespace pgquorum::replication {

enum class Bug {
  kNone,
  kCounterIgnoresIncarnation,  // a restored site goes on with its old totals
  kDotReuseAccepted,           // an identity that was seen before is taken as new
  kLoserNotMerged,             // a change that lost does not bring its counters along
  kLivesMixed,                 // values of a deleted row flow into the re-inserted one
  kLosersDropped,              // concurrent versions are decided pairwise as they arrive
  kNoTombstone,                // a deletion leaves nothing behind
  kTruncateForgotten,          // TRUNCATE empties the table and is not remembered
  kUpdateBeforeInsertSkipped,  // an update of a row that is not there yet is dropped
  kStampPoisoned,              // a merge gives the row the stamp of the older change
  kForgottenAtTheLine,         // states are forgotten as soon as they are stable
  kOldKeyKept,                 // a key update does not delete the old key
  kGapAccepted,                // a transaction is taken although one before it is missing
  kReceivedOutlivesSession,    // a peer that restarted is not sent again what it had in memory
  kTrimAfterReceived,          // the spool forgets what a member has in memory only
  kKeysIgnored,                // transactions of one key are applied at the same time
  kCommitAnyOrder,             // applied transactions commit as they get ready
};

#ifdef PGQUORUM_REPLICATION_BUGS
bool BugEnabled(Bug bug);
#define PGQUORUM_REPLICATION_BUG(name) \
  (::pgquorum::replication::BugEnabled(::pgquorum::replication::Bug::name))
#else
#define PGQUORUM_REPLICATION_BUG(name) false
#endif

}  // namespace pgquorum::replication

#include "base/pure.h"
