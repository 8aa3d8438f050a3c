// The majority of the Raft voters is destroyed, and an administrator who has made sure of that
// gives the cluster to those that are left.
//
// What holds then. S1 is given up, once, for what only the destroyed nodes had; from the settle
// that follows it holds anew, for everything that was acknowledged or could be read since. S2 to S5
// hold all along: the destroyed nodes acknowledge nothing any more (that is what the administrator
// confirms), and the survivors recruit, wait out the leases and settle as always. The log that goes
// on is the best of the survivors' by Raft's own order, so it has every entry that any of them has
// applied: no timeline is assigned twice and no pledge is for an epoch that the log does not know.
#include <algorithm>

#include "bgworkers/failover/sim/world.h"
#include "raftlog/codec.h"
#include "raftlog/force.h"

namespace pgquorum::failover::sim {
namespace {

// Raft's order of logs.
std::pair<raft::Term, raft::Index> LastOf(const raft::test::ModelDisk& disk) {
  raft::Term term = disk.entries().empty() ? disk.snapshot().term : disk.entries().back().term;
  return {term, disk.last()};
}

// The membership that the log ends with.
raft::Configuration LatestOf(const raft::test::ModelDisk& disk) {
  raft::RecoveredState recovered = disk.Recover();
  return recovered.config_entries.empty()
             ? recovered.snapshot.configuration
             : raft::DecodeConfigEntry(recovered.config_entries.back().data).value().configuration;
}

}  // namespace

bool World::FaultForceQuorum(Node& node, Node&) {
  if (!global_.created() || force_quorum_ || nodes_.size() < 3) {
    return false;
  }
  std::vector<Node*> members;
  for (Node& each : nodes_) {
    if (global_.FindMember(each.id) != nullptr && !each.left) {
      members.push_back(&each);
    }
  }
  std::size_t survive = 1 + rng_.Below((members.size() - 1) / 2 + 1);
  bool all_up = std::all_of(members.begin(), members.end(), [](Node* n) { return n->up; });
  bool fits = members.size() == nodes_.size() && survive * 2 <= members.size() && all_up &&
              !node.witness && !node.delayed;
  if (!fits) {
    return false;
  }
  force_quorum_ = majority_lost_ = true;
  for (std::size_t i = members.size(); i-- > 1;) {
    std::swap(members[i], members[rng_.Below(i + 1)]);
  }
  std::stable_partition(members.begin(), members.end(), [&node](Node* n) { return n == &node; });
  std::vector<Node*> lost(members.begin() + static_cast<std::ptrdiff_t>(survive), members.end());
  members.resize(survive);
  // Half of the old primaries are cut off before: the revoke and the appointment that follow are
  // known to the lost nodes alone.
  TimeNs cut = global_.appointment().node == node.id && rng_.Chance(1, 2) ? Ms(2500, 4000) : 0;
  if (cut != 0) {
    CutOff(node, cut);
  }
  AfterWorld(cut, [this, lost] {
    for (Node* each : lost) {
      each->left = true;
      SwitchOff(*each);
    }
  });
  AfterWorld(cut + Ms(200, 2500), [this, members] { ForceQuorumOn(members); });
  return true;
}

// What the command and the worker's start do: the order goes into the best log of the survivors as
// the context of a configuration entry, and the rest follows from that entry being there.
void World::ForceQuorumOn(const std::vector<Node*>& survivors) {
  // A half-repaired directory never serves. Nobody but a backup helps then, which the command says.
  no_copy_left_ = std::all_of(survivors.begin(), survivors.end(), [](Node* node) {
    return node->witness || node->delayed || node->repair_interrupted;
  });
  if (no_copy_left_) {
    Trace("no survivor has a whole copy");
    return;
  }
  std::vector<Node*> voters;
  std::copy_if(survivors.begin(), survivors.end(), std::back_inserter(voters), [](Node* node) {
    return LatestOf(*node->raft.disk).IsVoter(consensus::ToRaft(node->id));
  });
  if (voters.empty()) {
    return;
  }
  Node& heir = **std::max_element(voters.begin(), voters.end(), [](Node* a, Node* b) {
    return LastOf(*a->raft.disk) < LastOf(*b->raft.disk);
  });
  if (!heir.up) {
    AfterWorld(200 * kMs, [this, survivors] { ForceQuorumOn(survivors); });
    return;
  }
  WorkerStop(heir);
  raft::test::ModelDisk& disk = *heir.raft.disk;
  ForgetLost(disk);
  identity::ForceOrder order = OrderFor(heir);
  raft::ForcedMembership forced;
  for (const identity::Peer& survivor : order.survivors) {
    forced.configuration.voters.emplace_back(survivor.raft_node_id);
  }
  forced.context = order.Format();
  Result<raft::Bootstrap> write =
      raft::ForceMembership(disk.Recover(), consensus::ToRaft(heir.id), forced);
  if (!write.ok()) {
    Fail("force quorum: " + write.status().ToString());
    return;
  }
  raft::Persist persist;
  persist.hard_state = write.value().hard_state;
  persist.entries = {write.value().entry};
  disk.Queue(std::move(persist));
  (void)disk.CompleteOne();
  Trace("force quorum on " + std::to_string(heir.id.value()));
  WorkerStart(heir);
}

// Every member that is left takes part; who is not known to this log yet joins it by the ordinary
// way.
identity::ForceOrder World::OrderFor(const Node& heir) {
  identity::ForceOrder order;
  order.cluster_id = 1;
  order.generation = ++unique_ + (uint64_t{1} << 32);
  order.node = heir.id.value();
  raft::Configuration present = LatestOf(*heir.raft.disk);
  for (const Node& node : nodes_) {
    identity::Peer peer{node.id.value(), "n" + std::to_string(node.id.value()), {"h", 1}, {"h", 2}};
    if (node.left) {
      order.lost.push_back(peer);
    } else if (present.IsMember(consensus::ToRaft(node.id))) {
      order.survivors.push_back(peer);
    }
  }
  return order;
}

// Entries that only the destroyed nodes knew never were.
void World::ForgetLost(const raft::test::ModelDisk& disk) {
  std::size_t kept = std::min<std::size_t>(disk.snapshot().index.value(), committed_.size());
  for (const raft::Entry& entry : disk.entries()) {
    bool known = kept < committed_.size() && entry.index.value() == kept + 1 &&
                 committed_[kept].term == entry.term;
    kept += known ? 1 : 0;
  }
  if (kept == committed_.size()) {
    return;
  }
  committed_.resize(kept);
  global_ = ClusterState();
  for (const raft::Entry& entry : committed_) {
    if (entry.type == raft::EntryType::kCommand) {
      (void)global_.ApplyEncoded(entry.index.value(), entry.data);
    }
  }
}

}  // namespace pgquorum::failover::sim
