// The worker's Raft: the shipped core over a model of its disk, carried out in the order that
// raftlog/README.md demands. What the worker's state machine remembers of its log (memberships,
// revokes) is kept here as it is there.
#include <algorithm>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "bgworkers/failover/sim/world.h"
#include "raftlog/codec.h"

namespace pgquorum::failover::sim {
namespace {

// Coarser than the worker's, to save events; in time the defaults of the settings.
constexpr TimeNs kTick = 50 * kMs;
constexpr uint32_t kElectionTicks = 20;
constexpr uint32_t kHeartbeatTicks = 2;
constexpr TimeNs kReadRetry = 200 * kMs;

raft::NodeId RaftId(NodeId node) {
  return raft::NodeId(node.value());
}

std::vector<NodeId> FromRaft(const std::vector<raft::NodeId>& ids) {
  std::vector<NodeId> nodes;
  for (raft::NodeId id : ids) {
    nodes.emplace_back(id.value());
  }
  return nodes;
}

}  // namespace

void World::RaftStart(Node& node) {
  RaftNode& r = node.raft;
  std::unique_ptr<raft::test::ModelDisk> disk = std::move(r.disk);
  r = RaftNode();
  r.disk = std::move(disk);
  if (!r.disk) {
    raft::Configuration founder;
    founder.voters = {RaftId(node.id)};
    r.disk = node.id == NodeId(1)
                 ? std::make_unique<raft::test::ModelDisk>(raft::BootstrapLog(founder, ""))
                 : std::make_unique<raft::test::ModelDisk>();
  }
  raft::Options options;
  options.id = RaftId(node.id);
  options.seed = rng_.Next();
  options.tick_ns = static_cast<uint64_t>(kTick);
  options.election_ticks = kElectionTicks;
  options.heartbeat_ticks = kHeartbeatTicks;
  options.peer_dead_delay_ticks = 1;
  if (r.disk->snapshot().index > raft::Index(0)) {
    RaftRestore(node);
  }
  for (const raft::Entry& entry : r.disk->entries()) {
    RaftNote(node, entry);
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
    if (!out.persist->entries.empty()) {
      uint64_t first = out.persist->entries.front().index.value();
      std::erase_if(r.memberships, [first](uint64_t index) { return index >= first; });
    }
    for (const raft::Entry& entry : out.persist->entries) {
      RaftNote(node, entry);
    }
  }
  if (out.leadership && out.leadership->role == raft::Role::kLeader) {
    r.leader_since = now_;
    coverage_.Count("raft leader elected");
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
    coverage_.Count("raft snapshot installed");
    RaftRestore(node);
  }
  for (const raft::Entry& entry : out.committed) {
    RaftApply(node, entry);
  }
  if (!out.committed.empty()) {
    r.core->Applied(out.committed.back().index);
    r.applied = out.committed.back().index.value();
    r.applied_term = out.committed.back().term.value();
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

// Before an entry may be acknowledged.
void World::RaftNote(Node& node, const raft::Entry& entry) {
  RaftNode& r = node.raft;
  if (entry.type == raft::EntryType::kConfig) {
    r.memberships.push_back(entry.index.value());
  } else if (entry.type == raft::EntryType::kCommand) {
    r.revoked = std::max(r.revoked, RevokedEpochOf(entry.data));
  }
}

void World::RaftApply(Node& node, const raft::Entry& entry) {
  RaftNode& r = node.raft;
  uint64_t index = entry.index.value();
  CommitGlobally(entry);
  if (entry.type == raft::EntryType::kConfig) {
    r.base_membership = index;
    std::erase_if(r.memberships, [index](uint64_t i) { return i <= index; });
  } else if (entry.type == raft::EntryType::kCommand) {
    [[maybe_unused]] ApplyResult result = node.cluster->ApplyEncoded(index, entry.data);
  }
}

void World::RaftSnapshot(Node& node) {
  RaftNode& r = node.raft;
  if (snapshot_entries_ == 0 || r.applied - r.disk->snapshot().index.value() < snapshot_entries_) {
    return;
  }
  ByteWriter out;
  out.U64(r.base_membership);
  out.Raw(node.cluster->Snapshot());
  std::string data = std::move(out).Take();
  raft::SnapshotMeta meta;
  meta.index = raft::Index(r.applied);
  meta.term = raft::Term(r.applied_term);
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
  coverage_.Count("raft snapshot taken");
}

// The state machine becomes the disk's snapshot.
void World::RaftRestore(Node& node) {
  RaftNode& r = node.raft;
  ByteReader in(r.disk->snapshot_data());
  r.base_membership = in.U64();
  r.memberships.clear();
  Result<ClusterState> state =
      ClusterState::Restore(std::string_view(r.disk->snapshot_data())
                                .substr(r.disk->snapshot_data().size() - in.remaining()));
  if (!state.ok()) {
    Fail("a snapshot does not restore: " + state.status().ToString());
    return;
  }
  node.cluster = std::move(state).value();
  if (options_.bugs.local_timelines) {
    node.cluster->LeaveTimelinesToPostgres();
  }
  r.applied = r.disk->snapshot().index.value();
  r.applied_term = r.disk->snapshot().term.value();
  // What came inside a snapshot counts like an entry of the log.
  if (node.cluster->created()) {
    r.revoked = std::max(r.revoked, node.cluster->highest_epoch());
  }
}

uint64_t World::MembershipVersion(const Node& node) const {
  return node.raft.memberships.empty() ? node.raft.base_membership : node.raft.memberships.back();
}

Voters World::VotersOf(const Node& node) const {
  const raft::Configuration& now = node.raft.core->configuration();
  return {MembershipVersion(node), FromRaft(now.voters), FromRaft(now.outgoing)};
}

bool World::IsLeader(const Node& node) const {
  return node.up && node.raft.core && node.raft.core->role() == raft::Role::kLeader;
}

RaftView World::ViewRaft(const Node& node) const {
  const raft::Core& core = *node.raft.core;
  RaftView view;
  view.term = core.term().value();
  view.caught_up = IsLeader(node) && node.raft.applied_term == view.term;
  view.leader_since = Clock(node) - (now_ - node.raft.leader_since);
  view.voters = VotersOf(node);
  view.learners = FromRaft(core.configuration().learners);
  view.change_pending =
      core.configuration().joint() || view.voters.version > core.log().commit().value();
  view.last_index = core.log().last().value();
  for (const auto& [id, progress] : core.progress()) {
    view.match[NodeId(id.value())] = progress.match.value();
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
  raft::ConfigChange wanted;
  wanted.node = RaftId(change.node);
  const Member* member = node.cluster->FindMember(change.node);
  switch (change.kind) {
    case RaftChange::Kind::kAddLearner:
      wanted.kind = raft::ChangeKind::kAddLearner;
      break;
    case RaftChange::Kind::kPromote:
      wanted.kind = member != nullptr && !member->data() ? raft::ChangeKind::kAddWitness
                                                         : raft::ChangeKind::kAddVoter;
      break;
    case RaftChange::Kind::kRemove:
      wanted.kind = raft::ChangeKind::kRemove;
      break;
  }
  [[maybe_unused]] auto position = node.raft.core->ProposeConfig({wanted}, "");
  RaftPump(node);
}

// A planned switchover restarts the old primary's worker: the leadership goes to the target before.
void World::RaftHandOver(Node& node) {
  const FailoverRequest* request = node.cluster->PendingRequest();
  if (request == nullptr || request->verb.kind != RequestKind::kSwitchover ||
      node.cluster->recruiting() || node.cluster->rule().primary != node.id) {
    return;
  }
  [[maybe_unused]] Status status = node.raft.core->TransferLeadership(RaftId(request->verb.target));
  RaftPump(node);
}

}  // namespace pgquorum::failover::sim
