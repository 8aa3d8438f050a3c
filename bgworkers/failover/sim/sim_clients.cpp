// Clients that write all the time, and administrators: create, join, verbs.
#include <algorithm>

#include "bgworkers/failover/sim/world.h"

namespace pgquorum::failover::sim {

// Until the first node leads its Raft group of one.
void World::ProposeCreate(const CreateCluster& create) {
  if (global_.created()) {
    return;
  }
  RaftPropose(nodes_[0], create);
  AfterWorld(100 * kMs, [this, create] { ProposeCreate(create); });
}

void World::AddClients() {
  AfterWorld(static_cast<TimeNs>(rng_.Between(5, 40)) * kMs, [this] {
    for (Node& node : nodes_) {
      if (node.pg.state == PgState::kPrimary && node.pg_paused_until <= now_) {
        ClientWrite(node);
      }
    }
    AddClients();
  });
  if (clients_) {
    return;
  }
  clients_ = true;
  // The first node: create the cluster; then one token and one member after the other.
  AfterWorld(100 * kMs, [this] {
    CreateCluster create;
    create.name = "sim";
    create.cluster_id = 7;
    create.system_identifier = 9;
    create.generation = 1;
    create.timeline = Timeline(1);
    create.first.name = "node1";
    create.first.listen_host = create.first.raft_host = "h1";
    create.first.listen_port = 5432;
    create.first.raft_port = 7000;
    nodes_[0].raft.core->Campaign();
    RaftPump(nodes_[0]);
    ProposeCreate(create);
  });
  for (std::size_t i = 1; i < nodes_.size(); ++i) {
    AfterWorld(static_cast<TimeNs>(600 + 400 * i) * kMs, [this, i] { Join(nodes_[i]); });
  }
}

// What `cluster join` does; repeated until the member is there.
void World::Join(Node& node) {
  Node* primary = SettledPrimary();
  std::string number = std::to_string(node.id.value());
  if (node.left || (global_.FindMember("node" + number) != nullptr && node.up)) {
    return;
  }
  AfterWorld(300 * kMs, [this, &node] { Join(node); });
  // Node ids are given in the order of joining.
  if (primary == nullptr || global_.members().size() < node.id.value() - 1) {
    return;
  }
  if (global_.FindMember("node" + number) != nullptr) {
    WorkerStart(node);
    if (!node.witness) {  // the base backup
      const Pg& from = primary->pg;
      node.pg.wal.assign(from.wal.begin(),
                         from.wal.begin() + static_cast<std::ptrdiff_t>(from.durable));
      node.pg.durable = node.pg.wal.size();
      PgStart(node, 100 * kMs);
    }
    return;
  }
  IssueToken token;
  token.token_hash = std::string(24, 'h') + std::to_string(10'000'000 + ++unique_ % 10'000'000);
  token.token_hash.resize(32, 'x');
  token.kind = node.witness ? MemberKind::kWitness : MemberKind::kData;
  token.now_us = now_ / 1000;
  token.expires_us = token.now_us + 10'000'000;
  AddMember add;
  add.token_hash = token.token_hash;
  add.now_us = token.now_us;
  add.info.name = "node" + number;
  add.info.listen_host = add.info.raft_host = "h" + number;
  add.info.listen_port = 5432;
  add.info.raft_port = 7000;
  add.info.kind = token.kind;
  add.info.voting = !node.delayed;
  add.info.priority = static_cast<uint32_t>(rng_.Chance(1, 3) ? rng_.Between(50, 200) : 100);
  for (Node& leader : nodes_) {
    if (IsLeader(leader)) {
      RaftPropose(leader, token);
      RaftPropose(leader, add);
      return;
    }
  }
}

void World::RequestVerb(bool force, bool accept_loss) {
  RequestFailover request;
  request.id = RequestId(++unique_);
  request.kind = force ? RequestKind::kForceFailover : RequestKind::kSwitchover;
  if (rng_.Chance(4, 5)) {
    request.target = NodeId(rng_.Between(1, nodes_.size()));
  }
  request.accept_loss = accept_loss;
  request.now_us = now_ / 1000;
  Node& asked = nodes_[rng_.Below(nodes_.size())];
  if (asked.up) {
    RaftPropose(asked, request);
  }
}

}  // namespace pgquorum::failover::sim
