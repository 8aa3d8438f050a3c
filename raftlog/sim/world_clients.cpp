#include <algorithm>
#include <utility>

#include "raftlog/codec.h"
#include "raftlog/errors.h"
#include "raftlog/sim/world.h"

#include "base/pure.h"

namespace pgquorum::raft::sim {
namespace {
constexpr uint64_t kSpareNodes = 3;
constexpr uint32_t kKeys = 3;
constexpr uint32_t kCounterKey = 100;  // the sessions' counter
}  // namespace

void World::ScheduleClient() {
  At(now_ + 1 + random_.Below(2 * plan_.client_gap_us), [this] {
    if (chaos_) {
      ClientStep();
      ScheduleClient();
    }
  });
}

void World::ClientStep() {
  Node* node = RandomUp();
  Node* leader = Leader();
  if (leader != nullptr && !leader->paused && random_.Chance(1, 2)) {
    node = leader;
  }
  if (node == nullptr) {
    return;
  }
  uint64_t incarnation = node->incarnation;
  uint64_t dice = random_.Below(20);
  if (plan_.read_heavy && random_.Chance(1, 2)) {
    Read(*node);
  } else if (dice < 9) {
    Propose(*node);
  } else if (dice < 14) {
    Read(*node);
  } else if (dice < 18) {
    SessionStep(*node);
  } else if (dice == 18 && leader != nullptr && plan_.membership && !leader->paused) {
    ChangeMembers(*leader);
    return;
  }
  if (node->core != nullptr && node->incarnation == incarnation) {
    Pump(*node);
  }
}

void World::Propose(Node& node) {
  uint64_t burst = plan_.small_limits ? random_.Between(1, 20) : random_.Between(1, 3);
  for (uint64_t i = 0; i < burst; ++i) {
    auto key = static_cast<uint32_t>(random_.Below(kKeys));
    uint64_t value = next_value_++;
    uint64_t operation = history_.Call(Operation::Kind::kWrite, key, value);
    std::string data = std::to_string(key) + " " + std::to_string(value);
    if (node.core->role() != Role::kLeader) {
      uint64_t request = next_request_++;
      node.forwards[request] = operation;
      node.core->Forward(request, EntryType::kCommand, std::move(data));
      continue;
    }
    uint64_t before = node.core->log().last() - node.core->log().commit();
    Result<LogPosition> at = node.core->Propose(EntryType::kCommand, std::move(data));
    if (at.ok()) {
      node.proposals[{at.value().index, at.value().term}] = operation;
      if (before >= (plan_.small_limits ? 10 : 100'000)) {
        checker_.Fail("unbounded log: " + std::to_string(before) + " uncommitted entries");
      }
      continue;
    }
    history_.Refuse(operation);
    coverage_.Hit(Point::kOverloaded, at.status().sqlstate() == kErrOverloaded ? 1 : 0);
  }
}

void World::Read(Node& node) {
  uint64_t request = next_request_++;
  auto key = static_cast<uint32_t>(random_.Below(kKeys));
  node.reads[request] = {history_.Call(Operation::Kind::kRead, key, 0), key, checker_.floor(),
                         Index()};
  bool lease = plan_.lease_reads && random_.Chance(2, 3);
  uint64_t before = node.core->metrics().reads_lease;
  node.core->ReadIndex(request, lease ? ReadMode::kLease : ReadMode::kQuorum, ClockOf(node));
  coverage_.Hit(Point::kReadLease, node.core->metrics().reads_lease - before);
}

// Each client has one command under way and repeats it, through any node, until it is answered.
void World::SessionStep(Node& node) {
  std::size_t which = random_.Below(clients_.size());
  Client& client = clients_[which];
  if (client.waiting && now_ - client.since < 30'000) {
    return;
  }
  if (client.waiting && client.session) {
    coverage_.Hit(Point::kSessionRepeated);
  }
  if (!client.waiting && client.session) {
    ++client.sequence;
    client.operation = history_.Call(Operation::Kind::kIncrement, kCounterKey, 0);
  }
  client.waiting = true;
  client.since = now_;
  SessionCommand command;
  command.session = client.session;
  command.sequence = client.session ? client.sequence : 0;
  command.answered_below = command.sequence;
  command.command = "client" + std::to_string(which);
  uint64_t request = next_request_++;
  node.forwards[request] = 0;
  node.core->Forward(request, EntryType::kSession, EncodeSessionCommand(command));
}

void World::ChangeMembers(Node& leader) {
  std::vector<ConfigChange> changes;
  std::size_t count = random_.Between(1, 3);
  for (std::size_t i = 0; i < count; ++i) {
    ConfigChange change;
    change.node = NodeId(random_.Between(1, plan_.founders + kSpareNodes));
    change.kind = static_cast<ChangeKind>(random_.Between(1, 4));
    changes.push_back(change);
  }
  Result<LogPosition> at = leader.core->ProposeConfig(changes, "");
  if (!at.ok()) {
    return;
  }
  coverage_.Hit(leader.core->configuration().joint() ? Point::kConfigJoint : Point::kConfigSimple);
  Trace("members " + ToString(leader.core->configuration()));
  for (NodeId id : leader.core->configuration().Members()) {
    if (!nodes_.contains(id)) {
      AddNode(id, nullptr);
    }
  }
  Pump(leader);
}

void World::OnApplied(Node& node, const Entry& entry) {
  // Proposals for this index under another term were replaced: they certainly never happen.
  while (!node.proposals.empty() && node.proposals.begin()->first.first <= entry.index) {
    const auto& [position, operation] = *node.proposals.begin();
    if (position == std::pair(entry.index, entry.term)) {
      checker_.OnOperationDone(entry.index);
      if (operation != 0) {
        history_.Answer(operation, 0);
      }
    } else if (operation != 0 && position.first == entry.index) {
      history_.Refuse(operation);
    }
    node.proposals.erase(node.proposals.begin());
  }
  if (entry.type != EntryType::kSession || entry.index <= executed_to_) {
    return;
  }
  executed_to_ = entry.index;
  Result<SessionCommand> command = DecodeSessionCommand(entry.data);
  const SessionOutcome& outcome = node.machine.outcome();
  for (Client& client : clients_) {
    bool opens = !client.session && client.waiting && !command.value().session;
    if (opens) {
      client.session = outcome.session;
      client.waiting = false;
      break;
    }
    if (client.session && client.session == outcome.session &&
        client.sequence == command.value().sequence) {
      if (client.waiting && outcome.status.ok()) {
        history_.Answer(client.operation, std::stoull(outcome.answer));
      }
      client.waiting = false;
    }
  }
  if (command.value().session && outcome.executed &&
      !executed_.insert({outcome.session, command.value().sequence}).second) {
    checker_.Fail("exactly once: command " + std::to_string(command.value().sequence) +
                  " of session " + std::to_string(outcome.session.value()) + " was executed twice");
  }
}

void World::HandleAnswers(Node& node, Output& out) {
  for (const ReadResult& read : out.reads) {
    auto asked = node.reads.find(read.request);
    if (asked == node.reads.end()) {
      checker_.Fail("a read that nobody asked for was answered");
      return;
    }
    if (read.status.ok()) {
      coverage_.Hit(node.core->role() == Role::kLeader ? Point::kReadQuorum : Point::kReadFollower);
      checker_.OnReadAnswered(node.id, asked->second.floor, read.index);
      asked->second.index = read.index;
      node.readings.push_back(asked->second);
    }
    node.reads.erase(asked);
  }
  AnswerReads(node);
  for (const ForwardResult& forward : out.forwards) {
    auto asked = node.forwards.find(forward.request);
    if (asked == node.forwards.end()) {
      checker_.Fail("a proposal that nobody forwarded was answered");
      return;
    }
    if (forward.status.ok()) {
      coverage_.Hit(Point::kForwarded);
      if (node.machine.applied() < forward.index) {
        node.proposals[{forward.index, forward.term}] = asked->second;
      }
    }
    if (!forward.status.ok() && forward.status.sqlstate() != kErrOutcomeUnknown &&
        asked->second != 0) {
      history_.Refuse(asked->second);
    }
    node.forwards.erase(asked);
  }
}

// A read is served once the state machine has applied its index.
void World::AnswerReads(Node& node) {
  std::erase_if(node.readings, [&](const Reading& reading) {
    if (reading.index > node.machine.applied()) {
      return false;
    }
    history_.Answer(reading.operation, node.machine.value(reading.key));
    return true;
  });
}

}  // namespace pgquorum::raft::sim
