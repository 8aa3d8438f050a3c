#include "bgworkers/replication/core/sim/bugs.h"

#include "bgworkers/replication/core/bug.h"

#include "base/pure.h"

namespace pgquorum::replication {

#ifdef PGQUORUM_REPLICATION_BUGS
namespace {
Bug enabled = Bug::kNone;
}
bool BugEnabled(Bug bug) {
  return bug == enabled;
}
#endif

namespace sim {
namespace {

struct NamedWorldBug {
  const char* name;
  bool WorldBugs::*bug;
};
constexpr NamedWorldBug kWorldBugs[] = {
    {"bound-not-durable", &WorldBugs::bound_not_durable},
    {"ack-before-sync", &WorldBugs::ack_before_sync},
    {"progress-not-atomic", &WorldBugs::progress_not_atomic},
    {"stable-without-members", &WorldBugs::stable_without_members},
    {"close-before-level", &WorldBugs::close_before_level},
    {"evicted-heard", &WorldBugs::evicted_heard},
    {"incarnation-kept", &WorldBugs::incarnation_kept},
    {"copy-before-hold", &WorldBugs::copy_before_hold},
};

#ifdef PGQUORUM_REPLICATION_BUGS
struct NamedBug {
  const char* name;
  Bug bug;
};
constexpr NamedBug kBugs[] = {
    {"loser-not-merged", Bug::kLoserNotMerged},
    {"lives-mixed", Bug::kLivesMixed},
    {"losers-dropped", Bug::kLosersDropped},
    {"no-tombstone", Bug::kNoTombstone},
    {"truncate-forgotten", Bug::kTruncateForgotten},
    {"update-before-insert-skipped", Bug::kUpdateBeforeInsertSkipped},
    {"stamp-poisoned", Bug::kStampPoisoned},
    {"old-key-kept", Bug::kOldKeyKept},
    {"forgotten-at-the-line", Bug::kForgottenAtTheLine},
    {"gap-accepted", Bug::kGapAccepted},
    {"trim-after-received", Bug::kTrimAfterReceived},
    {"received-outlives-session", Bug::kReceivedOutlivesSession},
    {"keys-ignored", Bug::kKeysIgnored},
    {"commit-any-order", Bug::kCommitAnyOrder},
    {"counter-ignores-incarnation", Bug::kCounterIgnoresIncarnation},
};
#endif

}  // namespace

std::vector<std::string> BugNames() {
  std::vector<std::string> names;
#ifdef PGQUORUM_REPLICATION_BUGS
  for (const NamedBug& bug : kBugs) {
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
      world.*bug.bug = true;
      return true;
    }
  }
#ifdef PGQUORUM_REPLICATION_BUGS
  enabled = Bug::kNone;
  for (const NamedBug& bug : kBugs) {
    if (bug.name == name) {
      enabled = bug.bug;
      return true;
    }
  }
#endif
  return name == "none";
}

}  // namespace sim

}  // namespace pgquorum::replication
