#include "bgworkers/replication/core/sim/bugs.h"

#include "bgworkers/replication/core/bug.h"

#include "base/sim/defects.h"

#include "base/pure.h"

namespace pgquorum::replication {
namespace {
Bug enabled = Bug::kNone;
}

#ifdef PGQUORUM_REPLICATION_BUGS
bool BugEnabled(Bug bug) {
  return bug == enabled;
}
#endif

namespace sim {
namespace {

using CoreDefect = pgquorum::sim::CoreDefect<Bug>;

#ifdef PGQUORUM_REPLICATION_BUGS
constexpr CoreDefect kCore[] = {
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
#else
constexpr std::span<const CoreDefect> kCore;
#endif
constexpr pgquorum::sim::WorldDefect<WorldBugs> kWorld[] = {
    {"bound-not-durable", [](WorldBugs& bugs) { bugs.bound_not_durable = true; }},
    {"ack-before-sync", [](WorldBugs& bugs) { bugs.ack_before_sync = true; }},
    {"progress-not-atomic", [](WorldBugs& bugs) { bugs.progress_not_atomic = true; }},
    {"stable-without-members", [](WorldBugs& bugs) { bugs.stable_without_members = true; }},
    {"close-before-level", [](WorldBugs& bugs) { bugs.close_before_level = true; }},
    {"evicted-heard", [](WorldBugs& bugs) { bugs.evicted_heard = true; }},
    {"incarnation-kept", [](WorldBugs& bugs) { bugs.incarnation_kept = true; }},
    {"copy-before-hold", [](WorldBugs& bugs) { bugs.copy_before_hold = true; }},
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
}  // namespace pgquorum::replication
