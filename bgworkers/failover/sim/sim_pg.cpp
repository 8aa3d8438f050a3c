// PostgreSQL as failover sees it: WAL on timelines, streaming, the synchronous wait, crash,
// promotion, rewind and re-clone, with the measured habits of the stock server (no timeline check
// in the synchronous list, receive position lost by a restart, rewind that trusts the source's
// checkpoint).
#include <algorithm>

#include "bgworkers/failover/bug.h"
#include "bgworkers/failover/sim/world.h"

namespace pgquorum::failover::sim {
namespace {

constexpr uint64_t kSegment = 1000;  // bytes

// The first `count` records as a timeline history. Timelines never fall along the WAL.
History HistoryOf(const std::vector<Record>& wal, std::size_t count) {
  History history;
  auto end = wal.begin() + static_cast<std::ptrdiff_t>(count);
  for (auto at = wal.begin(); at != end;) {
    at = std::upper_bound(at, end, at->timeline,
                          [](Timeline t, const Record& record) { return t < record.timeline; });
    const Record& last = *std::prev(at);
    if (at == end) {
      history.timeline = last.timeline;
      history.end = Lsn(last.end);
    } else {
      history.ancestors.push_back({last.timeline, Lsn(last.end)});
    }
  }
  return history;
}

std::size_t CommonPrefix(const std::vector<Record>& a, const std::vector<Record>& b) {
  std::size_t n = 0;
  while (n < a.size() && n < b.size() && a[n].uid == b[n].uid) {
    ++n;
  }
  return n;
}

}  // namespace

History World::PgHistory(const Node& node) const {
  const Pg& pg = node.pg;
  bool primary = pg.state == PgState::kPrimary || pg.state == PgState::kStopping;
  return HistoryOf(pg.wal, primary ? pg.durable : std::min(pg.replayed, pg.durable));
}

uint64_t World::PgEnd(const Node& node) const {
  return node.pg.durable == 0 ? 0 : node.pg.wal[node.pg.durable - 1].end;
}

void World::PgStop(Node& node) {
  Pg& pg = node.pg;
  PgDisconnect(node);
  ++pg.life;
  for ([[maybe_unused]] const Commit& commit : pg.commits) {
    coverage_.Hit(Point::kCommitUnknown);
  }
  pg.commits.clear();
  pg.wal.resize(pg.durable);
  pg.state = PgState::kDown;
  pg.gate = false;
  pg.deadline = 0;
  pg.admission = Admission::kAdministrators;
  pg.upstream = NodeId();
  pg.upstream_timeline = Timeline();
  pg.replayed = 0;
  pg.receive_lsn = 0;
  pg.receive_timeline = Timeline();
  pg.boot_end = 0;
  pg.stream_error = StreamError::kNone;
  pg.list = SetSyncList();
  pg.marker = Position();
  pg.checkpoint_tag = 0;
  pg.replay_held_until = 0;
  for (const auto& [id, sender] : pg.senders) {
    Node& standby = At(id);
    uint64_t connection = sender.connection;
    bool reset = Reaches(node, standby) && Reaches(standby, node);
    AfterWorld(reset ? 1 * kMs : 1000 * kMs, [this, &standby, connection] {
      if (standby.pg.connection == connection) {
        PgDisconnect(standby);
        PumpSoon(standby);
      }
    });
  }
  pg.senders.clear();
}

void World::PgStart(Node& node, TimeNs delay) {
  if (node.left) {
    return;
  }
  node.pg.state = PgState::kStarting;
  node.pg.boot = BootId(++unique_);
  After(delay, node, Domain::kPg, [this, &node] {
    Pg& pg = node.pg;
    pg.state = PgState::kStandby;
    pg.replayed = pg.wal.size();
    pg.boot_end = PgEnd(node);
    node.mark_compared = false;
    if (node.restored && pg.replayed > 1) {
      // A standby runs before replay has ended, and what it is shows only then.
      --pg.replayed;
      After(static_cast<TimeNs>(rng_.Between(10, 500)) * kMs, node, Domain::kPg, [this, &node] {
        node.pg.replayed = node.pg.wal.size();
        PumpSoon(node);
      });
    }
    PumpSoon(node);
  });
}

// A backend crash, a demotion: everything restarts, the worker too.
void World::PgCrash(Node& node, TimeNs down) {
  if (node.pg.state == PgState::kDown) {
    return;
  }
  PgStop(node);
  node.pg.state = PgState::kStarting;  // the postmaster lives: its port answers
  if (node.up) {
    WorkerStop(node);
  }
  uint64_t life = node.pg.life;
  AfterWorld(down, [this, &node, life] {
    if (node.pg.life != life) {
      return;
    }
    if (!node.up) {
      WorkerStart(node);
    }
    PgStart(node, static_cast<TimeNs>(rng_.Between(30, 300)) * kMs);
  });
}

void World::PgDisconnect(Node& node) {
  if (node.pg.connection == 0) {
    return;
  }
  if (node.pg.upstream) {
    auto& senders = At(node.pg.upstream).pg.senders;
    auto it = senders.find(node.id);
    if (it != senders.end() && it->second.connection == node.pg.connection) {
      senders.erase(it);
    }
  }
  node.pg.connection = 0;
  if (node.pg.upstream) {
    After(200 * kMs, node, Domain::kPg, [this, &node] { PgConnect(node); });
  }
}

void World::PgConnect(Node& node) {
  Pg& pg = node.pg;
  if (pg.state != PgState::kStandby || !pg.upstream || pg.connection != 0) {
    return;
  }
  Node& upstream = At(pg.upstream);
  bool serves = upstream.pg.state == PgState::kPrimary || upstream.pg.state == PgState::kStandby;
  if (!serves || !Reaches(node, upstream) || !Reaches(upstream, node) ||
      upstream.pg_paused_until > now_ || pg.stream_error != StreamError::kNone) {
    After(200 * kMs, node, Domain::kPg, [this, &node] { PgConnect(node); });
    return;
  }
  const std::vector<Record>& theirs = upstream.pg.wal;
  std::size_t common = CommonPrefix(pg.wal, theirs);
  if (common < upstream.pg.recycled) {
    coverage_.Hit(Point::kWalRecycledRefused);
    pg.stream_error = StreamError::kWalRecycled;
    PumpSoon(node);
    return;
  }
  pg.connection = ++unique_;
  Sender& sender = upstream.pg.senders[node.id];
  sender = {pg.name, pg.connection, pg.wal.size(), 0, 0};
  pg.receive_lsn = PgEnd(node) / kSegment * kSegment;
  // What is sent again from the start of the segment shows at once; on the edge there is nothing.
  bool sent_again = !pg.wal.empty() && PgEnd(node) % kSegment != 0;
  pg.receive_timeline = sent_again ? pg.wal.back().timeline : Timeline();
  bool diverged = common < std::min<std::size_t>(pg.wal.size(), upstream.pg.durable);
  if (diverged) {
    // The stock server takes it and believes its old, higher position.
    coverage_.Hit(Point::kDivergedConnected);
    sender.sent = theirs.size() + 1'000'000;
    sender.flushed = PgEnd(node);
    pg.receive_lsn = PgEnd(node);
    pg.receive_timeline = theirs.back().timeline;  // the worst it could claim
    PgRelease(upstream);
    After(1000 * kMs, node, Domain::kPg, [this, &node, connection = pg.connection] {
      if (node.pg.connection == connection) {
        node.pg.stream_error = StreamError::kDiverged;
        PumpSoon(node);
      }
    });
    return;
  }
  PgStream(upstream, node.id);
  PumpSoon(node);
}

void World::PgStream(Node& upstream, NodeId id) {
  auto it = upstream.pg.senders.find(id);
  if (it == upstream.pg.senders.end() || it->second.sent > upstream.pg.durable) {
    return;
  }
  Sender& sender = it->second;
  Node& standby = At(id);
  uint64_t connection = sender.connection;
  if (!Reaches(upstream, standby)) {
    AfterWorld(1000 * kMs, [this, &standby, connection] {
      if (standby.pg.connection == connection) {
        PgDisconnect(standby);
        PumpSoon(standby);
      }
    });
    sender.sent = ~std::size_t{0};  // the connection is as good as dead
    return;
  }
  std::vector<Record> records(
      upstream.pg.wal.begin() + static_cast<std::ptrdiff_t>(sender.sent),
      upstream.pg.wal.begin() + static_cast<std::ptrdiff_t>(upstream.pg.durable));
  std::size_t from = sender.sent;
  sender.sent = upstream.pg.durable;
  sender.last_arrival = std::max(sender.last_arrival, now_ + Latency(upstream, standby));
  After(sender.last_arrival - now_, standby, Domain::kPg,
        [this, &standby, connection, records = std::move(records), from] {
          PgReceive(standby, connection, records, from);
        });
}

void World::PgReceive(Node& node, uint64_t connection, const std::vector<Record>& records,
                      std::size_t from) {
  Pg& pg = node.pg;
  if (pg.connection != connection || pg.state != PgState::kStandby || from != pg.wal.size()) {
    return;
  }
  pg.wal.insert(pg.wal.end(), records.begin(), records.end());
  pg.durable = pg.wal.size();
  pg.receive_lsn = PgEnd(node);
  if (!records.empty()) {
    pg.receive_timeline = pg.wal.back().timeline;
    pg.received_at = now_;
  }
  std::size_t upto = pg.wal.size();
  if (pg.replay_held_until <= now_) {
    TimeNs time =
        node.delayed ? Ms(500, 3000) : static_cast<TimeNs>(rng_.Between(200, 5000)) * 1000;
    After(time, node, Domain::kPg, [&node, upto] {
      node.pg.replayed = std::max(node.pg.replayed, std::min(upto, node.pg.wal.size()));
    });
  }
  Node& upstream = At(pg.upstream);
  uint64_t lsn = PgEnd(node);
  Send(node, upstream, Domain::kPg, [this, &upstream, id = node.id, connection, lsn] {
    PgFlushed(upstream, id, connection, lsn);
  });
  for (const auto& [id, sender] : std::map<NodeId, Sender>(pg.senders)) {
    PgStream(node, id);
  }
  bool awaited = global_.created() && (!global_.appointment().settled || global_.recruiting() ||
                                       global_.PendingRequest() != nullptr);
  if (awaited) {
    PumpSoon(node);
  }
}

void World::PgFlushed(Node& upstream, NodeId standby, uint64_t connection, uint64_t lsn) {
  auto it = upstream.pg.senders.find(standby);
  if (it != upstream.pg.senders.end() && it->second.connection == connection) {
    it->second.flushed = std::max(it->second.flushed, lsn);
    PgRelease(upstream);
  }
}

void World::PgWrite(Node& node, uint64_t row) {
  Pg& pg = node.pg;
  Record record = pg.wal.back();
  record.end += 10 + rng_.Below(90);
  record.uid = ++unique_;
  record.row = row;
  pg.wal.push_back(record);
}

void World::PgFlush(Node& node) {
  node.pg.durable = node.pg.wal.size();
  node.pg.replayed = node.pg.wal.size();
  for (const auto& [id, sender] : std::map<NodeId, Sender>(node.pg.senders)) {
    PgStream(node, id);
  }
}

bool World::PgQuorum(const Node& node, uint64_t lsn) const {
  uint32_t count = 0;
  for (const auto& [id, sender] : node.pg.senders) {
    bool listed = std::find(node.pg.list.names.begin(), node.pg.list.names.end(), sender.name) !=
                  node.pg.list.names.end();
    count += listed && sender.flushed >= lsn ? 1 : 0;
  }
  return count >= node.pg.list.g;
}

void World::PgRelease(Node& node) {
  std::vector<Commit> left;
  bool drained = !node.pg.commits.empty();
  for (const Commit& commit : node.pg.commits) {
    if (commit.waiting && PgQuorum(node, commit.lsn)) {
      CheckAcknowledged(node, commit.row);
    } else {
      left.push_back(commit);
    }
  }
  node.pg.commits = std::move(left);
  if (drained && node.pg.commits.empty() && !node.pg.gate) {
    PumpSoon(node);
  }
}

void World::ClientWrite(Node& node) {
  Pg& pg = node.pg;
  if (pg.state != PgState::kPrimary || pg.disk_full) {
    return;
  }
  bool allowed = pg.gate && pg.admission == Admission::kClients &&
                 (pg.deadline > Clock(node) || PGQUORUM_FAILOVER_BUG(kIgnoreLease));
  if (!allowed) {
    coverage_.Hit(Point::kWriteRefused);
    return;
  }
  CheckCommitStart(node);
  uint64_t row = ++unique_;
  pg.commits.push_back({row, 0, false});
  auto find = [&node, row] {
    return std::find_if(node.pg.commits.begin(), node.pg.commits.end(),
                        [row](const Commit& c) { return c.row == row; });
  };
  // A backend may pause between the check and its record, and between record and flush.
  After(static_cast<TimeNs>(rng_.Below(3'000'000)), node, Domain::kPg, [this, &node, row, find] {
    if (node.pg.state != PgState::kPrimary) {
      return;
    }
    PgWrite(node, row);
    find()->lsn = node.pg.wal.back().end;
    After(static_cast<TimeNs>(rng_.Below(1'000'000)), node, Domain::kPg, [this, &node, find] {
      auto commit = find();
      if (node.pg.state != PgState::kPrimary) {
        return;
      }
      PgFlush(node);
      if (node.pg.list.g == 0 && node.pg.deadline <= Clock(node)) {
        coverage_.Hit(Point::kCommitTooLate);
        node.pg.commits.erase(commit);
        return;
      }
      commit->waiting = true;
      PgRelease(node);
    });
  });
}

void World::PgPromote(Node& node, Timeline timeline, bool by_hand) {
  Pg& pg = node.pg;
  if (pg.state != PgState::kStandby) {
    return;
  }
  if (!by_hand) {
    if (node.promotes_from > now_) {
      return;  // the action failed; it is repeated
    }
    CheckPromotion(node, timeline);
    node.ordered = timeline;
    node.foreign = Timeline();
  }
  PgDisconnect(node);
  pg.state = PgState::kPromoting;
  After(static_cast<TimeNs>(rng_.Between(30, 300)) * kMs, node, Domain::kPg,
        [this, &node, timeline, by_hand] {
          Timeline last = node.pg.wal.back().timeline;
          PgWrite(node, 0);  // the end of recovery
          node.pg.wal.back().timeline = by_hand || timeline <= last ? last + 1 : timeline;
          node.pg.state = PgState::kPrimary;
          PgFlush(node);
          PumpSoon(node);
        });
}

void World::PgRepair(Node& node, NodeId source, bool rewind) {
  if (!node.up) {
    return;
  }
  coverage_.Hit(rewind ? Point::kRewind : Point::kReclone);
  if (!node.repair_interrupted && !node.foreign) {
    node.pg.backup = node.pg.wal;
  }
  PgStop(node);
  WorkerStop(node);
  node.repair_running = true;
  node.repair_interrupted = true;
  uint64_t life = node.life;
  AfterWorld(static_cast<TimeNs>(rng_.Between(300, 1500)) * kMs,
             [this, &node, source, rewind, life] {
               if (node.life == life) {
                 PgRepairEnd(node, source, rewind);
               }
             });
}

void World::PgRepairEnd(Node& node, NodeId source_id, bool rewind) {
  Node& source = At(source_id);
  Pg& pg = node.pg;
  bool reached = (source.pg.state == PgState::kPrimary || source.pg.state == PgState::kStandby) &&
                 Reaches(node, source) && Reaches(source, node) && source.pg_paused_until <= now_ &&
                 !rng_.Chance(1, 10);
  pg.recycled = std::min(pg.recycled, CommonPrefix(pg.wal, source.pg.wal));
  Timeline theirs = source.pg.wal.empty() ? Timeline() : source.pg.wal.back().timeline;
  bool blind = rewind && (source.pg.checkpointed != theirs ||
                          (!pg.wal.empty() && pg.wal.back().timeline == theirs));
  if (!reached) {
    coverage_.Hit(Point::kRepairInterrupted);
    ++node.repair_attempts;
    if (!blind) {
      pg.wal.resize(rewind ? CommonPrefix(pg.wal, source.pg.wal) : 1);
      pg.durable = pg.wal.size();
    }
  } else {
    if (!rewind && source.pg.state == PgState::kPrimary) {
      // A base backup ends the segment, and the next one is empty.
      PgWrite(source, 0);
      uint64_t& end = source.pg.wal.back().end;
      end = (end + kSegment - 1) / kSegment * kSegment;
      PgFlush(source);
    }
    if (!blind) {
      pg.wal.assign(source.pg.wal.begin(),
                    source.pg.wal.begin() + static_cast<std::ptrdiff_t>(source.pg.durable));
      pg.durable = pg.wal.size();
    }
    node.repair_interrupted = false;
    node.repair_attempts = 0;
    node.foreign = Timeline();
    node.restored = false;
  }
  node.repair_running = false;
  WorkerStart(node);
  PgStart(node, static_cast<TimeNs>(rng_.Between(50, 300)) * kMs);
}

}  // namespace pgquorum::failover::sim
