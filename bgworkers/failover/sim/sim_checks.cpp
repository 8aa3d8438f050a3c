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

// S4: no commit starts later than one lease after its epoch was revoked.
void World::CheckCommitStart(const Node& node) {
  auto revoked = revoked_at_.find(node.pg.list.epoch.number);
  const Settings& settings = global_.settings();
  if (revoked != revoked_at_.end() &&
      now_ > revoked->second + settings.lease_duration + settings.clock_drift_margin) {
    Fail("S4: node " + std::to_string(node.id.value()) + " starts a commit after its lease");
  }
  if (global_.appointment().epoch == node.pg.list.epoch && !global_.recruiting() &&
      !global_.appointment().settled) {
    Fail("node " + std::to_string(node.id.value()) + " serves before its barrier");
  }
}

void World::CheckAcknowledged(const Node& node, uint64_t row) {
  ++acked_;
  coverage_.Count("commit acknowledged");
  bool loss_allowed = ever_async_ || accepted_loss_;
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
    coverage_.Count("late acknowledgement of the old primary");
  }
  if (!loss_allowed) {
    must_last_.insert(row);
  }
}

// S1 and S3 at the moment a primary may serve.
void World::CheckSettled() {
  const Appointment& app = global_.appointment();
  const Node& node = At(app.node);
  settled_ = app.node;
  first_ack_of_settled_ = false;
  std::unordered_set<uint64_t> rows;
  for (const Record& record : node.pg.wal) {
    rows.insert(record.row);
  }
  bool loss_allowed = ever_async_ || accepted_loss_;
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
  bool loss_allowed = ever_async_ || accepted_loss_;
  for (uint64_t row : must_last_) {
    if (!loss_allowed && !Holds(*primary, row)) {
      return "S1: row " + std::to_string(row) + " is missing at the end";
    }
  }
  for (const Node& node : nodes_) {
    if (node.witness) {
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
    bool same = !a.up || a.cluster->applied_index() != global_.applied_index() ||
                a.cluster->Snapshot() == global_.Snapshot();
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
