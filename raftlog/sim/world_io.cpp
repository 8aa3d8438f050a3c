// The runtime of a simulated node: carries out what its core asks for, in the order that the
// contract demands, and may die between any two steps.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/crc32c.h"
#include "raftlog/describe.h"
#include "raftlog/sim/world.h"

#include "base/pure.h"

namespace pgquorum::raft::sim {

bool World::CrashPoint(Node& node, Point point) {
  // Snapshots are rare: what can go wrong around them needs more chances.
  bool rare = point == Point::kCrashAtSnapshotInstall || point == Point::kCrashInSnapshotReceive ||
              point == Point::kCrashAfterSnapshotTaken;
  if (!chaos_ || !random_.Chance(plan_.crash_permille * (rare ? 10 : 1), 1000)) {
    return false;
  }
  coverage_.Hit(point);
  Trace(std::string(Name(point)) + " " + std::to_string(node.id.value()));
  Crash(node);
  return true;
}

void World::Pump(Node& node) {
  uint64_t incarnation = node.incarnation;
  for (int rounds = 0; node.core != nullptr && node.incarnation == incarnation; ++rounds) {
    PGQUORUM_CHECK(rounds < 1000);
    Output out = node.core->TakeOutput();
    bool idle = out.empty();
    if (!idle) {
      HandleOutput(node, out);
    }
    if (node.core == nullptr || node.incarnation != incarnation) {
      return;
    }
    checker_.OnStep(*node.core);
    if (idle) {
      return;
    }
  }
}

void World::HandleOutput(Node& node, Output& out) {
  if (out.persist) {
    checker_.OnPersist(*node.core, *out.persist);
  }
  checker_.OnStep(*node.core);
  if (out.leadership) {
    Trace("node " + std::to_string(node.id.value()) + " is " + Name(out.leadership->role) +
          " in term " + std::to_string(out.leadership->term.value()));
    if (out.leadership->role == Role::kLeader) {
      coverage_.Hit(out.leadership->term > Term(2) ? Point::kLeaderChange : Point::kElection);
      CheckLeases(node);
    }
  }
  for (const Message& message : out.messages) {
    Transmit(message);
  }
  for (SnapshotSend& send : out.snapshot_sends) {
    SendSnapshot(node, send);
  }
  if (CrashPoint(node, Point::kCrashBeforeWrite)) {
    return;
  }
  if (out.persist) {
    bool installs = out.persist->install_snapshot.has_value();
    QueueWrite(node, std::move(*out.persist));
    if (CrashPoint(node, installs ? Point::kCrashAtSnapshotInstall : Point::kCrashAfterQueue)) {
      return;
    }
  }
  for (const SnapshotWrite& piece : out.snapshot_writes) {
    uint64_t offset = node.disk->WritePiece(piece);
    if (CrashPoint(node, Point::kCrashInSnapshotReceive)) {
      return;
    }
    SnapshotMeta meta = piece.meta;
    node.piece_done_at = std::max(node.piece_done_at, now_) + random_.Below(plan_.sync_us_max);
    OnNode(node.id, node.piece_done_at,
           [meta, offset](Node& at) { at.core->SnapshotWritten(meta, offset); });
  }
  if (out.restore) {
    Restore(node);
  }
  if (!out.committed.empty()) {
    Apply(node, out.committed);
    if (CrashPoint(node, Point::kCrashAfterApply)) {
      return;
    }
    MaybeSnapshot(node);
    if (node.core == nullptr) {
      return;
    }
  }
  HandleAnswers(node, out);
}

// While a leader could answer reads from its lease, none may be elected in a higher term.
void World::CheckLeases(const Node& elected) {
  for (const auto& [id, other] : nodes_) {
    if (other->core != nullptr && other->core->term() < elected.core->term() &&
        other->core->LeaseHeld(ClockOf(*other))) {
      checker_.Fail("lease: node " + std::to_string(elected.id.value()) +
                    " was elected while node " + std::to_string(id.value()) + " held a lease");
    }
  }
}

void World::Transmit(const Message& message) {
  checker_.OnSend(message);
  if (nodes_.find(message.to) == nodes_.end()) {
    return;
  }
  if (Cut(message.from, message.to)) {
    coverage_.Hit(Point::kMessageCut);
    return;
  }
  bool lossy = chaos_;
  if (lossy && random_.Chance(plan_.loss_permille, 1000)) {
    coverage_.Hit(Point::kMessageLost);
    Trace("lost " + Describe(message));
    return;
  }
  int copies = 1;
  if (lossy && random_.Chance(plan_.duplicate_permille, 1000)) {
    coverage_.Hit(Point::kMessageDoubled);
    copies = 2;
  }
  for (int i = 0; i < copies; ++i) {
    uint64_t delay = 20 + random_.Below(chaos_ ? plan_.delay_us_max : 1'000);
    if (lossy && random_.Chance(plan_.late_permille, 1000)) {
      delay += random_.Below(400'000);
    }
    NodeId to = message.to;
    // Not bound to the receiver's incarnation: a network does not know of restarts.
    At(now_ + delay, [this, to, message] {
      Node& node = NodeOf(to);
      RunOne(node, node.incarnation, [this, message](Node& receiver) {
        Trace("got " + Describe(message));
        receiver.core->Step(message);
      });
    });
  }
}

void World::SendSnapshot(Node& node, SnapshotSend& send) {
  if (node.disk->snapshot() != send.message.snapshot) {
    NodeId to = send.message.to;
    OnNode(node.id, now_, [to](Node& sender) { sender.core->SnapshotUnavailable(to); });
    return;
  }
  send.message.chunk = node.disk->snapshot_data().substr(send.message.offset, send.max_bytes);
  Transmit(send.message);
}

void World::QueueWrite(Node& node, Persist batch) {
  if (bugs_.send_before_durable) {
    for (const Message& message : std::exchange(batch.messages_after, {})) {
      Transmit(message);
    }
  }
  node.disk->Queue(std::move(batch));
  if (!node.syncing) {
    StartSync(node);
  }
}

// One sync serves all that was queued when it began.
void World::StartSync(Node& node) {
  node.syncing = true;
  node.sync_count = node.disk->pending();
  // Calm includes the disks: the liveness phase measures the protocol, not a slow device.
  uint64_t longest = chaos_ ? plan_.sync_us_max : std::min<uint64_t>(plan_.sync_us_max, 2'000);
  uint64_t done = std::max(now_ + 10 + random_.Below(longest), node.disk_stuck_until);
  OnNode(node.id, done, [this](Node& at) { SyncDone(at); });
}

void World::SyncDone(Node& node) {
  uint64_t incarnation = node.incarnation;
  for (std::size_t i = 0; i < node.sync_count; ++i) {
    Persist batch = node.disk->CompleteOne();
    if (CrashPoint(node, Point::kCrashAfterSync)) {
      return;
    }
    for (const Message& message : batch.messages_after) {
      Transmit(message);
    }
    if (CrashPoint(node, Point::kCrashAfterRelease)) {
      return;
    }
    node.core->Persisted(batch.sequence, batch.term, batch.index);
    if (batch.install_snapshot) {
      coverage_.Hit(Point::kSnapshotInstalled);
    }
  }
  PGQUORUM_CHECK(node.incarnation == incarnation);
  node.syncing = false;
  if (node.disk->pending() > 0) {
    StartSync(node);
  }
}

void World::Restore(Node& node) {
  Trace("restore " + std::to_string(node.id.value()) + " " + Describe(node.disk->snapshot()));
  node.machine = Machine();
  PGQUORUM_CHECK(node.machine.Load(node.disk->snapshot_data()).ok());
  checker_.OnApply(node.id, node.machine);
}

void World::Apply(Node& node, const std::vector<Entry>& entries) {
  for (const Entry& entry : entries) {
    node.machine.Apply(entry);
    checker_.OnApply(node.id, node.machine);
    OnApplied(node, entry);
  }
  node.core->Applied(node.machine.applied());
}

void World::MaybeSnapshot(Node& node) {
  Index applied = node.machine.applied();
  if (applied - node.disk->snapshot().index < plan_.snapshot_entries) {
    return;
  }
  SnapshotMeta meta;
  std::string data = node.machine.Save();
  meta.index = applied;
  meta.term = node.machine.applied_term();
  meta.configuration = node.core->ConfigurationAt(applied);
  meta.size = data.size();
  meta.checksum = Crc32c(data);
  Trace("snapshot " + std::to_string(node.id.value()) + " " + Describe(meta));
  node.disk->SaveSnapshot(meta, std::move(data));
  if (CrashPoint(node, Point::kCrashAfterSnapshotTaken)) {
    return;
  }
  node.core->SnapshotTaken(meta);
  uint64_t keep = random_.Below(10);
  if (applied.value() > keep) {
    node.core->Compact(applied - keep);
    node.disk->Compact(applied - keep);
  }
}

}  // namespace pgquorum::raft::sim
