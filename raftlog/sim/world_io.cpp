// The runtime of a simulated node: carries out what its core asks for, in the order that the
// contract demands, and may die between any two steps.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "raftlog/describe.h"
#include "raftlog/errors.h"
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
    if (!node.core->fatal().ok() && node.core->fatal().sqlstate() != kErrBroken) {
      DiskFailed(node, node.core->fatal());  // its log cannot be read back
      return;
    }
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
    QueueBatch(node, std::move(*out.persist));
    if (CrashPoint(node, installs ? Point::kCrashAtSnapshotInstall : Point::kCrashAfterQueue)) {
      return;
    }
  }
  for (const SnapshotWrite& piece : out.snapshot_writes) {
    if (!WritePiece(node, piece) || CrashPoint(node, Point::kCrashInSnapshotReceive)) {
      return;
    }
  }
  if (out.restore && !Restore(node, *out.restore)) {
    return;
  }
  if (!out.committed.empty()) {
    Apply(node, out.committed);
    if (CrashPoint(node, Point::kCrashAfterApply)) {
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
  if (message.kind == MessageKind::kAppendReply && message.force && !message.log_index) {
    coverage_.Hit(Point::kRefillAskedFor);
  }
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

void World::Apply(Node& node, const std::vector<Entry>& entries) {
  for (const Entry& entry : entries) {
    node.machine.Apply(entry);
    checker_.OnApply(node.id, node.machine);
    OnApplied(node, entry);
  }
  node.core->Applied(node.machine.applied());
  AnswerReads(node);
}

}  // namespace pgquorum::raft::sim
