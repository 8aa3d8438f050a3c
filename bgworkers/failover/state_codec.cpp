// Snapshot, restore and text of the cluster state.
#include <algorithm>

#include "bgworkers/failover/cluster_state.h"
#include "bgworkers/failover/codec.h"

#include "base/pure.h"

namespace pgquorum::failover {

struct StateCodec {
  static constexpr uint8_t kStateVersion = 1;

  static auto Fields(auto& s) {
    return std::tie(s.name_, s.cluster_id_, s.system_identifier_, s.applied_index_, s.last_node_,
                    s.members_, s.tokens_, s.rules_, s.appointment_, s.recruiting_,
                    s.timeline_base_, s.timelines_, s.highest_timeline_, s.setting_values_,
                    s.longest_lease_, s.requests_, s.history_);
  }

  // What every reader of the state relies on; a snapshot that violates it was damaged.
  static bool Sane(const ClusterState& s) {
    if (!s.created()) {
      return s.rules_.empty();
    }
    if (s.rules_.empty() || s.rules_.size() > ClusterState::kMaxRules) {
      return false;
    }
    for (const Rule& rule : s.rules_) {
      if (!rule.IsVoter(rule.primary) || rule.n > rule.voters.size() - 1) {
        return false;
      }
    }
    return std::all_of(s.members_.begin(), s.members_.end(), [&s](const auto& m) {
      return m.first == m.second.id && m.first.value() <= s.last_node_;
    });
  }
};

std::string ClusterState::Snapshot() const {
  ByteWriter out;
  out.U8(StateCodec::kStateVersion);
  std::apply([&out](const auto&... field) { (codec::Write(out, field), ...); },
             StateCodec::Fields(*this));
  return std::move(out).Take();
}

Result<ClusterState> ClusterState::Restore(std::string_view bytes) {
  ByteReader in(bytes);
  uint8_t version = in.U8();
  if (in.ok() && version != StateCodec::kStateVersion) {
    return Status::Error("0A000", "snapshot has an unknown version")
        .WithDetail("version " + std::to_string(version));
  }
  ClusterState state;
  std::apply([&in](auto&... field) { (codec::Read(in, field), ...); }, StateCodec::Fields(state));
  if (!in.Finished() || !StateCodec::Sane(state)) {
    return Status::Error("XX001", "snapshot of the cluster state is damaged");
  }
  state.settings_ = Settings::From(state.setting_values_);
  return state;
}

namespace {

std::string Names(const ClusterState& state, const std::vector<NodeId>& nodes) {
  std::string text;
  for (NodeId node : nodes) {
    text += (text.empty() ? "" : ",") + state.NameOf(node);
  }
  return "{" + text + "}";
}

}  // namespace

std::string ClusterState::ToText() const {
  if (!created()) {
    return "no cluster\n";
  }
  std::string text = "cluster " + name_ + " applied " + std::to_string(applied_index_) + "\n";
  for (const auto& [id, member] : members_) {
    static const char* const kStates[] = {"", "joining", "active", "leaving"};
    text += "member " + std::to_string(id.value()) + " " + member.info.name +
            (member.data() ? " data " : " witness ") +
            kStates[static_cast<std::size_t>(member.state)] + " priority " +
            std::to_string(member.info.priority) + "\n";
  }
  for (const Rule& rule : rules_) {
    text += "rule " + ToString(rule.epoch) + "." + std::to_string(rule.version) + " primary " +
            NameOf(rule.primary) + " V=" + Names(*this, rule.voters) +
            " n=" + std::to_string(rule.n) + " S=" + Names(*this, rule.sync) +
            " g=" + std::to_string(rule.g) + (rule.async ? " async" : "") + "\n";
  }
  text += "appointment " + ToString(appointment_.epoch) + " " + NameOf(appointment_.node) + " t" +
          std::to_string(appointment_.timeline.value()) +
          (appointment_.settled ? " settled\n" : " not settled\n");
  if (recruiting_) {
    text += "recruiting " + ToString(recruiting_->epoch) + " because " +
            ToString(recruiting_->reason) + (recruiting_->accept_loss ? " accepting loss\n" : "\n");
  }
  if (const FailoverRequest* request = PendingRequest()) {
    text += "request to " + NameOf(request->verb.target) +
            (request->draining ? " draining\n" : " waiting\n");
  }
  return text;
}

}  // namespace pgquorum::failover
