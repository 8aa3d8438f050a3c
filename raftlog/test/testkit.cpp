#include "raftlog/test/testkit.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/check.h"
#include "base/crc32c.h"

namespace pgquorum::raft::test {

Configuration Voters(std::initializer_list<uint64_t> ids) {
  Configuration configuration;
  for (uint64_t id : ids) {
    configuration.voters.push_back(NodeId(id));
  }
  return configuration;
}

namespace {

Configuration FirstVoters(uint64_t count) {
  Configuration configuration;
  for (uint64_t id = 1; id <= count; ++id) {
    configuration.voters.push_back(NodeId(id));
  }
  return configuration;
}

}  // namespace

Cluster::Cluster(uint64_t voters, uint64_t joiners, Tweak tweak)
    : Cluster(FirstVoters(voters), voters + joiners, std::move(tweak)) {}

Cluster::Cluster(const Configuration& founding, uint64_t nodes, Tweak tweak) {
  Bootstrap bootstrap = BootstrapLog(founding, "");
  for (uint64_t id = 1; id <= nodes; ++id) {
    auto node = std::make_unique<TestNode>();
    if (founding.IsMember(NodeId(id))) {
      node->disk = ModelDisk(bootstrap);
    }
    node->options.id = NodeId(id);
    node->options.election_ticks = 10;
    node->options.heartbeat_ticks = 2;
    node->options.priority_transfer = false;
    if (tweak) {
      tweak(node->options);
    }
    Start(*node);
    nodes_[NodeId(id)] = std::move(node);
  }
}

void Cluster::Start(TestNode& node) {
  Result<std::unique_ptr<Core>> core = Core::Create(node.options, node.disk.Recover(), node.disk);
  ASSERT_TRUE(core.ok()) << core.status().ToString();
  node.core = std::move(core).value();
}

void Cluster::Post(const Message& message) {
  if (!cuts_.contains({message.from, message.to}) && nodes_.contains(message.to)) {
    wire_.push_back(message);
  }
}

void Cluster::Pump(uint64_t id) {
  TestNode& node = Node(id);
  while (node.core != nullptr) {
    Output out = node.core->TakeOutput();
    if (out.empty()) {
      return;
    }
    for (const Message& message : out.messages) {
      Post(message);
    }
    for (SnapshotSend& send : out.snapshot_sends) {
      send.message.chunk = node.disk.snapshot_data().substr(send.message.offset, send.max_bytes);
      Post(send.message);
    }
    if (out.persist) {
      node.disk.Queue(std::move(*out.persist));
      if (!node.hold_disk) {
        while (node.disk.pending() > 0) {
          Release(node.disk.CompleteOne(), node);
        }
      }
    }
    for (const SnapshotWrite& piece : out.snapshot_writes) {
      node.core->SnapshotWritten(piece.meta, node.disk.WritePiece(piece));
    }
    if (out.restore) {
      ++node.restores;
      node.applied.clear();
    }
    for (const Entry& entry : out.committed) {
      node.applied.push_back(entry);
      node.core->Applied(entry.index);
    }
    node.reads.insert(node.reads.end(), out.reads.begin(), out.reads.end());
    node.forwards.insert(node.forwards.end(), out.forwards.begin(), out.forwards.end());
    if (out.leadership) {
      node.leaderships.push_back(*out.leadership);
    }
  }
}

void Cluster::Release(Persist batch, TestNode& node) {
  for (const Message& message : batch.messages_after) {
    Post(message);
  }
  node.core->Persisted(batch.sequence, batch.term, batch.index);
}

void Cluster::Tick(uint64_t id, uint64_t ticks) {
  TestNode& node = Node(id);
  for (uint64_t i = 0; i < ticks && node.core != nullptr; ++i) {
    node.now_ns += node.options.tick_ns;
    node.core->Tick(node.now_ns);
    Pump(id);
  }
}

void Cluster::TickAll(uint64_t ticks) {
  for (uint64_t i = 0; i < ticks; ++i) {
    for (auto& [id, node] : nodes_) {
      Tick(id.value());
    }
    Deliver();
  }
}

bool Cluster::DeliverOne() {
  if (wire_.empty()) {
    return false;
  }
  Message message = std::move(wire_.front());
  wire_.pop_front();
  uint64_t to = message.to.value();
  if (Node(to).core != nullptr) {
    Node(to).core->Step(std::move(message));
    Pump(to);
  }
  return true;
}

void Cluster::Deliver() {
  for (int i = 0; DeliverOne(); ++i) {
    PGQUORUM_CHECK(i < 100'000);
  }
}

void Cluster::Isolate(uint64_t id) {
  for (const auto& [other, node] : nodes_) {
    CutLink(id, other.value());
    CutLink(other.value(), id);
  }
}

void Cluster::Drop(const std::function<bool(const Message&)>& match) {
  std::erase_if(wire_, match);
}

void Cluster::SyncOne(uint64_t id) {
  TestNode& node = Node(id);
  Release(node.disk.CompleteOne(), node);
  Pump(id);
}

void Cluster::Sync(uint64_t id) {
  while (Node(id).disk.pending() > 0) {
    SyncOne(id);
  }
}

void Cluster::Crash(uint64_t id) {
  TestNode& node = Node(id);
  node.core.reset();
  // Nothing unsynced survives: the strict case, which unit tests want to be certain of.
  node.disk.DropPending();
}

void Cluster::Damage(uint64_t id, uint64_t from) {
  Crash(id);
  Node(id).disk.LoseFrom(Index(from));
  Restart(id);
}

void Cluster::Restart(uint64_t id) {
  TestNode& node = Node(id);
  if (node.core != nullptr) {
    Crash(id);
  }
  node.applied.clear();
  node.reads.clear();
  node.forwards.clear();
  ++node.options.seed;
  Start(node);
  Pump(id);
}

void Cluster::Elect(uint64_t id) {
  // The others have been silent for long enough not to be bound to an earlier leader.
  for (auto& [other, node] : nodes_) {
    if (other.value() != id && node->core != nullptr && node->core->role() != Role::kLeader) {
      // In two halves with a fresh timer, so that they do not campaign themselves.
      for (int half = 0; half < 2; ++half) {
        node->core->NoteStall(1);
        Tick(other.value(), (node->options.election_ticks + 1) / 2);
      }
      node->core->NoteStall(1);
    }
  }
  Deliver();
  for (int i = 0; i < 200 && (*this)[id].role() != Role::kLeader; ++i) {
    Tick(id);
    Deliver();
  }
  PGQUORUM_CHECK((*this)[id].role() == Role::kLeader);
  Tick(id, Node(id).options.heartbeat_ticks);
  Deliver();
}

LogPosition Cluster::Commit(uint64_t id, std::string data) {
  Result<LogPosition> at = (*this)[id].Propose(EntryType::kCommand, std::move(data));
  PGQUORUM_CHECK(at.ok());
  Pump(id);
  Deliver();
  return at.value();
}

void Cluster::Snapshot(uint64_t id, uint64_t keep) {
  TestNode& node = Node(id);
  Index applied = node.core->applied();
  std::string data(1000 + applied.value(), 's');
  SnapshotMeta meta;
  meta.index = applied;
  meta.term = node.core->log().TermAt(applied);
  meta.configuration = node.core->ConfigurationAt(applied);
  meta.size = data.size();
  meta.checksum = Crc32c(data);
  node.disk.SaveSnapshot(meta, std::move(data));
  node.core->SnapshotTaken(meta);
  node.core->Compact(applied - keep);
  node.disk.Compact(applied - keep);
}

}  // namespace pgquorum::raft::test
