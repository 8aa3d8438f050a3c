#include "extension/cli/force_plan.h"

#include <algorithm>
#include <tuple>

#include "base/pure.h"

namespace pgquorum::cli {
namespace {

constexpr char kRefused[] = "the quorum is not forced";

const identity::Peer* FindByName(const std::vector<identity::Peer>& peers,
                                 const std::string& name) {
  auto found = std::find_if(peers.begin(), peers.end(),
                            [&name](const identity::Peer& peer) { return peer.name == name; });
  return found == peers.end() ? nullptr : &*found;
}

// Every node that is a member by the applied state or by the log. One that has joined a moment ago
// may be in the log alone: its address is nobody's.
std::vector<identity::Peer> Everybody(const identity::Peers& members,
                                      const raft::Configuration& present) {
  std::vector<identity::Peer> all = members.members;
  for (raft::NodeId node : present.Members()) {
    bool known = std::any_of(all.begin(), all.end(), [node](const identity::Peer& peer) {
      return peer.raft_node_id == node.value();
    });
    if (!known) {
      all.push_back({node.value(),
                     "unknown_" + std::to_string(node.value()),
                     {"unknown.invalid", 1},
                     {"unknown.invalid", 2}});
    }
  }
  std::sort(all.begin(), all.end(), [](const identity::Peer& a, const identity::Peer& b) {
    return a.raft_node_id < b.raft_node_id;
  });
  return all;
}

bool IsMajority(const std::vector<raft::NodeId>& voters, uint64_t self,
                const std::set<uint64_t>& answer) {
  auto here = std::count_if(voters.begin(), voters.end(), [&](raft::NodeId node) {
    return node.value() == self || answer.contains(node.value());
  });
  return 2 * static_cast<std::size_t>(here) > voters.size();
}

}  // namespace

Result<identity::ForceOrder> PlanForce(uint64_t self, const identity::Peers& members,
                                       const raft::Configuration& present,
                                       const std::vector<std::string>& names) {
  const std::vector<identity::Peer> all = Everybody(members, present);
  identity::ForceOrder order;
  order.cluster_id = members.cluster_id;
  order.node = self;
  for (const std::string& name : names) {
    if (FindByName(all, name) == nullptr) {
      return Status::Error("42704", "there is no member \"" + name + "\"")
          .WithDetail("The members are: " + identity::NamesOf(all) + ".");
    }
  }
  for (const identity::Peer& peer : all) {
    bool named = std::find(names.begin(), names.end(), peer.name) != names.end();
    (named ? order.survivors : order.lost).push_back(peer);
  }
  if (!order.Survives(self)) {
    return Status::Error("22023", "this node is not among the survivors")
        .WithDetail("The order is carried out by the node in whose directory it is given.")
        .WithHint("Name this node too, or give the order on one that is named.");
  }
  if (order.lost.empty()) {
    return Status::Error("55000", kRefused)
        .WithDetail("Every member is named, so nobody would be left out.")
        .WithHint("Start the servers: together they are a majority.");
  }
  return order;
}

Status RefuseWithMajority(uint64_t self, const raft::Configuration& present,
                          const identity::Peers& members, const std::set<uint64_t>& answer) {
  bool majority = IsMajority(present.voters, self, answer) &&
                  (!present.joint() || IsMajority(present.outgoing, self, answer));
  if (!majority) {
    return Status::Ok();
  }
  std::vector<identity::Peer> reached;
  for (const identity::Peer& peer : members.members) {
    if (answer.contains(peer.raft_node_id)) {
      reached.push_back(peer);
    }
  }
  return Status::Error("55000", kRefused)
      .WithDetail("With this node a majority answers" +
                  (reached.empty() ? std::string(".") : ": " + identity::NamesOf(reached) + "."))
      .WithHint(
          "Start this server: the cluster goes on by itself, with everything that was "
          "acknowledged.");
}

Status RefuseBehind(const raft::LogPosition& own,
                    const std::vector<std::pair<std::string, raft::LogPosition>>& survivors) {
  for (const auto& [name, at] : survivors) {
    if (std::tie(at.term, at.index) > std::tie(own.term, own.index)) {
      return Status::Error("55000", kRefused)
          .WithDetail("Survivor " + name + " knows more of what the cluster decided: entry " +
                      std::to_string(at.index.value()) + " of term " +
                      std::to_string(at.term.value()) + ", this node only entry " +
                      std::to_string(own.index.value()) + " of term " +
                      std::to_string(own.term.value()) + ".")
          .WithHint("Start this server again, and give the order on " + name + ".");
    }
  }
  return Status::Ok();
}

Status RefuseWithoutCopy(const identity::ForceOrder& order, bool half_repaired) {
  if (order.survivors.size() > 1 || !half_repaired) {
    return Status::Ok();
  }
  return Status::Error("55000", kRefused)
      .WithDetail(
          "This node would be the only survivor, and the repair of its data directory from another "
          "node has not ended: such a directory never serves.")
      .WithHint("Give the order on a survivor with a whole copy, or restore a backup.");
}

}  // namespace pgquorum::cli
