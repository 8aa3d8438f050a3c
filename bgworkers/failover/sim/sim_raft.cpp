// The worker's Raft: the shipped core and the shipped state machine over a model of the disk,
// carried out in the order that raftlog/README.md demands and raft::Host keeps.
#include "base/crc32c.h"
#include "bgworkers/failover/sim/world.h"
#include "raftlog/codec.h"

namespace pgquorum::failover::sim {

using consensus::ClusterMachine;
using consensus::FromRaft;
using consensus::ToRaft;

namespace {

// Coarser than the worker's, to save events; in time the defaults of the settings.
constexpr TimeNs kTick = 50 * kMs;
constexpr uint32_t kElectionTicks = 20;
constexpr uint32_t kHeartbeatTicks = 2;
constexpr TimeNs kReadRetry = 200 * kMs;

}  // namespace

void World::RaftStart(Node& node) {
  RaftNode& r = node.raft;
  std::unique_ptr<raft::test::ModelDisk> disk = std::move(r.disk);
  r = RaftNode();
  r.disk = std::move(disk);
  r.machine = std::make_unique<ClusterMachine>();
  node.cluster = r.machine->published();
  if (!r.disk) {
    raft::Configuration founder;
    founder.voters = {ToRaft(node.id)};
    r.disk = node.id == NodeId(1)
                 ? std::make_unique<raft::test::ModelDisk>(raft::BootstrapLog(founder, ""))
                 : std::make_unique<raft::test::ModelDisk>();
  }
  raft::Options options;
  options.id = ToRaft(node.id);
  options.seed = rng_.Next();
  options.tick_ns = static_cast<uint64_t>(kTick);
  options.election_ticks = kElectionTicks;
  options.heartbeat_ticks = kHeartbeatTicks;
  options.peer_dead_delay_ticks = 1;
  if (r.disk->snapshot().index > raft::Index(0)) {
    RaftRestore(node);
  }
  for (const raft::Entry& entry : r.disk->entries()) {
    if (entry.index > r.disk->snapshot().index) {
      r.machine->NoteAppended(entry);
    }
  }
  Result<std::unique_ptr<raft::Core>> core =
      raft::Core::Create(options, r.disk->Recover(), *r.disk);
  if (!core.ok()) {
    Fail("raft: " + core.status().ToString());
    return;
  }
  r.core = std::move(core).value();
  r.last_tick = now_;
  RaftPump(node);
  After(kTick, node, Domain::kWorker, [this, &node] { RaftTick(node); });
}

void World::RaftStop(Node& node) {
  node.raft.core.reset();
  if (node.raft.disk) {
    node.raft.disk->DropPending();
  }
}

void World::RaftTick(Node& node) {
  RaftNode& r = node.raft;
  TimeNs slept = now_ - r.last_tick;
  r.last_tick = now_;
  if (slept > 3 * kTick) {
    r.core->NoteStall(static_cast<uint64_t>(slept / kTick));
    node.stalled = slept;
    node.stalled_at = now_;
  }
  r.core->Tick(static_cast<uint64_t>(Clock(node)));
  if (!r.current && now_ >= r.read_again) {
    r.read_again = now_ + kReadRetry;
    r.core->ReadIndex(++unique_, raft::ReadMode::kQuorum, static_cast<uint64_t>(Clock(node)));
  }
  RaftPump(node);
  After(kTick, node, Domain::kWorker, [this, &node] { RaftTick(node); });
}

void World::RaftPump(Node& node) {
  uint64_t life = node.life;
  while (node.life == life && node.raft.core) {
    raft::Output out = node.raft.core->TakeOutput();
    if (out.empty()) {
      break;
    }
    bool concerns_policies = !out.committed.empty() || out.restore || out.leadership;
    RaftCarry(node, out);
    if (concerns_policies && node.up) {
      PumpSoon(node);
    }
  }
  if (node.raft.core && !node.raft.core->fatal().ok()) {
    Fail("raft: " + node.raft.core->fatal().ToString());
  }
}

void World::RaftSend(Node& node, const raft::Message& message) {
  NodeId to(message.to.value());
  if (to.value() == 0 || to.value() > nodes_.size()) {
    return;
  }
  Send(node, At(to), Domain::kWorker, [this, to, message] {
    Node& receiver = At(to);
    if (receiver.up && receiver.raft.core) {
      receiver.raft.core->Step(message);
      RaftPump(receiver);
    }
  });
}

// One output of the core, in the order of raftlog/README.md.
void World::RaftCarry(Node& node, raft::Output& out) {
  RaftNode& r = node.raft;
  if (out.persist) {
    RaftNote(node, *out.persist);
  }
  if (out.leadership) {
    r.machine->NoteLeadership(*out.leadership);
  }
  if (out.leadership && out.leadership->role == raft::Role::kLeader) {
    r.leader_since = now_;
    coverage_.Hit(Point::kRaftLeader);
    Trace("raft leader " + std::to_string(node.id.value()) + " term " +
          std::to_string(out.leadership->term.value()));
  }
  for (const raft::Message& message : out.messages) {
    RaftSend(node, message);
  }
  for (raft::SnapshotSend& send : out.snapshot_sends) {
    if (r.disk->snapshot() != send.message.snapshot) {
      r.core->SnapshotUnavailable(send.message.to);
      continue;
    }
    send.message.chunk = r.disk->snapshot_data().substr(send.message.offset, send.max_bytes);
    RaftSend(node, send.message);
  }
  if (out.persist) {
    r.disk->Queue(std::move(*out.persist));
    RaftSync(node);
  }
  for (const raft::SnapshotWrite& piece : out.snapshot_writes) {
    uint64_t offset = r.disk->WritePiece(piece);
    After(kMs, node, Domain::kWorker, [this, &node, meta = piece.meta, offset] {
      node.raft.core->SnapshotWritten(meta, offset);
      RaftPump(node);
    });
  }
  if (out.restore) {
    coverage_.Hit(Point::kRaftSnapshotInstalled);
    RaftRestore(node);
  }
  for (const raft::Entry& entry : out.committed) {
    RaftApply(node, entry);
  }
  if (!out.committed.empty()) {
    r.machine->NoteApplied(out.committed.back());
    r.applied = out.committed.back().index.value();
    r.core->Applied(out.committed.back().index);
    RaftSnapshot(node);
  }
  for (const raft::ReadResult& read : out.reads) {
    if (read.status.ok() && !r.read_index) {
      r.read_index = read.index.value();
    }
  }
  if (!r.current && r.read_index && r.applied >= *r.read_index) {
    r.current = true;
    PumpSoon(node);
  }
}

// One sync serves what was queued when it began.
void World::RaftSync(Node& node) {
  if (node.raft.syncing) {
    return;
  }
  node.raft.syncing = true;
  std::size_t count = node.raft.disk->pending();
  uint64_t most_us = chaos_ && rng_.Chance(1, 100) ? 60'000 : 1'500;
  TimeNs time = static_cast<TimeNs>(rng_.Between(100, most_us)) * 1000;
  After(time, node, Domain::kWorker, [this, &node, count] {
    RaftNode& r = node.raft;
    for (std::size_t i = 0; i < count; ++i) {
      raft::Persist batch = r.disk->CompleteOne();
      for (const raft::Message& message : batch.messages_after) {
        RaftSend(node, message);
      }
      r.core->Persisted(batch.sequence, batch.term, batch.index);
    }
    r.syncing = false;
    if (r.disk->pending() > 0) {
      RaftSync(node);
    }
    RaftPump(node);
  });
}

// What the machine is told of the log, before anything may be acknowledged.
void World::RaftNote(Node& node, const raft::Persist& persist) {
  RaftNode& r = node.raft;
  if (persist.install_snapshot) {
    r.machine->NoteTruncated(raft::Index(r.applied + 1));
  }
  if (!persist.entries.empty()) {
    r.machine->NoteTruncated(persist.entries.front().index);
  }
  for (const raft::Entry& entry : persist.entries) {
    r.machine->NoteAppended(entry);
  }
}

void World::RaftApply(Node& node, const raft::Entry& entry) {
  CommitGlobally(entry);
  if (entry.type == raft::EntryType::kConfig) {
    raft::ConfigEntry config = raft::DecodeConfigEntry(entry.data).value();
    node.raft.machine->ApplyConfiguration(entry.index, config.configuration, config.context);
  } else if (entry.type == raft::EntryType::kCommand) {
    node.raft.machine->Apply(entry);
  }
}

void World::RaftSnapshot(Node& node) {
  RaftNode& r = node.raft;
  if (snapshot_entries_ == 0 || r.applied - r.disk->snapshot().index.value() < snapshot_entries_) {
    return;
  }
  std::string data = r.machine->Snapshot();
  raft::SnapshotMeta meta;
  meta.index = raft::Index(r.applied);
  meta.term = r.core->log().TermAt(meta.index);
  meta.configuration = r.core->ConfigurationAt(meta.index);
  meta.size = data.size();
  meta.checksum = Crc32c(data);
  r.disk->SaveSnapshot(meta, std::move(data));
  r.core->SnapshotTaken(meta);
  uint64_t keep = rng_.Below(snapshot_entries_);
  if (r.applied > keep) {
    r.core->Compact(raft::Index(r.applied - keep));
    r.disk->Compact(raft::Index(r.applied - keep));
  }
  coverage_.Hit(Point::kRaftSnapshotTaken);
}

// The state machine becomes the disk's snapshot.
void World::RaftRestore(Node& node) {
  RaftNode& r = node.raft;
  Status status = r.machine->Restore(r.disk->snapshot(), r.disk->snapshot_data());
  if (!status.ok()) {
    Fail("a snapshot does not restore: " + status.ToString());
    return;
  }
  r.applied = r.disk->snapshot().index.value();
}

bool World::IsLeader(const Node& node) const {
  return node.up && node.raft.core && node.raft.core->role() == raft::Role::kLeader;
}

RaftView World::ViewRaft(const Node& node) const {
  const raft::Core& core = *node.raft.core;
  RaftView view = node.raft.machine->View(IsLeader(node), core.term());
  view.leader_since = Clock(node) - (now_ - node.raft.leader_since);
  view.last_index = core.log().last().value();
  for (const auto& [id, progress] : core.progress()) {
    view.match[FromRaft(id)] = progress.match.value();
  }
  return view;
}

// On the leader at once, elsewhere forwarded to it.
void World::RaftPropose(Node& node, const Command& command) {
  if (!node.up || !node.raft.core) {
    return;
  }
  if (IsLeader(node)) {
    // Refused while the leadership is handed over: repeated by whoever wants it.
    auto position = node.raft.core->Propose(raft::EntryType::kCommand, Encode(command));
    Trace("  " + std::to_string(node.id.value()) + " proposes " + ToString(command) +
          (position.ok() ? "" : ": " + position.status().ToString()));
  } else {
    node.raft.core->Forward(++unique_, raft::EntryType::kCommand, Encode(command));
  }
  RaftPump(node);
}

void World::RaftChangeMembers(Node& node, const RaftChange& change) {
  std::vector<raft::ConfigChange> wanted = {ToRaft(change, *node.cluster)};
  [[maybe_unused]] auto position = node.raft.core->ProposeConfig(wanted, "");
  RaftPump(node);
}

}  // namespace pgquorum::failover::sim
