// What the worker does on the agent's order, with the time that it takes on a real server.
#include <algorithm>
#include <utility>

#include "bgworkers/failover/sim/world.h"

namespace pgquorum::failover::sim {

void World::Carry(Node& node, const Action& action) {
  std::visit([this, &node](const auto& a) { Do(node, a); }, action);
  if (node.up) {
    PumpSoon(node);
  }
}

void World::Soon(Node& node, uint64_t low_us, uint64_t high_us, std::function<void()> run) {
  TimeNs delay = static_cast<TimeNs>(rng_.Between(low_us, high_us)) * 1000;
  After(delay, node, Domain::kPg, [this, &node, run = std::move(run)] {
    run();
    PumpSoon(node);
  });
}

void World::Do(Node& node, const CloseGate&) {
  node.pg.gate = false;
}

void World::Do(Node& node, const OpenGate&) {
  node.pg.gate = true;
}

void World::Do(Node& node, const Admit& a) {
  node.pg.admission = a.who;
}

void World::Do(Node& node, const ClearUpstream&) {
  Soon(node, 2000, 20'000, [this, &node] {
    node.pg.upstream = NodeId();
    node.pg.upstream_timeline = Timeline();
    node.pg.stream_error = StreamError::kNone;
    PgDisconnect(node);
  });
}

void World::Do(Node& node, const StopReceiver&) {
  Soon(node, 1000, 30'000, [this, &node] { PgDisconnect(node); });
}

// Lifts pause and delay; sometimes a query does not give way at once.
void World::Do(Node& node, const SettleReplay&) {
  Soon(node, 500, chaos_ && rng_.Chance(1, 20) ? 900'000 : 5000, [&node] {
    node.pg.replay_held_until = 0;
    node.pg.replayed = node.pg.wal.size();
  });
}

void World::Do(Node& node, const WritePledge& a) {
  After(static_cast<TimeNs>(rng_.Between(200, 3000)) * 1000, node, Domain::kWorker,
        [this, &node, a] {
          node.pledge = std::max(node.pledge, a.epoch);
          PumpSoon(node);
        });
}

void World::Do(Node& node, const SetUpstream& a) {
  if (node.pg.state != PgState::kStandby) {
    return;
  }
  PgDisconnect(node);
  node.pg.upstream = a.node;
  node.pg.upstream_timeline = a.timeline;
  node.pg.name = a.name;
  node.pg.stream_error = StreamError::kNone;
  Soon(node, 5000, 40'000, [this, &node] { PgConnect(node); });
}

void World::Do(Node& node, const SetSyncList& a) {
  Soon(node, 2000, 15'000, [this, &node, a] {
    if (a.epoch == node.pg.list.epoch && a.version < node.pg.list.version) {
      return;  // the file was written again since
    }
    node.pg.list = a;
    node.pg.list_lsn = node.pg.wal.empty() ? 0 : node.pg.wal.back().end;
    CheckRule(node);
    PgRelease(node);
  });
}

void World::Do(Node& node, const Promote& a) {
  PgPromote(node, a.timeline, false);
}

void World::Do(Node& node, const WriteMarker& a) {
  Soon(node, 500, 3000, [this, &node, a] {
    if (node.pg.state == PgState::kPrimary) {
      PgWrite(node, 0);
      PgFlush(node);
      node.pg.marker = {a.timeline, Lsn(PgEnd(node))};
    }
  });
}

void World::Do(Node& node, const NudgeStandbys&) {
  coverage_.Hit(Point::kNudged);
  Soon(node, 100, 1000, [this, &node] {
    if (node.pg.state == PgState::kPrimary) {
      PgWrite(node, 0);
      PgFlush(node);
    }
  });
}

void World::Do(Node& node, const Checkpoint& a) {
  Soon(node, 20'000, 200'000, [this, &node, a] {
    if (node.pg.state == PgState::kPrimary) {
      PgWrite(node, 0);
      PgFlush(node);
      node.pg.checkpointed = node.pg.wal.back().timeline;
      node.pg.checkpoint_tag = a.tag;
    }
  });
}

void World::Do(Node& node, const DemoteRestart&) {
  coverage_.Hit(Point::kDemoted);
  TimeNs down = Ms(100, 600);
  After(1 * kMs, node, Domain::kPg, [this, &node, down] { PgCrash(node, down); });
}

void World::Do(Node& node, const FastStop&) {
  if (node.pg.state != PgState::kPrimary) {
    return;
  }
  node.pg.state = PgState::kStopping;
  PgWrite(node, 0);  // the shutdown checkpoint
  PgFlush(node);
  // Sometimes a standby does not answer.
  After(Ms(20, chaos_ && rng_.Chance(1, 6) ? 3000 : 150), node, Domain::kPg,
        [this, &node] { PgCrash(node, 100 * kMs); });
}

void World::Do(Node& node, const EndWalsenders& a) {
  for (Node& other : nodes_) {
    if (other.id != a.except && other.pg.upstream == node.id) {
      PgDisconnect(other);
    }
  }
}

void World::Do(Node& node, const Rewind& a) {
  After(1 * kMs, node, Domain::kPg, [this, &node, a] { PgRepair(node, a.source, true); });
}

void World::Do(Node& node, const Reclone& a) {
  After(1 * kMs, node, Domain::kPg, [this, &node, a] { PgRepair(node, a.source, false); });
}

void World::Do(Node& node, const MarkForeignTimeline& a) {
  node.foreign = bugs_.foreign_forgotten ? Timeline() : a.timeline;
}

void World::Do(Node& node, const AcceptDataDirectory&) {
  node.restored = false;
}

}  // namespace pgquorum::failover::sim
