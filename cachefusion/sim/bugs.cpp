#include "cachefusion/sim/bugs.h"

#include "cachefusion/bug.h"

#include "base/pure.h"

namespace pgquorum::fusion {

#ifdef PGQUORUM_FUSION_BUGS
namespace {
Bug enabled = Bug::kNone;
}
bool BugEnabled(Bug bug) {
  return bug == enabled;
}
#endif

namespace sim {
namespace {

#ifdef PGQUORUM_FUSION_BUGS
struct Named {
  const char* name;
  Bug bug;
};
constexpr Named kCoreBugs[] = {
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
#endif

struct NamedWorldBug {
  const char* name;
  bool WorldBugs::*field;
};
constexpr NamedWorldBug kWorldBugs[] = {
    {"zombie-writes", &WorldBugs::zombie_writes},
    {"no-double-write", &WorldBugs::no_double_write},
    {"replay-one-thread", &WorldBugs::replay_one_thread},
};

}  // namespace

std::vector<std::string> BugNames() {
  std::vector<std::string> names;
#ifdef PGQUORUM_FUSION_BUGS
  for (const Named& bug : kCoreBugs) {
    names.emplace_back(bug.name);
  }
#endif
  for (const NamedWorldBug& bug : kWorldBugs) {
    names.emplace_back(bug.name);
  }
  return names;
}

bool EnableBug(std::string_view name, WorldBugs& world) {
  for (const NamedWorldBug& bug : kWorldBugs) {
    if (bug.name == name) {
      world.*bug.field = true;
      return true;
    }
  }
#ifdef PGQUORUM_FUSION_BUGS
  if (name == "none") {
    enabled = Bug::kNone;
    return true;
  }
  for (const Named& bug : kCoreBugs) {
    if (bug.name == name) {
      enabled = bug.bug;
      return true;
    }
  }
  return false;
#else
  return name == "none";
#endif
}

}  // namespace sim
}  // namespace pgquorum::fusion
