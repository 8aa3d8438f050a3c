// A small but sound Raft: elections, replication, single-step membership changes, logs that
// survive.
#include <algorithm>

#include "bgworkers/failover/sim/world.h"

namespace pgquorum::failover::sim {
namespace {

uint64_t LastTerm(const Raft& raft) {
  return raft.log.empty() ? 0 : raft.log.back().term;
}

bool IsIn(const std::vector<NodeId>& nodes, NodeId node) {
  return std::find(nodes.begin(), nodes.end(), node) != nodes.end();
}

}  // namespace

const RaftEntry* World::Membership(const Node& node, uint64_t* index) const {
  for (std::size_t i = node.raft.log.size(); i-- > 0;) {
    if (node.raft.log[i].members) {
      if (index != nullptr) {
        *index = i + 1;
      }
      return &node.raft.log[i];
    }
  }
  return nullptr;
}

Voters World::VotersOf(const Node& node) const {
  const RaftEntry* entry = Membership(node);
  return entry != nullptr ? *entry->members : Voters();
}

void World::ResetElection(Node& node) {
  node.raft.election_at = now_ + static_cast<TimeNs>(rng_.Between(500, 1000)) * kMs;
}

void World::RaftStart(Node& node) {
  Raft& raft = node.raft;
  raft.role = Raft::kFollower;
  raft.leader = NodeId();
  raft.votes.clear();
  raft.match.clear();
  raft.heard.clear();
  raft.current = false;
  RaftRecompute(node);
  // What was known to be committed is not durable: the restarted node lives in the past for a
  // while.
  raft.commit -= std::min(raft.commit, rng_.Below(8));
  ResetElection(node);
}

void World::RaftRecompute(Node& node) {
  node.raft.revoked = Epoch();
  for (const RaftEntry& entry : node.raft.log) {
    node.raft.revoked = std::max(node.raft.revoked, RevokedEpochOf(entry.bytes));
  }
}

void World::RaftStepDown(Node& node, uint64_t term) {
  Raft& raft = node.raft;
  if (term > raft.term) {
    raft.term = term;
    raft.voted = NodeId();
  }
  if (raft.role == Raft::kLeader) {
    node.coordinator->Reset();
  }
  raft.role = Raft::kFollower;
  raft.votes.clear();
}

void World::RaftTick(Node& node) {
  Raft& raft = node.raft;
  if (raft.role == Raft::kLeader) {
    std::size_t alive = 0;
    Voters voters = VotersOf(node);
    for (NodeId voter : voters.current) {
      alive += voter == node.id || now_ - raft.heard[voter] < 1000 * kMs ? 1 : 0;
    }
    if (alive * 2 <= voters.current.size() && now_ - raft.leader_since > 1000 * kMs) {
      RaftStepDown(node, raft.term);
      ResetElection(node);
      return;
    }
    RaftBroadcast(node);
  } else if (now_ >= raft.election_at) {
    RaftCampaign(node);
  }
}

void World::RaftCampaign(Node& node) {
  Raft& raft = node.raft;
  Voters voters = VotersOf(node);
  ResetElection(node);
  if (!IsIn(voters.current, node.id)) {
    return;
  }
  ++raft.term;
  raft.voted = node.id;
  raft.role = Raft::kCandidate;
  raft.leader = NodeId();
  raft.votes = {node.id};
  RaftMessage message;
  message.kind = RaftMessage::kVote;
  message.from = node.id;
  message.term = raft.term;
  message.index = raft.log.size();
  message.log_term = LastTerm(raft);
  for (NodeId voter : voters.current) {
    if (voter != node.id) {
      Send(node, At(voter), Domain::kWorker,
           [this, voter, message] { RaftReceive(At(voter), message); });
    }
  }
  RaftAdvance(node);
}

void World::RaftSendTo(Node& node, NodeId to) {
  Raft& raft = node.raft;
  RaftMessage message;
  message.kind = RaftMessage::kAppend;
  message.from = node.id;
  message.term = raft.term;
  message.index = std::min<uint64_t>(raft.match[to], raft.log.size());
  message.log_term = message.index == 0 ? 0 : raft.log[message.index - 1].term;
  message.commit = raft.commit;
  message.entries.assign(raft.log.begin() + static_cast<std::ptrdiff_t>(message.index),
                         raft.log.end());
  Send(node, At(to), Domain::kWorker, [this, to, message] { RaftReceive(At(to), message); });
}

void World::RaftBroadcast(Node& node) {
  const RaftEntry* members = Membership(node);
  for (NodeId to : members->members->current) {
    if (to != node.id) {
      RaftSendTo(node, to);
    }
  }
  for (NodeId to : members->learners) {
    RaftSendTo(node, to);
  }
}

void World::RaftReceive(Node& node, const RaftMessage& m) {
  Raft& raft = node.raft;
  if (!node.up) {
    return;
  }
  if (m.term > raft.term) {
    RaftStepDown(node, m.term);
  }
  Node& from = At(m.from);
  RaftMessage reply;
  reply.from = node.id;
  reply.term = raft.term;
  switch (m.kind) {
    case RaftMessage::kVote: {
      bool current =
          m.log_term != LastTerm(raft) ? m.log_term > LastTerm(raft) : m.index >= raft.log.size();
      reply.kind = RaftMessage::kVoteReply;
      reply.ok = m.term == raft.term && current && (!raft.voted || raft.voted == m.from) &&
                 raft.role == Raft::kFollower;
      if (reply.ok) {
        raft.voted = m.from;
        ResetElection(node);
      }
      break;
    }
    case RaftMessage::kVoteReply:
      if (raft.role == Raft::kCandidate && m.term == raft.term && m.ok) {
        raft.votes.insert(m.from);
        RaftAdvance(node);
      }
      return;
    case RaftMessage::kAppend:
      if (m.term == raft.term) {
        RaftAppend(node, m);
        reply.ok = m.index <= raft.log.size() &&
                   (m.index == 0 || raft.log[m.index - 1].term == m.log_term);
      }
      reply.kind = RaftMessage::kAppendReply;
      reply.index = reply.ok ? m.index + m.entries.size()
                             : std::min<uint64_t>(raft.log.size(), m.index == 0 ? 0 : m.index - 1);
      break;
    case RaftMessage::kAppendReply:
      if (raft.role == Raft::kLeader && m.term == raft.term) {
        raft.heard[m.from] = now_;
        if (m.ok) {
          raft.match[m.from] = std::max(raft.match[m.from], m.index);
          RaftAdvance(node);
        } else {
          raft.match[m.from] = m.index;
          RaftSendTo(node, m.from);
        }
      }
      return;
  }
  Send(node, from, Domain::kWorker, [this, &from, reply] { RaftReceive(from, reply); });
}

void World::RaftAppend(Node& node, const RaftMessage& m) {
  Raft& raft = node.raft;
  RaftStepDown(node, m.term);
  raft.leader = m.from;
  ResetElection(node);
  if (m.index > raft.log.size() || (m.index > 0 && raft.log[m.index - 1].term != m.log_term)) {
    return;
  }
  for (std::size_t i = 0; i < m.entries.size(); ++i) {
    std::size_t at = m.index + i;
    if (at < raft.log.size() && raft.log[at].term == m.entries[i].term) {
      continue;
    }
    raft.log.resize(at);
    raft.log.push_back(m.entries[i]);
    RaftRecompute(node);
  }
  uint64_t known = m.index + m.entries.size();
  raft.current = raft.current || known >= m.commit;
  if (std::min(m.commit, known) > raft.commit) {
    raft.commit = std::min(m.commit, known);
    RaftApply(node);
  }
}

// Counts votes and acknowledgements.
void World::RaftAdvance(Node& node) {
  Raft& raft = node.raft;
  Voters voters = VotersOf(node);
  auto majority = [&voters](const std::function<bool(NodeId)>& has) {
    std::size_t count = 0;
    for (NodeId voter : voters.current) {
      count += has(voter) ? 1 : 0;
    }
    return count * 2 > voters.current.size();
  };
  if (raft.role == Raft::kCandidate &&
      majority([&raft](NodeId voter) { return raft.votes.contains(voter); })) {
    raft.role = Raft::kLeader;
    raft.leader = node.id;
    raft.leader_since = now_;
    raft.match.clear();
    raft.heard.clear();
    for (const Node& other : nodes_) {
      raft.match[other.id] = raft.log.size();
    }
    coverage_.Count("raft leader elected");
    Trace("raft leader " + std::to_string(node.id.value()) + " term " + std::to_string(raft.term));
    raft.log.push_back({raft.term, "", std::nullopt, {}});
    raft.first_of_term = raft.log.size();
    RaftBroadcast(node);
  }
  if (raft.role != Raft::kLeader) {
    return;
  }
  raft.match[node.id] = raft.log.size();
  for (uint64_t index = raft.log.size(); index > raft.commit; --index) {
    if (raft.log[index - 1].term != raft.term) {
      break;
    }
    if (majority([&raft, index](NodeId voter) { return raft.match[voter] >= index; })) {
      raft.commit = index;
      raft.current = true;
      RaftApply(node);
      RaftBroadcast(node);
      break;
    }
  }
  PumpSoon(node);
}

void World::RaftApply(Node& node) {
  for (uint64_t index = node.cluster->applied_index() + 1; index <= node.raft.commit; ++index) {
    const RaftEntry& entry = node.raft.log[index - 1];
    CommitGlobally(index, entry);
    [[maybe_unused]] ApplyResult result = node.cluster->ApplyEncoded(index, entry.bytes);
  }
  PumpSoon(node);
}

bool World::RaftPropose(Node& node, RaftEntry entry) {
  Raft& raft = node.raft;
  if (raft.role != Raft::kLeader) {
    return false;
  }
  if (entry.members) {
    uint64_t index = 0;
    Membership(node, &index);
    if (index > raft.commit || raft.first_of_term > raft.commit) {
      return false;
    }
    entry.members->version = raft.log.size() + 1;
  }
  entry.term = raft.term;
  raft.revoked = std::max(raft.revoked, RevokedEpochOf(entry.bytes));
  raft.log.push_back(std::move(entry));
  RaftBroadcast(node);
  RaftAdvance(node);
  return true;
}

void World::ProposeFrom(Node& node, const Command& command) {
  RaftEntry entry{0, Encode(command), std::nullopt, {}};
  if (node.raft.role == Raft::kLeader) {
    RaftPropose(node, std::move(entry));
  } else if (node.raft.leader) {
    Node& leader = At(node.raft.leader);
    Send(node, leader, Domain::kWorker, [this, &leader, entry] { RaftPropose(leader, entry); });
  }
}

// The first node that applies an entry shows it to the checks.
void World::CommitGlobally(uint64_t index, const RaftEntry& entry) {
  if (index <= committed_.size()) {
    if (committed_[index - 1].term != entry.term || committed_[index - 1].bytes != entry.bytes) {
      Fail("the simulator's Raft lost a committed entry");
    }
    return;
  }
  committed_.push_back(entry);
  bool was_settled = global_.created() && global_.appointment().settled && !global_.recruiting();
  Epoch was_epoch = global_.created() ? global_.highest_epoch() : Epoch();
  Appointment was = global_.appointment();
  uint64_t version = global_.created() ? global_.rule().version : 0;
  ApplyResult result = global_.ApplyEncoded(index, entry.bytes);
  Result<Command> command = DecodeCommand(entry.bytes);
  if (command.ok()) {
    Trace("committed " + ToString(command.value()) +
          (result.status.ok() ? "" : " REFUSED " + result.status.ToString()));
  }
  if (!global_.created() || !result.status.ok()) {
    return;
  }
  if (global_.highest_epoch() != was_epoch) {
    revoked_at_[was_epoch.number] = now_;
    accepted_loss_ = accepted_loss_ || (global_.recruiting() && global_.recruiting()->accept_loss);
    if (global_.recruiting()) {
      coverage_.Count(std::string("revoke: ") + ToString(global_.recruiting()->reason));
    }
  }
  const Appointment& app = global_.appointment();
  if (app.timeline != was.timeline) {
    leave_.insert({app.boot.value(), app.timeline.value()});
    coverage_.Count(app.epoch == was.epoch ? "resumed" : "appointed");
    if (app.epoch != was.epoch && !was.settled) {
      coverage_.Count("appointment superseded");
    }
  }
  if (global_.recruiting() && global_.recruiting()->fetch) {
    coverage_.Count("tail fetched before appointment");
  }
  if (app.settled && !global_.recruiting() && !was_settled && app.boot) {
    CheckSettled();
  }
  if (global_.rule().version != version) {
    coverage_.Count("rule changed");
    CheckRule(At(global_.rule().primary));
  }
}

}  // namespace pgquorum::failover::sim
