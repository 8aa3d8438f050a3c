#include "bgworkers/failover/sim/bugs.h"

#include "bgworkers/failover/bug.h"

#include "base/sim/defects.h"

#include "base/pure.h"

namespace pgquorum::failover {
namespace {
Bug enabled = Bug::kNone;
}

#ifdef PGQUORUM_FAILOVER_BUGS
bool BugEnabled(Bug bug) {
  return bug == enabled;
}
#endif

namespace sim {
namespace {

using CoreDefect = pgquorum::sim::CoreDefect<Bug>;

#ifdef PGQUORUM_FAILOVER_BUGS
constexpr CoreDefect kCore[] = {
    {"no-pledge", Bug::kNoPledge},
    {"position-before-stop", Bug::kPositionBeforeStop},
    {"receive-lsn-as-position", Bug::kReceiveLsnAsPosition},
    {"connect-before-compare", Bug::kConnectBeforeCompare},
    {"obey-stale-appointment", Bug::kObeyStaleAppointment},
    {"empty-list-on-fence", Bug::kEmptyListOnFence},
    {"repair-in-set", Bug::kRepairInSet},
    {"resume-without-boot", Bug::kResumeWithoutBoot},
    {"serve-before-settled", Bug::kServeBeforeSettled},
    {"ignore-lease", Bug::kIgnoreLease},
    {"names-without-timeline", Bug::kNamesWithoutTimeline},
    {"longest-wal-wins", Bug::kLongestWalWins},
    {"recruit-off-by-one", Bug::kRecruitOffByOne},
    {"settle-without-barrier", Bug::kSettleWithoutBarrier},
    {"no-lease-wait", Bug::kNoLeaseWait},
    {"only-last-rule", Bug::kOnlyLastRule},
    {"rule-without-confirmation", Bug::kRuleWithoutConfirmation},
    {"lease-from-reply", Bug::kLeaseFromReply},
    {"grant-after-revoke", Bug::kGrantAfterRevoke},
    {"forced-after-lease", Bug::kForcedAfterLease},
    {"local-timelines", Bug::kLocalTimelines},
};
#else
constexpr std::span<const CoreDefect> kCore;
#endif
constexpr pgquorum::sim::WorldDefect<WorldBugs> kWorld[] = {
    {"pledge-not-durable", [](WorldBugs& bugs) { bugs.pledge_not_durable = true; }},
    {"foreign-forgotten", [](WorldBugs& bugs) { bugs.foreign_forgotten = true; }},
    {"no-mark", [](WorldBugs& bugs) { bugs.no_mark = true; }},
};
constexpr pgquorum::sim::Defects<WorldBugs, Bug> kDefects(kCore, kWorld);

}  // namespace

std::vector<std::string> BugNames() {
  return kDefects.Names();
}

bool EnableBug(std::string_view name, WorldBugs& world) {
  world.figures = name == "none";
  return kDefects.Enable(name, world, enabled);
}

}  // namespace sim
}  // namespace pgquorum::failover
