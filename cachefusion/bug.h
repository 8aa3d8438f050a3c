// Deliberate defects for the simulator: a checker that has never caught anything proves nothing.
//
// In the shipped library every PGQUORUM_FUSION_BUG(x) is the constant false and leaves no code. The
// same sources are compiled a second time with PGQUORUM_FUSION_BUGS for fusion_sim_bugs, where a
// switch (cachefusion/sim/bugs.cpp) turns one of them on.
#pragma once

namespace pgquorum::fusion {

enum class Bug {
  kNone,
  kNoRedoBeforeShip,        // a page leaves before its redo is durable
  kNoRedoBeforeWrite,       // a page is written before its redo is durable
  kNoPastImage,             // a dirty page leaves without a past image
  kStaleEpochAccepted,      // messages of an older membership count
  kNoInvalidateWait,        // the conversion goes on without the acknowledgements
  kPastDroppedAtDone,       // past images are dropped when the next holder has the page
  kCheckpointIgnoresPast,   // the checkpoint address looks at dirty frames alone
  kNoSharedAdoption,        // an ownerless shared copy that the disk lacks gets no owner
  kUnfreezeBeforeAdopted,   // grants begin before adopted pages are acknowledged
  kRetireAfterReplay,       // dead redo is retired when replayed, not when on disk
  kStaleOwnerKept,          // REQ(have = N) does not make the master forget the requester
  kDropUnsavedWhileFrozen,  // a shared copy that the disk lacks is dropped while the directory is
                            // rebuilt
  kShipWhileWriting,        // an exclusive page leaves while a write of it is on its way
  kPromoteUnread,           // a past image becomes current without a look at the disk
  kReplayAnyVersion,        // replay does not compare versions
  kDrainSkipped,            // a bucket moves while conversions run
  kRecallLosesDirty,        // a recalled page is dropped without being written
  kLockAnyMode,             // the lock service forgets one pair of the compatibility matrix
  kLockQueueJumps,          // a new lock overtakes those that wait
  kConversionWaitsBehind,   // a conversion queues behind new locks
  kValueSurvivesCrash,      // lock value blocks stay valid though their writer died
  kVictimAfterOneSample,    // deadlock victims are chosen from a single sample, as it is
  kCancelForgotten,         // a cancelled wait is not answered
  kDuplicateDelivered,      // the session hands a repeated message up
};

#ifdef PGQUORUM_FUSION_BUGS
bool BugEnabled(Bug bug);
#define PGQUORUM_FUSION_BUG(name) (::pgquorum::fusion::BugEnabled(::pgquorum::fusion::Bug::name))
#else
#define PGQUORUM_FUSION_BUG(name) false
#endif

}  // namespace pgquorum::fusion

#include "base/pure.h"
