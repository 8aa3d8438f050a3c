#include "raftlog/sim/world.h"

#include <algorithm>
#include <cstdio>
#include <stdexcept>

#include "base/check.h"
#include "raftlog/describe.h"

#include "base/pure.h"

namespace pgquorum::raft::sim {
namespace {

struct InvariantViolated : std::runtime_error {
  using std::runtime_error::runtime_error;
};

void ThrowOnCheck(const char* file, int line, const char* condition) {
  throw InvariantViolated(std::string("check failed: ") + condition + " at " + file + ":" +
                          std::to_string(line));
}

}  // namespace

World::World(uint64_t seed, const WorldBugs& bugs, Coverage& coverage, bool trace)
    : seed_(seed),
      bugs_(bugs),
      coverage_(coverage),
      trace_(trace),
      random_(seed * 0x2545F4914F6CDD1DULL + 1),
      plan_(DrawPlan()),
      checker_([this](NodeId id) -> const NodeDisk* {
        auto found = nodes_.find(id);
        return found == nodes_.end() ? nullptr : found->second->disk.get();
      }) {}

Plan World::DrawPlan() {
  Plan plan;
  constexpr uint32_t kSizes[] = {1, 2, 3, 3, 3, 3, 4, 5, 5, 5};
  plan.founders = kSizes[random_.Below(std::size(kSizes))];
  plan.loss_permille = random_.Chance(1, 3) ? 0 : static_cast<uint32_t>(random_.Below(100));
  plan.duplicate_permille = random_.Chance(1, 2) ? 0 : static_cast<uint32_t>(random_.Below(100));
  constexpr uint64_t kDelays[] = {300, 2'000, 10'000, 40'000};
  plan.delay_us_max = kDelays[random_.Below(4)];
  constexpr uint64_t kSyncs[] = {100, 2'000, 10'000, 50'000};
  plan.sync_us_max = kSyncs[random_.Below(4)];
  constexpr uint64_t kGaps[] = {40'000, 150'000, 400'000, 800'000};
  plan.fault_gap_us = kGaps[random_.Below(4)];
  // Quiet worlds too: a node that hears no leader has an up-to-date log only when little is
  // written.
  constexpr uint64_t kClientGaps[] = {2'000, 10'000, 20'000, 200'000};
  plan.client_gap_us = kClientGaps[random_.Below(4)];
  plan.chaos_us = random_.Between(1'000'000, 3'000'000);
  plan.crash_permille = random_.Chance(1, 2) ? 0 : static_cast<uint32_t>(random_.Below(8));
  constexpr uint32_t kSnapshots[] = {5, 20, 100, 1'000'000};
  plan.pre_vote = random_.Chance(5, 6);
  plan.read_heavy = random_.Chance(1, 4);
  plan.late_permille = random_.Chance(1, 4) ? 50 : 5;
  plan.restart_us_max = random_.Chance(1, 3) ? 40'000 : 500'000;
  plan.append_entries = static_cast<uint32_t>(random_.Between(1, 3));
  plan.snapshot_entries = kSnapshots[random_.Below(4)];
  plan.snapshot_bytes = random_.Chance(1, 4) ? 2'000 : 0;
  plan.snapshot_ticks = random_.Chance(1, 4) ? 50 : 0;
  plan.membership = random_.Chance(1, 2);
  plan.witness = random_.Chance(1, 4);
  plan.lease_reads = random_.Chance(1, 2);
  plan.pauses = random_.Chance(1, 2);
  // Without pre-vote a node that hears nobody does disturb the others: that is what it is for.
  plan.lasting_cut = random_.Chance(1, 4) && plan.pre_vote;
  plan.small_limits = random_.Chance(1, 4);
  plan.disk_errors = random_.Chance(1, 2);
  plan.disk_damage = random_.Chance(1, 2);
  plan.spare_segments = static_cast<uint32_t>(random_.Below(3));
  if (plan.read_heavy) {
    // Answers that outlive their asker: quick restarts, late messages, many reads under way.
    plan.client_gap_us = 2'000;
    plan.late_permille = 100;
    plan.restart_us_max = 40'000;
    plan.fault_gap_us = std::min<uint64_t>(plan.fault_gap_us, 150'000);
  }
  return plan;
}

void World::Trace(const std::string& text) {
  if (trace_) {
    std::printf("%10.3f %s\n", static_cast<double>(now_) / 1000.0, text.c_str());
  }
}

std::string World::Guarded(const std::function<void()>& body) {
  CheckFailureHandler before = SetCheckFailureHandler(ThrowOnCheck);
  std::string failure;
  try {
    body();
    failure = checker_.failure();
  } catch (const InvariantViolated& violated) {
    failure = violated.what();
  }
  SetCheckFailureHandler(before);
  return failure;
}

std::string World::Run() {
  std::string failure = Guarded([this] {
    Configuration configuration;
    for (uint64_t i = 1; i <= plan_.founders; ++i) {
      configuration.voters.push_back(NodeId(i));
    }
    if (plan_.witness && plan_.founders >= 3) {
      configuration.witnesses.push_back(NodeId(plan_.founders));
      coverage_.Hit(Point::kWitness);
    }
    Bootstrap bootstrap = BootstrapLog(configuration, "");
    checker_.OnBootstrap(bootstrap.entry);
    for (NodeId id : configuration.voters) {
      AddNode(id, &bootstrap);
    }
    ScheduleFault();
    ScheduleClient();
    RunUntil(plan_.chaos_us);
    if (checker_.failure().empty()) {
      EndChaos();
    }
    if (checker_.failure().empty()) {
      CheckLiveness();
    }
    if (checker_.failure().empty()) {
      CheckHistory();
    }
  });
  Trace(failure.empty() ? "passed" : "FAILED: " + failure);
  return failure;
}

void World::AddNode(NodeId id, const Bootstrap* bootstrap) {
  auto node = std::make_unique<Node>();
  node->id = id;
  node->disk = std::make_unique<NodeDisk>(id, bootstrap, bugs_.disk, plan_.spare_segments);
  node->tick_us = random_.Between(9'700, 10'300);
  Node& added = *node;
  nodes_[id] = std::move(node);
  Start(added);
}

void World::Start(Node& node) {
  std::string broken = node.disk->Open();
  if (!broken.empty()) {
    checker_.Fail(std::move(broken));
    return;
  }
  if (node.disk->found_damage()) {
    coverage_.Hit(Point::kLogDamaged);
    Trace("damaged " + std::to_string(node.id.value()));
  }
  coverage_.Hit(Point::kTornTail, node.disk->found_torn() ? 1 : 0);
  Options options;
  options.id = node.id;
  options.seed = random_.Next();
  options.election_ticks = 10;
  options.heartbeat_ticks = 3;
  options.disk_stall_ticks = 40;
  options.pre_vote = plan_.pre_vote;
  options.priority = node.id == NodeId(2) ? 9 : 8;
  options.snapshot_chunk_bytes = 256;
  options.snapshot_retry_ticks = 10;
  options.snapshot_entries = plan_.snapshot_entries;
  options.snapshot_bytes = plan_.snapshot_bytes;
  options.snapshot_interval_ticks = plan_.snapshot_ticks;
  options.retain_entries = random_.Below(10);
  options.log_cache_bytes = 400;
  options.stream_proposals = static_cast<uint32_t>(node.id.value() % 3);
  if (plan_.small_limits) {
    options.max_entries_per_append = plan_.append_entries;
    options.max_inflight_appends = 2;
    options.max_uncommitted_entries = 10;
    options.max_unapplied_entries = 4;
  }
  const RecoveredState& found = node.disk->recovered();
  Result<std::unique_ptr<Core>> core = Core::Create(options, found, node.disk->reader());
  PGQUORUM_CHECK(core.ok());
  node.core = std::move(core).value();
  node.machine = Machine();
  if (found.snapshot.index) {
    Result<std::string> data = node.disk->Load(found.snapshot);
    PGQUORUM_CHECK(data.ok() && node.machine.Load(data.value()).ok());
    checker_.OnApply(node.id, node.machine);
  }
  node.refilling = node.core->refilling();
  node.spoiled = node.refilling;
  node.snapshot_busy = false;
  node.idle_ticks = 0;
  node.readings.clear();
  ++node.incarnation;
  node.syncing = false;
  node.paused = false;
  node.backlog.clear();
  node.proposals.clear();
  node.reads.clear();
  node.forwards.clear();
  Trace("start " + std::to_string(node.id.value()));
  checker_.OnStart(*node.core);
  ScheduleTick(node);
}

void World::At(uint64_t time, std::function<void()> action) {
  events_.push({time, next_event_++, std::move(action)});
}

void World::OnNode(NodeId id, uint64_t time, std::function<void(Node&)> action) {
  uint64_t incarnation = NodeOf(id).incarnation;
  At(time, [this, id, incarnation, action = std::move(action)] {
    RunOne(NodeOf(id), incarnation, action);
  });
}

void World::RunOne(Node& node, uint64_t incarnation, const std::function<void(Node&)>& action) {
  if (node.incarnation != incarnation || node.core == nullptr) {
    return;
  }
  if (node.paused) {
    NodeId id = node.id;
    node.backlog.push_back(
        [this, id, incarnation, action] { RunOne(NodeOf(id), incarnation, action); });
    return;
  }
  action(node);
  if (node.core != nullptr && node.incarnation == incarnation) {
    Pump(node);
  }
}

void World::RunUntil(uint64_t time) {
  while (!events_.empty() && events_.top().time <= time && checker_.failure().empty()) {
    auto& top = const_cast<Event&>(events_.top());
    now_ = top.time;
    std::function<void()> action = std::move(top.action);
    events_.pop();
    action();
  }
  now_ = std::max(now_, time);
}

uint64_t World::ClockOf(const Node& node) const {
  return 1'000'000'000 + now_ * 1000 * 10'000 / node.tick_us;
}

void World::ScheduleTick(Node& node) {
  OnNode(node.id, now_ + node.tick_us, [this](Node& ticking) {
    ticking.core->Tick(ClockOf(ticking));
    MaybeSnapshot(ticking);
    if (ticking.core != nullptr) {
      IdleDisk(ticking);
    }
    if (ticking.core != nullptr) {
      ScheduleTick(ticking);
    }
  });
}

World::Node* World::Leader() {
  Node* leader = nullptr;
  for (auto& [id, node] : nodes_) {
    if (node->core != nullptr && node->core->role() == Role::kLeader &&
        (leader == nullptr || node->core->term() > leader->core->term())) {
      leader = node.get();
    }
  }
  return leader;
}

// A majority whose logs are damaged cannot elect anybody until an operator steps in.
bool World::MajorityUsable() {
  auto usable = [this](NodeId id) {
    auto found = nodes_.find(id);
    return found != nodes_.end() && found->second->core != nullptr &&
           !found->second->core->refilling();
  };
  for (auto& [id, node] : nodes_) {
    if (node->core == nullptr) {
      continue;
    }
    for (const Configuration* c :
         {&node->core->configuration(), &node->core->snapshot().configuration}) {
      if (!c->voters.empty() && !QuorumHolds(*c, usable)) {
        return false;
      }
    }
  }
  return true;
}

void World::CheckHistory() {
  std::vector<Operation> operations = history_.Operations();
  Verdict verdict = CheckLinearizable(operations);
  if (verdict.kind == Verdict::Kind::kViolated) {
    checker_.Fail("linearizability: " + verdict.text);
  } else if (verdict.kind == Verdict::Kind::kLinearizable) {
    coverage_.Hit(Point::kSearched, operations.size());
  } else {
    undecided_ = true;
    Trace("undecided: " + verdict.text);
  }
}

// Without pre-vote a removed node that was not told raises everybody's term for ever (thesis 4.2.3:
// that is what pre-vote is for), so who removes a node switches it off. Removed is who is not in
// the newest committed configuration, nor in one that a node with that commit's log would use.
void World::SwitchOffRemoved() {
  const Core* newest = nullptr;
  for (auto& [id, node] : nodes_) {
    if (node->core != nullptr &&
        (newest == nullptr || node->core->log().commit() > newest->log().commit())) {
      newest = node->core.get();
    }
  }
  if (plan_.pre_vote || newest == nullptr) {
    return;
  }
  Index commit = newest->log().commit();
  std::vector<NodeId> kept = newest->ConfigurationAt(commit).Members();
  for (auto& [id, node] : nodes_) {
    if (node->core != nullptr && node->core->log().last() >= commit) {
      std::vector<NodeId> members = node->core->configuration().Members();
      kept.insert(kept.end(), members.begin(), members.end());
    }
  }
  for (auto& [id, node] : nodes_) {
    if (node->core != nullptr && !node->paused && std::count(kept.begin(), kept.end(), id) == 0) {
      Trace("switched off " + std::to_string(id.value()));
      coverage_.Hit(Point::kSwitchedOff);
      node->paused = true;
      node->paused_at = now_;
    }
  }
}

// Without new faults the cluster must elect a leader, commit, and bring every member up to date.
bool World::CheckLiveness() {
  if (!MajorityUsable()) {
    coverage_.Hit(Point::kLawfullyStuck);
    return true;
  }
  uint64_t end = now_ + plan_.calm_us;
  Index target;
  Term term;
  while (now_ < end && checker_.failure().empty()) {
    RunUntil(now_ + 50'000);
    SwitchOffRemoved();
    Node* leader = Leader();
    if (leader == nullptr || leader->core->configuration().joint()) {
      target = Index();
      continue;
    }
    if (target && leader->core->log().last() >= target && leader->core->log().first() <= target &&
        leader->core->log().TermAt(target) != term) {
      target = Index();  // proposed to a leader that could not finish it: lawful, try again
    }
    if (target && leader->core->log().last() < target) {
      target = Index();
    }
    if (!target) {
      Result<LogPosition> at = leader->core->Propose(EntryType::kCommand, "99 1");
      if (at.ok()) {
        target = at.value().index;
        term = at.value().term;
        Pump(*leader);
      }
      continue;
    }
    bool all = true;
    for (NodeId id : leader->core->configuration().Members()) {
      Node& member = NodeOf(id);
      all =
          all && (id == cut_off_ || (member.core != nullptr && member.machine.applied() >= target));
    }
    if (all) {
      return true;
    }
  }
  checker_.Fail("liveness: no common progress in time, target " + std::to_string(target.value()));
  return false;
}

}  // namespace pgquorum::raft::sim
