#include "bgworkers/failover/sim/world.h"

#include <algorithm>
#include <cstdio>
#include <utility>

namespace pgquorum::failover::sim {

World::World(uint64_t seed, const WorldBugs& bugs, Coverage& coverage, bool trace)
    : seed_(seed), bugs_(bugs), coverage_(coverage), trace_(trace), rng_(seed * 2654435761u + 1) {}

void World::After(TimeNs delay, Node& node, Domain domain, std::function<void()> run) {
  uint64_t life = domain == Domain::kPg ? node.pg.life : node.life;
  queue_.push({now_ + delay, ++order_, node.id, domain, life, std::move(run)});
}

void World::AfterWorld(TimeNs delay, std::function<void()> run) {
  queue_.push({now_ + delay, ++order_, NodeId(), Domain::kWorld, 0, std::move(run)});
}

// One event; false when it only was put off or dropped.
bool World::StepEvent() {
  Event event = std::move(const_cast<Event&>(queue_.top()));  // the order does not look inside
  queue_.pop();
  now_ = event.at;
  if (event.domain != Domain::kWorld) {
    Node& node = At(event.node);
    bool pg = event.domain == Domain::kPg;
    if (event.life != (pg ? node.pg.life : node.life)) {
      return false;
    }
    TimeNs until = pg ? node.pg_paused_until : node.worker_paused_until;
    if (until > now_) {
      event.at = until;
      queue_.push(std::move(event));
      return false;
    }
  }
  event.run();
  return true;
}

bool World::RunUntil(TimeNs until, const std::function<bool()>& stop) {
  while (violation_.empty() && !queue_.empty() && queue_.top().at <= until) {
    if (StepEvent() && stop && stop()) {
      return true;
    }
  }
  if (violation_.empty()) {
    now_ = std::max(now_, until);
  }
  return false;
}

TimeNs World::Clock(const Node& node) const {
  return node.clock_offset + now_ + now_ / 1'000'000 * node.drift_ppm;
}

TimeNs World::Latency(const Node& from, const Node& to) {
  TimeNs latency = 50'000 + static_cast<TimeNs>(rng_.Below(400'000));
  if (chaos_ && rng_.Chance(1, 50)) {
    latency += static_cast<TimeNs>(rng_.Below(30'000'000));
  }
  auto slow = slow_.find({from.id.value(), to.id.value()});
  if (slow != slow_.end() && slow->second.second > now_) {
    latency += static_cast<TimeNs>(rng_.Below(static_cast<uint64_t>(slow->second.first)));
  }
  return latency;
}

bool World::Reaches(const Node& from, const Node& to) const {
  auto cut = cuts_.find({from.id.value(), to.id.value()});
  return cut == cuts_.end() || cut->second <= now_;
}

bool World::RaftPortCut(const Node& node) const {
  auto cut = raft_port_cut_.find(node.id.value());
  return cut != raft_port_cut_.end() && cut->second > now_;
}

void World::Send(Node& from, Node& to, Domain domain, std::function<void()> deliver) {
  bool blocked =
      domain == Domain::kWorker && from.id != to.id && (RaftPortCut(from) || RaftPortCut(to));
  if (blocked || !Reaches(from, to)) {
    return;
  }
  After(from.id == to.id ? 1000 : Latency(from, to), to, domain, std::move(deliver));
}

void World::Trace(const std::string& text) {
  if (trace_) {
    std::printf("%10.3f %s\n", static_cast<double>(now_ / 1000) / 1000.0 - 1e6, text.c_str());
  }
}

void World::Fail(const std::string& what) {
  Trace("VIOLATION " + what);
  if (violation_.empty()) {
    violation_ = what;
  }
}

Node* World::SettledPrimary() {
  if (!global_.created() || global_.recruiting() || !global_.appointment().settled ||
      !global_.appointment().boot) {
    return nullptr;
  }
  Node& node = At(global_.appointment().node);
  bool serves = node.pg.state == PgState::kPrimary && node.pg.gate &&
                node.pg.boot == global_.appointment().boot && node.pg.deadline > Clock(node) &&
                node.pg.admission == Admission::kClients;
  return serves ? &node : nullptr;
}

// Every data member is a voter that streams, and the list in force is the whole group's.
bool World::AllJoined() {
  Node* primary = SettledPrimary();
  if (primary == nullptr) {
    return false;
  }
  const Rule& rule = global_.rule();
  for (Node& node : nodes_) {
    if (node.left) {
      continue;
    }
    const Member* member = global_.FindMember(node.id);
    if (member == nullptr || member->state != MemberState::kActive) {
      return false;
    }
    if (node.witness) {
      continue;
    }
    bool streams =
        node.id == primary->id ||
        (node.pg.connection != 0 && node.pg.upstream == primary->id &&
         node.pg.durable + 3 >= primary->pg.durable && node.pg.admission == Admission::kClients);
    if (rule.IsVoter(node.id) == node.delayed || !streams) {
      return false;
    }
  }
  return rule.n == global_.WantedAcks(rule.voters.size()) && rule.g == rule.n &&
         primary->pg.list.version == rule.version;
}

// One member creates the cluster, the others join it with tokens, as on real servers.
void World::Bootstrap() {
  static const std::pair<std::size_t, std::size_t> kSizes[] = {{2, 1}, {2, 1}, {3, 0}, {3, 0},
                                                               {3, 0}, {4, 0}, {5, 0}, {5, 0}};
  auto [data, witnesses] = kSizes[rng_.Below(std::size(kSizes))];
  std::size_t delayed = rng_.Chance(1, 6) ? 1 : 0;
  if (rng_.Chance(2, 3)) {
    snapshot_entries_ = rng_.Between(5, 40);
  }
  nodes_.resize(data + witnesses + delayed);
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    Node& node = nodes_[i];
    node.id = NodeId(i + 1);
    node.witness = i >= data && i < data + witnesses;
    node.delayed = i >= data + witnesses;
    node.drift_ppm = static_cast<int64_t>(rng_.Between(0, 20'000)) - 10'000;
    node.clock_offset = static_cast<TimeNs>(rng_.Below(1'000'000'000));
    if (i == 0) {
      node.pg.wal.push_back({Timeline(1), 100, ++unique_, 0});
      node.pg.durable = 1;
    }
  }
  WorkerStart(nodes_[0]);
  PgStart(nodes_[0], 50 * kMs);
  AddClients();
}

// Everything heals, and is as fast as it should be then.
void World::RunCalm() {
  auto joined = [this] { return AllJoined(); };
  Heal();
  if (!RunUntil(now_ + kPatience, joined) && violation_.empty()) {
    Fail("not healed: " + Describe());
  }
  DefaultSettings();
  RunUntil(now_ + 500 * kMs);
  // A verb may have arrived late.
  RunUntil(now_ + kPatience, joined);
  CheckFigures();
  if (violation_.empty()) {
    violation_ = CheckEnd();
  }
}

std::string World::Run() {
  Bootstrap();
  if (!RunUntil(now_ + 10'000 * kMs, [this] { return AllJoined(); }) && violation_.empty()) {
    Fail("the cluster did not come up: " + Describe());
  }
  RunUntil(now_ + 500 * kMs);
  PlanChaos();
  RunUntil(now_ + kChaos);
  if (!no_copy_left_) {
    RunCalm();
  }
  for (Node& node : nodes_) {
    if (node.agent) {
      coverage_.HitRows(node.agent->taken());
    }
  }
  return violation_;
}

}  // namespace pgquorum::failover::sim
