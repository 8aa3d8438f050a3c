#include "cachefusion/sim/bugs.h"

#include "cachefusion/bug.h"

#include "base/sim/defects.h"

#include "base/pure.h"

namespace pgquorum::fusion {
namespace {
Bug enabled = Bug::kNone;
}

#ifdef PGQUORUM_FUSION_BUGS
bool BugEnabled(Bug bug) {
  return bug == enabled;
}
#endif

namespace sim {
namespace {

using CoreDefect = pgquorum::sim::CoreDefect<Bug>;

#ifdef PGQUORUM_FUSION_BUGS
constexpr CoreDefect kCore[] = {
    {"no-redo-before-ship", Bug::kNoRedoBeforeShip},
    {"no-redo-before-write", Bug::kNoRedoBeforeWrite},
    {"no-past-image", Bug::kNoPastImage},
    {"stale-epoch-accepted", Bug::kStaleEpochAccepted},
    {"no-invalidate-wait", Bug::kNoInvalidateWait},
    {"past-dropped-at-done", Bug::kPastDroppedAtDone},
    {"checkpoint-ignores-past", Bug::kCheckpointIgnoresPast},
    {"no-shared-adoption", Bug::kNoSharedAdoption},
    {"unfreeze-before-adopted", Bug::kUnfreezeBeforeAdopted},
    {"retire-after-replay", Bug::kRetireAfterReplay},
    {"stale-owner-kept", Bug::kStaleOwnerKept},
    {"drop-unsaved-while-frozen", Bug::kDropUnsavedWhileFrozen},
    {"ship-while-writing", Bug::kShipWhileWriting},
    {"promote-unread", Bug::kPromoteUnread},
    {"replay-any-version", Bug::kReplayAnyVersion},
    {"drain-skipped", Bug::kDrainSkipped},
    {"recall-loses-dirty", Bug::kRecallLosesDirty},
    {"lock-any-mode", Bug::kLockAnyMode},
    {"lock-queue-jumps", Bug::kLockQueueJumps},
    {"conversion-waits-behind", Bug::kConversionWaitsBehind},
    {"value-survives-crash", Bug::kValueSurvivesCrash},
    {"victim-after-one-sample", Bug::kVictimAfterOneSample},
    {"cancel-forgotten", Bug::kCancelForgotten},
    {"duplicate-delivered", Bug::kDuplicateDelivered},
};
#else
constexpr std::span<const CoreDefect> kCore;
#endif
constexpr pgquorum::sim::WorldDefect<WorldBugs> kWorld[] = {
    {"zombie-writes", [](WorldBugs& bugs) { bugs.zombie_writes = true; }},
    {"no-double-write", [](WorldBugs& bugs) { bugs.no_double_write = true; }},
    {"replay-one-thread", [](WorldBugs& bugs) { bugs.replay_one_thread = true; }},
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
}  // namespace pgquorum::fusion
