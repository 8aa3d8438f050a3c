// A standby whose startup process looks for WAL of a timeline that nobody continues.
#include "extension/pg/pg.h"

#include <algorithm>

#include "bgworkers/consensus/local_server.h"
#include "bgworkers/consensus/postgres_timeline.h"

namespace pgquorum::consensus {

// The startup process keeps the newest timeline that it has heard of as its target, and leaves it
// only for a child of it. When the primary that began it died before it was settled, the next one's
// timeline is none: "new timeline 6 is not a child", and the sender says "requested timeline 5 is
// not in this server's history", for ever. Without WAL of that timeline nothing is lost, and a new
// start chooses its target anew, once the right history file is here.
void LocalServer::RestartLostReplay(const PostgresFacts& pg) {
  const failover::Timeline wanted = wanted_upstream_timeline_;
  const failover::Timeline asked = pg.receiver.start_timeline;
  if (!pg.in_recovery || stop_began_ != 0 || pg.receiver.streaming || !facts_.upstream || !wanted ||
      !asked || asked == wanted || pg.newest_known != wanted) {
    return;
  }
  Result<std::vector<failover::TimelineSwitch>> ancestors =
      ReadTimelineHistory(paths_.data_directory, wanted);
  if (!ancestors.ok() ||
      std::any_of(ancestors.value().begin(), ancestors.value().end(),
                  [asked](const auto& ancestor) { return ancestor.timeline == asked; })) {
    return;
  }
  Status begun = Restart(StopMode::kImmediate, "replay looks for a timeline that nobody continued");
  if (!begun.ok()) {
    ereport(LOG, (errmsg("pgquorum: could not restart: %s", begun.message().c_str())));
  }
}

}  // namespace pgquorum::consensus
