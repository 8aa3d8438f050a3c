// Members, join tokens, requests and settings.
#include <algorithm>

#include "bgworkers/failover/cluster_state.h"
#include "bgworkers/failover/state_helpers.h"

#include "base/pure.h"

namespace pgquorum::failover {
namespace {

bool ValidName(const std::string& name) {
  if (name.empty() || name.size() > kMaxNameLength || name[0] < 'a' || name[0] > 'z') {
    return false;
  }
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
}

bool ValidHost(const std::string& host) {
  return !host.empty() && host.size() <= 255 &&
         std::all_of(host.begin(), host.end(), [](char c) { return c > ' ' && c < 127; });
}

Status Duplicate(const std::string& what) {
  return Status::Error("42710", what + " is already used by another member");
}

}  // namespace

const Member* ClusterState::FindMember(NodeId node) const {
  auto it = members_.find(node);
  return it == members_.end() ? nullptr : &it->second;
}

const Member* ClusterState::FindMember(std::string_view name) const {
  for (const auto& [id, member] : members_) {
    if (member.info.name == name) {
      return &member;
    }
  }
  return nullptr;
}

std::size_t ClusterState::DataMembers() const {
  std::size_t count = 0;
  for (const auto& [id, member] : members_) {
    count += member.data() && member.info.voting && member.state == MemberState::kActive ? 1 : 0;
  }
  return count;
}

std::string ClusterState::NameOf(NodeId node) const {
  const Member* member = FindMember(node);
  return member != nullptr ? member->info.name : "#" + std::to_string(node.value());
}

Status ClusterState::CheckInfo(const MemberInfo& info, NodeId self) const {
  if (!ValidName(info.name)) {
    return Status::Error("22023", "invalid node name \"" + info.name.substr(0, 64) + "\"")
        .WithHint("Use up to 31 lower case letters, digits and underscores, a letter first.");
  }
  if (!ValidHost(info.raft_host) || info.raft_port == 0) {
    return Status::Error("22023", "invalid Raft address of node \"" + info.name + "\"");
  }
  // A witness may have none.
  bool listens = info.kind == MemberKind::kData || !info.listen_host.empty();
  if (listens && (!ValidHost(info.listen_host) || info.listen_port == 0)) {
    return Status::Error("22023", "invalid listen address of node \"" + info.name + "\"");
  }
  for (const auto& [id, other] : members_) {
    if (id == self) {
      continue;
    }
    if (other.info.name == info.name) {
      return Duplicate("node name \"" + info.name + "\"");
    }
    if (other.info.raft_host == info.raft_host && other.info.raft_port == info.raft_port) {
      return Duplicate("the Raft address");
    }
    if (listens && other.info.listen_host == info.listen_host &&
        other.info.listen_port == info.listen_port) {
      return Duplicate("the listen address");
    }
  }
  return Status::Ok();
}

ApplyResult ClusterState::Do(const CreateCluster& c) {
  if (created()) {
    return Refused("the cluster exists already");
  }
  if (c.cluster_id == 0 || !ValidName(c.name) || c.first.kind != MemberKind::kData || !c.timeline) {
    return {Status::Error("22023", "invalid description of a cluster"), NodeId(), Timeline()};
  }
  Status status = CheckInfo(c.first, NodeId());
  if (!status.ok()) {
    return {status, NodeId(), Timeline()};
  }
  name_ = c.name;
  cluster_id_ = c.cluster_id;
  system_identifier_ = c.system_identifier;
  NodeId first(++last_node_);
  members_[first] = Member{first, c.first, MemberState::kActive};
  timeline_base_ = c.timeline;
  highest_timeline_ = c.timeline;
  Rule rule;
  rule.epoch = Epoch{1, c.generation};
  rule.primary = first;
  rule.voters = {first};
  rules_.push_back(rule);
  appointment_ = Appointment{rule.epoch,
                             first,
                             BootId(),
                             c.timeline,
                             Position(),
                             /*wait_for_leases=*/false,
                             /*settled=*/true};
  return {Status::Ok(), first, Timeline()};
}

ApplyResult ClusterState::Do(const IssueToken& c) {
  if (c.token_hash.size() != 32 || c.expires_us <= c.now_us) {
    return {Status::Error("22023", "invalid join token"), NodeId(), Timeline()};
  }
  std::erase_if(tokens_, [&c](const auto& entry) { return entry.second.expires_us < c.now_us; });
  if (tokens_.size() >= kMaxTokens) {
    return {Status::Error("53400", "too many join tokens are outstanding"), NodeId(), Timeline()};
  }
  tokens_[c.token_hash] = Token{c.expires_us, c.kind};
  return {};
}

ApplyResult ClusterState::Do(const AddMember& c) {
  auto token = tokens_.find(c.token_hash);
  // A token for a witness admits nothing that holds data; one for data admits a witness too.
  if (token == tokens_.end() || token->second.expires_us < c.now_us ||
      (token->second.kind == MemberKind::kWitness && c.info.kind != MemberKind::kWitness)) {
    return {Status::Error("42501", "the join token is not valid")
                .WithHint("Tokens can be used once and expire; ask a member for a new one."),
            NodeId(), Timeline()};
  }
  if (c.system_identifier != 0 && c.system_identifier != system_identifier_) {
    return {Status::Error("RX004", "the data directory belongs to another database system"),
            NodeId(), Timeline()};
  }
  if (members_.size() >= kMaxNodes) {
    return {Status::Error("53400", "the cluster has too many members"), NodeId(), Timeline()};
  }
  Status status = CheckInfo(c.info, NodeId());
  if (!status.ok()) {
    return {status, NodeId(), Timeline()};
  }
  tokens_.erase(token);
  NodeId node(++last_node_);
  members_[node] = Member{node, c.info, MemberState::kJoining};
  return {Status::Ok(), node, Timeline()};
}

ApplyResult ClusterState::Do(const UpdateMember& c) {
  const Member* member = FindMember(c.node);
  if (member == nullptr) {
    return {Status::Error("42704", "no such member"), NodeId(), Timeline()};
  }
  if (c.info.name != member->info.name || c.info.kind != member->info.kind) {
    return Refused("name and kind of a member are fixed");
  }
  if (!c.info.voting && IsVoterOfAnyRule(c.node)) {
    return Refused("the node must leave the voters first");
  }
  Status status = CheckInfo(c.info, c.node);
  if (!status.ok()) {
    return {status, NodeId(), Timeline()};
  }
  members_[c.node].info = c.info;
  return {};
}

ApplyResult ClusterState::Do(const SetMemberState& c) {
  const Member* member = FindMember(c.node);
  if (member == nullptr) {
    return {Status::Error("42704", "no such member"), NodeId(), Timeline()};
  }
  if (c.state == MemberState::kJoining) {
    return Refused("a member joins once");
  }
  if (c.state == MemberState::kLeaving && c.node == rule().primary) {
    return {Status::Error("55000", "the primary cannot leave the cluster")
                .WithHint("Make another node the primary first."),
            NodeId(), Timeline()};
  }
  members_[c.node].state = c.state;
  return {};
}

ApplyResult ClusterState::Do(const ForgetMember& c) {
  if (FindMember(c.node) == nullptr) {
    return {Status::Error("42704", "no such member"), NodeId(), Timeline()};
  }
  if (IsVoterOfAnyRule(c.node) || rule().primary == c.node || appointment_.node == c.node) {
    return Refused("the node must leave the voters first");
  }
  members_.erase(c.node);
  return {};
}

const FailoverRequest* ClusterState::FindRequest(RequestId id) const {
  for (const FailoverRequest& request : requests_) {
    if (request.verb.id == id) {
      return &request;
    }
  }
  return nullptr;
}

const FailoverRequest* ClusterState::PendingRequest() const {
  for (const FailoverRequest& request : requests_) {
    if (request.outcome == RequestOutcome::kPending) {
      return &request;
    }
  }
  return nullptr;
}

void ClusterState::CloseRequest(RequestId id, RequestOutcome outcome, const std::string& detail) {
  for (FailoverRequest& request : requests_) {
    if (request.verb.id == id) {
      request.outcome = outcome;
      request.detail = detail;
    }
  }
}

ApplyResult ClusterState::Do(const RequestFailover& c) {
  auto refuse = [](std::string why) {
    return ApplyResult{Status::Error("RX100", "the failover is refused").WithDetail(std::move(why)),
                       NodeId(), Timeline()};
  };
  bool forced = c.kind == RequestKind::kForceFailover;
  if (!c.id || FindRequest(c.id) != nullptr) {
    return refuse("the request is known already");
  }
  if (c.accept_loss && !forced) {
    return refuse("a switchover never accepts loss");
  }
  const FailoverRequest* pending = PendingRequest();
  if (pending != nullptr && !forced) {
    return refuse("another request is being carried out");
  }
  if (c.target) {
    const Member* member = FindMember(c.target);
    if (member != nullptr && !member->data()) {
      return refuse("node " + NameOf(c.target) + " is a witness: it holds no data");
    }
    if (member == nullptr || !member->info.voting) {
      return refuse("the target is no member that may be a primary");
    }
    if (c.target == rule().primary && !recruiting_) {
      return refuse("node " + NameOf(c.target) + " is the primary");
    }
    if (!c.accept_loss && !IsVoterOfAnyRule(c.target)) {
      return refuse("node " + NameOf(c.target) + " is not a voter");
    }
  }
  if (!forced && (recruiting_ || !appointment_.settled)) {
    return refuse("a failover is under way");
  }
  if (pending != nullptr) {
    CloseRequest(pending->verb.id, RequestOutcome::kFailed, "a forced failover took its place");
  }
  if (requests_.size() >= kMaxRequests) {
    requests_.erase(requests_.begin());
  }
  FailoverRequest request;
  request.verb = c;
  requests_.push_back(std::move(request));
  return {};
}

ApplyResult ClusterState::Do(const BeginDrain& c) {
  const FailoverRequest* pending = PendingRequest();
  if (pending == nullptr || pending->verb.id != c.id || pending->draining ||
      pending->verb.kind != RequestKind::kSwitchover) {
    return Refused("no such switchover is waiting");
  }
  if (recruiting_ || c.epoch != appointment_.epoch || !appointment_.settled) {
    return Superseded(c.epoch, highest_epoch());
  }
  if (c.target == rule().primary || !rule().IsVoter(c.target)) {
    return Refused("the target is not a voter");
  }
  for (FailoverRequest& request : requests_) {
    if (request.verb.id == c.id) {
      request.draining = true;
      request.verb.target = c.target;
    }
  }
  return {};
}

ApplyResult ClusterState::Do(const FinishRequest& c) {
  const FailoverRequest* pending = PendingRequest();
  if (pending == nullptr || pending->verb.id != c.id || pending->epoch) {
    return Refused("no such request is waiting");
  }
  if (c.outcome != RequestOutcome::kRefused && c.outcome != RequestOutcome::kFailed) {
    return Refused("only a settled appointment completes a request");
  }
  CloseRequest(c.id, c.outcome, c.detail);
  return {};
}

ApplyResult ClusterState::Do(const SetSetting& c) {
  if (c.key.empty() || c.key.size() > 128) {
    return {Status::Error("22023", "invalid name of a setting"), NodeId(), Timeline()};
  }
  if (c.value.empty()) {
    setting_values_.erase(c.key);
  } else {
    Status status = Settings::Validate(c.key, c.value);
    if (!status.ok()) {
      return {status, NodeId(), Timeline()};
    }
    if (!setting_values_.contains(c.key) && setting_values_.size() >= kMaxSettings) {
      return {Status::Error("53400", "too many cluster settings"), NodeId(), Timeline()};
    }
    setting_values_[c.key] = c.value;
  }
  longest_lease_ = std::max(longest_lease_, settings_.lease_duration);
  settings_ = Settings::From(setting_values_);
  return {};
}

ApplyResult ClusterState::Do(const ForceQuorum& c) {
  if (c.current != highest_epoch()) {
    return Superseded(c.current, highest_epoch());
  }
  if (c.generation == 0 || c.generation == c.current.generation || c.survivors.empty()) {
    return {Status::Error("22023", "invalid new generation"), NodeId(), Timeline()};
  }
  for (NodeId node : c.survivors) {
    if (FindMember(node) == nullptr) {
      return {Status::Error("42704", "a survivor is no member"), NodeId(), Timeline()};
    }
  }
  std::erase_if(members_, [&c](const auto& m) { return !Contains(c.survivors, m.first); });
  Revoke revoke;
  revoke.reason = Reason::kForceQuorum;
  revoke.outage_began_us = c.now_us;
  revoke.now_us = c.now_us;
  HistoryEntry& entry = BeginHistory(revoke);
  entry.epoch = Epoch{c.current.number + 1, c.generation};
  entry.from = rule().primary;
  entry.detail = "by " + c.requested_by;
  recruiting_ = Recruiting{entry.epoch, Reason::kForceQuorum, rule().primary, RequestId(),
                           true,        std::nullopt};
  return {};
}

ApplyResult ClusterState::Apply(uint64_t index, const Command& command) {
  PGQUORUM_CHECK(index > applied_index_);
  applied_index_ = index;
  if (!created() && !std::holds_alternative<CreateCluster>(command)) {
    return Refused("the cluster is not created yet");
  }
  return std::visit([this](const auto& c) { return Do(c); }, command);
}

ApplyResult ClusterState::ApplyEncoded(uint64_t index, std::string_view bytes) {
  Result<Command> command = DecodeCommand(bytes);
  if (!command.ok()) {
    PGQUORUM_CHECK(index > applied_index_);
    applied_index_ = index;
    return {command.status(), NodeId(), Timeline()};
  }
  return Apply(index, command.value());
}

}  // namespace pgquorum::failover
