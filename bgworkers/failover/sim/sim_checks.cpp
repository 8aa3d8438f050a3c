// The safety rules, checked at every event that could break one.
#include <algorithm>

#include "bgworkers/failover/sim/world.h"

namespace pgquorum::failover::sim {

bool World::Holds(const Node& node, uint64_t row) const {
  return std::any_of(node.pg.wal.rbegin(), node.pg.wal.rend(),
                     [row](const Record& record) { return record.row == row; });
}

// S5: only an entry that names this start and this timeline allows a promotion.
void World::CheckPromotion(const Node& node, Timeline timeline) {
  if (!leave_.contains({node.pg.boot.value(), timeline.value()})) {
    Fail("S5: node " + std::to_string(node.id.value()) + " promotes to t" +
         std::to_string(timeline.value()) + " without an entry for this start");
  }
}

// The first node that applies an entry shows it to the checks.
void World::CommitGlobally(const raft::Entry& entry) {
  std::size_t at = entry.index.value() - 1;
  if (at < committed_.size()) {
    if (committed_[at].term != entry.term || committed_[at].data != entry.data) {
      Fail("raft: a committed entry was replaced");
    }
    return;
  }
  committed_.push_back(entry);
  if (entry.type != raft::EntryType::kCommand) {
    return;
  }
  bool was_settled = global_.created() && global_.appointment().settled && !global_.recruiting();
  Epoch was_epoch = global_.created() ? global_.highest_epoch() : Epoch();
  Appointment was = global_.appointment();
  uint64_t version = global_.created() ? global_.rule().version : 0;
  ApplyResult result = global_.ApplyEncoded(entry.index.value(), entry.data);
  if (trace_) {
    Result<Command> command = DecodeCommand(entry.data);
    Trace("committed " + ToString(command.value()) +
          (result.status.ok() ? "" : " REFUSED " + result.status.ToString()));
  }
  if (!global_.created() || !result.status.ok()) {
    return;
  }
  NoteCommitted(was, was_epoch, was_settled);
  if (!global_.recruiting()) {
    rule_of_[global_.rule().epoch] = global_.rule();
  }
  if (global_.rule().version != version) {
    coverage_.Hit(Point::kRuleChanged);
    CheckRule(At(global_.rule().primary));
  }
}

void World::NoteCommitted(const Appointment& was, Epoch was_epoch, bool was_settled) {
  longest_lease_ = std::max(longest_lease_, global_.longest_lease());
  if (global_.highest_epoch() != was_epoch) {
    revoked_at_[was_epoch] = now_;
    accepted_loss_ = accepted_loss_ || (global_.recruiting() && global_.recruiting()->accept_loss &&
                                        global_.recruiting()->reason != Reason::kForceQuorum);
    if (global_.recruiting()) {
      HitRevoke(coverage_, global_.recruiting()->reason);
    }
  }
  const Appointment& app = global_.appointment();
  if (app.timeline != was.timeline) {
    leave_.insert({app.boot.value(), app.timeline.value()});
    coverage_.Hit(app.epoch == was.epoch ? Point::kResumed : Point::kAppointed);
    if (app.epoch != was.epoch && !was.settled) {
      coverage_.Hit(Point::kAppointmentSuperseded);
    }
  }
  if (global_.recruiting() && global_.recruiting()->fetch) {
    coverage_.Hit(Point::kTailFetched);
  }
  if (app.settled && !global_.recruiting() && !was_settled && app.boot) {
    CheckSettled();
  }
  for (Node& node : nodes_) {
    if (!node.left && node.id.value() <= joined_ && global_.FindMember(node.id) == nullptr) {
      coverage_.Hit(Point::kMemberForgotten);
      node.left = true;
      AfterWorld(kMs, [this, &node] { SwitchOff(node); });
    }
  }
  joined_ = std::max<uint64_t>(joined_, global_.members().rbegin()->first.value());
}

// A commit is acknowledged only when n voters besides the primary hold it.
void World::CheckQuorum(const Node& node, uint64_t row) {
  auto rule = rule_of_.find(node.pg.list.epoch);
  if (rule == rule_of_.end()) {
    return;
  }
  uint32_t holders = 0;
  for (NodeId voter : rule->second.voters) {
    holders += voter != node.id && holders < rule->second.n && Holds(At(voter), row) ? 1 : 0;
  }
  if (holders < rule->second.n) {
    Fail("S1: node " + std::to_string(node.id.value()) + " acknowledged row " +
         std::to_string(row) + ", which " + std::to_string(holders) + " of " +
         std::to_string(rule->second.n) + " voters hold");
  }
}

// S4: no commit starts later than one lease after its epoch was revoked.
void World::CheckCommitStart(const Node& node) {
  auto revoked = revoked_at_.find(node.pg.list.epoch);
  TimeNs margin = global_.settings().clock_drift_margin;
  if (revoked != revoked_at_.end() && now_ > revoked->second + longest_lease_ + margin) {
    Fail("S4: node " + std::to_string(node.id.value()) + " starts a commit after its lease");
  }
  if (global_.appointment().epoch == node.pg.list.epoch && !global_.recruiting() &&
      !global_.appointment().settled) {
    Fail("node " + std::to_string(node.id.value()) + " serves before its barrier");
  }
}

void World::CheckAcknowledged(const Node& node, uint64_t row) {
  coverage_.Hit(Point::kCommitAcknowledged);
  bool loss_allowed = LossAllowed();
  if (!loss_allowed) {
    CheckQuorum(node, row);
  }
  if (settled_ == node.id) {
    first_ack_of_settled_ = true;
  } else if (settled_ && !Holds(At(settled_), row)) {
    if (!loss_allowed) {
      Fail("S1: node " + std::to_string(node.id.value()) + " acknowledged row " +
           std::to_string(row) + " that the later primary " + std::to_string(settled_.value()) +
           " lacks");
    } else if (first_ack_of_settled_) {
      Fail("S2: node " + std::to_string(node.id.value()) + " acknowledged row " +
           std::to_string(row) + " outside the later history");
    }
  } else if (settled_) {
    coverage_.Hit(Point::kLateAcknowledgement);
  }
  if (!loss_allowed) {
    must_last_.insert(row);
  }
}

// S1 and S3 at the moment a primary may serve.
void World::CheckSettled() {
  const Appointment& app = global_.appointment();
  const Node& node = At(app.node);
  if (majority_lost_ && app.epoch.generation > 1) {
    // From here on S1 holds anew.
    majority_lost_ = false;
    must_last_.clear();
  }
  settled_ = app.node;
  first_ack_of_settled_ = false;
  std::unordered_set<uint64_t> rows;
  for (const Record& record : node.pg.wal) {
    rows.insert(record.row);
  }
  bool loss_allowed = LossAllowed();
  for (uint64_t row : must_last_) {
    if (!rows.contains(row) && !loss_allowed) {
      Fail("S1/S3: primary " + std::to_string(app.node.value()) + " of epoch " +
           ToString(app.epoch) + " lacks row " + std::to_string(row));
      return;
    }
  }
  if (loss_allowed) {
    return;
  }
  // From now on clients can read everything that is here.
  for (const Record& record : node.pg.wal) {
    if (record.row != 0) {
      must_last_.insert(record.row);
    }
  }
}

// The list in force asks for at least n of the voters without the primary.
void World::CheckRule(const Node& node) {
  if (!global_.created() || node.id != global_.rule().primary ||
      node.pg.list.epoch != global_.rule().epoch || node.pg.state == PgState::kDown) {
    return;
  }
  const Rule& rule = global_.rule();
  if (node.pg.list.g < rule.n) {
    Fail("the list in force asks for fewer acknowledgements than the rule");
  }
  for (const std::string& name : node.pg.list.names) {
    const Member* member = global_.FindMember(name.substr(0, name.find('.')));
    if (name != "nobody.t0" &&
        (member == nullptr || !rule.IsVoter(member->id) || member->id == rule.primary)) {
      Fail("the list in force names " + name + ", which is no voter");
    }
  }
}

// After healing: one history everywhere, and all that was promised is in it.
std::string World::CheckEnd() {
  const Node* primary = SettledPrimary();
  if (primary == nullptr) {
    return "no settled primary at the end";
  }
  bool loss_allowed = LossAllowed();
  for (uint64_t row : must_last_) {
    if (!loss_allowed && !Holds(*primary, row)) {
      return "S1: row " + std::to_string(row) + " is missing at the end";
    }
  }
  for (const Node& node : nodes_) {
    if (node.witness || node.left) {
      continue;
    }
    std::size_t n = std::min(node.pg.durable, primary->pg.durable);
    for (std::size_t i = 0; i < n; ++i) {
      if (node.pg.wal[i].uid != primary->pg.wal[i].uid) {
        return "node " + std::to_string(node.id.value()) + " has another history";
      }
    }
  }
  for (const Node& a : nodes_) {
    std::shared_ptr<const ClusterState> applied = a.raft.machine->published();
    bool same = !a.up || applied->applied_index() != global_.applied_index() ||
                applied->Snapshot() == global_.Snapshot();
    if (!same) {
      return "node " + std::to_string(a.id.value()) + " applied the same entries differently";
    }
  }
  Result<ClusterState> copy = ClusterState::Restore(global_.Snapshot());
  if (!copy.ok() || copy.value().Snapshot() != global_.Snapshot()) {
    return "a snapshot does not restore to the same state";
  }
  return "";
}

}  // namespace pgquorum::failover::sim
