#include "bgworkers/consensus/cluster_machine.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/bytes.h"
#include "bgworkers/failover/bug.h"
#include "raftlog/codec.h"
#include "raftlog/sessions.h"

namespace pgquorum::consensus {

namespace {

constexpr uint8_t kResultVersion = 1;
// 1: membership and state. 2, once a quorum was forced: the orders between them.
constexpr uint8_t kSnapshotVersion = 1;
constexpr uint8_t kSnapshotWithOrders = 2;
constexpr std::size_t kMaxText = 4096;
constexpr uint32_t kMaxOrders = 4096;

std::vector<failover::NodeId> FromRaft(const std::vector<raft::NodeId>& ids) {
  std::vector<failover::NodeId> nodes;
  for (raft::NodeId id : ids) {
    nodes.push_back(consensus::FromRaft(id));
  }
  return nodes;
}

failover::Epoch RevokedBy(const raft::Entry& entry) {
  if (entry.type == raft::EntryType::kCommand) {
    return failover::RevokedEpochOf(entry.data);
  }
  if (entry.type == raft::EntryType::kSession) {
    Result<raft::SessionCommand> command = raft::DecodeSessionCommand(entry.data);
    return command.ok() ? failover::RevokedEpochOf(command.value().command) : failover::Epoch();
  }
  return failover::Epoch();
}

// Other memberships carry no context.
std::optional<identity::ForceOrder> OrderIn(std::string_view context) {
  Result<identity::ForceOrder> order = identity::ForceOrder::Parse(context);
  return order.ok() ? std::optional(std::move(order).value()) : std::nullopt;
}

Result<std::vector<identity::ForceOrder>> ReadOrders(ByteReader& in) {
  std::vector<identity::ForceOrder> orders;
  uint32_t count = in.U32();
  for (uint32_t i = 0; in.ok() && i < count && count <= kMaxOrders; ++i) {
    Result<identity::ForceOrder> order =
        identity::ForceOrder::Parse(in.Bytes(identity::kMaxRecordBytes));
    if (!order.ok()) {
      return order.status();
    }
    orders.push_back(std::move(order).value());
  }
  if (!in.ok() || count > kMaxOrders) {
    return Status::Error("XX001", "snapshot of the cluster state is malformed");
  }
  return orders;
}

}  // namespace

std::string ClusterMachine::Apply(const raft::Entry& entry) {
  failover::ApplyResult result = state_.ApplyEncoded(entry.index.value(), entry.data);
  Publish();
  return EncodeApplyResult(result);
}

void ClusterMachine::ApplyConfiguration(raft::Index index, const raft::Configuration& configuration,
                                        std::string_view context) {
  std::lock_guard lock(mutex_);
  std::erase_if(memberships_, [index](const Membership& m) { return m.index <= index.value(); });
  memberships_.insert(memberships_.begin(), {index.value(), configuration, std::nullopt});
  if (std::optional<identity::ForceOrder> order = OrderIn(context)) {
    NoteOrder(*order);
  }
}

void ClusterMachine::NoteOrder(const identity::ForceOrder& order) {
  if (std::find(orders_.begin(), orders_.end(), order) == orders_.end()) {
    orders_.push_back(order);
  }
}

std::string ClusterMachine::Snapshot() {
  ByteWriter out;
  {
    std::lock_guard lock(mutex_);
    out.U8(orders_.empty() ? kSnapshotVersion : kSnapshotWithOrders);
    out.U64(memberships_.front().index);
    if (!orders_.empty()) {
      out.U32(static_cast<uint32_t>(orders_.size()));
    }
    for (const identity::ForceOrder& order : orders_) {
      out.Bytes(order.Format());
    }
  }
  out.Raw(state_.Snapshot());
  return std::move(out).Take();
}

Status ClusterMachine::Restore(const raft::SnapshotMeta& meta, std::string_view data) {
  ByteReader in(data);
  uint8_t version = in.U8();
  uint64_t membership = in.U64();
  if (!in.ok() || (version != kSnapshotVersion && version != kSnapshotWithOrders)) {
    return Status::Error("XX001", "snapshot of the cluster state is malformed");
  }
  Result<std::vector<identity::ForceOrder>> orders =
      version == kSnapshotWithOrders ? ReadOrders(in) : std::vector<identity::ForceOrder>();
  if (!orders.ok()) {
    return orders.status();
  }
  Result<failover::ClusterState> state =
      failover::ClusterState::Restore(data.substr(data.size() - in.remaining()));
  if (!state.ok()) {
    return state.status();
  }
  state_ = std::move(state).value();
  {
    // What follows the snapshot may be in the log already.
    std::lock_guard lock(mutex_);
    std::erase_if(memberships_, [&](const Membership& m) { return m.index <= meta.index.value(); });
    memberships_.insert(memberships_.begin(), {membership, meta.configuration, std::nullopt});
    for (const identity::ForceOrder& order : orders.value()) {
      NoteOrder(order);
    }
    if (meta.index > last_.index) {
      last_ = {meta.term, meta.index};
    }
  }
  Publish();
  return Status::Ok();
}

void ClusterMachine::NoteAppended(const raft::Entry& entry) {
  {
    std::lock_guard lock(mutex_);
    last_ = {entry.term, entry.index};
  }
  if (entry.type == raft::EntryType::kConfig) {
    Result<raft::ConfigEntry> config = raft::DecodeConfigEntry(entry.data);
    std::lock_guard lock(mutex_);
    if (config.ok()) {  // else the core stops
      memberships_.push_back(
          {entry.index.value(), config.value().configuration, OrderIn(config.value().context)});
    }
    return;
  }
  failover::Epoch epoch = RevokedBy(entry);
  std::lock_guard lock(mutex_);
  if (epoch > revoked_) {
    revoked_ = epoch;
  }
}

// The newest applied one stays whatever happens.
void ClusterMachine::NoteTruncated(raft::Index from) {
  std::lock_guard lock(mutex_);
  while (memberships_.size() > 1 && memberships_.back().index >= from.value()) {
    memberships_.pop_back();
  }
}

void ClusterMachine::NoteApplied(const raft::Entry& last) {
  std::lock_guard lock(mutex_);
  applied_term_ = last.term;
}

void ClusterMachine::NoteLeadership(const raft::Leadership& leadership) {
  std::lock_guard lock(mutex_);
  leader_changes_ += leadership.leader ? 1 : 0;
}

failover::Voters ClusterMachine::InForce() const {
  const Membership& latest = memberships_.back();
  return {latest.index, FromRaft(latest.configuration.voters),
          FromRaft(latest.configuration.outgoing)};
}

const identity::ForceOrder* ClusterMachine::LastOrder() const {
  for (auto membership = memberships_.rbegin(); membership != memberships_.rend(); ++membership) {
    if (membership->order) {
      return &*membership->order;
    }
  }
  return orders_.empty() ? nullptr : &orders_.back();
}

std::vector<identity::ForceOrder> ClusterMachine::orders() const {
  std::lock_guard lock(mutex_);
  std::vector<identity::ForceOrder> all = orders_;
  for (const Membership& membership : memberships_) {
    if (membership.order) {
      all.push_back(*membership.order);
    }
  }
  return all;
}

std::optional<identity::ForceOrder> ClusterMachine::OrderAgainst(failover::NodeId node) const {
  std::lock_guard lock(mutex_);
  for (const identity::ForceOrder& order : orders_) {
    if (order.ShutsOut(node.value())) {
      return order;
    }
  }
  for (const Membership& membership : memberships_) {
    if (membership.order && membership.order->ShutsOut(node.value())) {
      return membership.order;
    }
  }
  return std::nullopt;
}

raft::LogPosition ClusterMachine::last() const {
  std::lock_guard lock(mutex_);
  return last_;
}

failover::Voters ClusterMachine::voters() const {
  std::lock_guard lock(mutex_);
  return InForce();
}

failover::RaftView ClusterMachine::View(bool leads, raft::Term term) const {
  std::lock_guard lock(mutex_);
  failover::RaftView view;
  view.term = term.value();
  view.caught_up = leads && applied_term_ == term;
  view.voters = InForce();
  view.learners = FromRaft(memberships_.back().configuration.learners);
  view.change_pending = memberships_.size() > 1 || memberships_.back().configuration.joint();
  if (const identity::ForceOrder* order = LastOrder()) {
    view.forced = {order->generation, {}, order->requested_by};
    for (const identity::Peer& survivor : order->survivors) {
      view.forced->survivors.emplace_back(survivor.raft_node_id);
    }
  }
  return view;
}

uint64_t ClusterMachine::leader_changes() const {
  std::lock_guard lock(mutex_);
  return leader_changes_;
}

std::shared_ptr<const failover::ClusterState> ClusterMachine::published() const {
  std::lock_guard lock(mutex_);
  return published_;
}

failover::Epoch ClusterMachine::revoked() const {
  std::lock_guard lock(mutex_);
  const identity::ForceOrder* order = LastOrder();
  bool begun = order == nullptr || (published_->created() &&
                                    published_->highest_epoch().generation == order->generation);
  if (begun || PGQUORUM_FAILOVER_BUG(kForcedAfterLease)) {
    return revoked_;
  }
  return {std::numeric_limits<uint64_t>::max(), order->generation};
}

void ClusterMachine::Publish() {
  auto copy = std::make_shared<const failover::ClusterState>(state_);
  std::lock_guard lock(mutex_);
  published_ = std::move(copy);
  if (!published_->created()) {
    return;
  }
  // What came inside a snapshot counts like an entry of the log. Of a revoke that was truncated
  // nothing is left once a forced quorum has begun: its epoch is no other's.
  failover::Epoch highest = published_->highest_epoch();
  const identity::ForceOrder* order = LastOrder();
  bool new_generation = order != nullptr && highest.generation == order->generation &&
                        revoked_.generation != order->generation;
  if (highest > revoked_ || new_generation) {
    revoked_ = highest;
  }
}

raft::ConfigChange ToRaft(const failover::RaftChange& change,
                          const failover::ClusterState& cluster) {
  using Kind = failover::RaftChange::Kind;
  const failover::Member* member = cluster.FindMember(change.node);
  bool witness = member != nullptr && !member->data();
  raft::ConfigChange out;
  out.node = ToRaft(change.node);
  switch (change.kind) {
    case Kind::kAddLearner:
      out.kind = raft::ChangeKind::kAddLearner;
      break;
    case Kind::kPromote:
      out.kind = witness ? raft::ChangeKind::kAddWitness : raft::ChangeKind::kAddVoter;
      break;
    case Kind::kRemove:
      out.kind = raft::ChangeKind::kRemove;
      break;
  }
  return out;
}

std::string EncodeApplyResult(const failover::ApplyResult& result) {
  ByteWriter out;
  out.U8(kResultVersion);
  out.Bytes(result.status.sqlstate());
  out.Bytes(result.status.message().substr(0, kMaxText));
  out.Bytes(result.status.detail().substr(0, kMaxText));
  out.Bytes(result.status.hint().substr(0, kMaxText));
  out.U64(result.node.value());
  out.U32(result.timeline.value());
  return std::move(out).Take();
}

Result<failover::ApplyResult> DecodeApplyResult(std::string_view bytes) {
  ByteReader in(bytes);
  uint8_t version = in.U8();
  std::string sqlstate(in.Bytes(5));
  std::string message(in.Bytes(kMaxText));
  std::string detail(in.Bytes(kMaxText));
  std::string hint(in.Bytes(kMaxText));
  failover::ApplyResult result;
  result.node = failover::NodeId(in.U64());
  result.timeline = failover::Timeline(in.U32());
  if (!in.Finished() || version != kResultVersion || (!sqlstate.empty() && sqlstate.size() != 5)) {
    return Status::Error("XX001", "result of an applied entry is malformed");
  }
  if (!sqlstate.empty()) {
    result.status = Status::Error(sqlstate, message).WithDetail(detail).WithHint(hint);
  }
  return result;
}

}  // namespace pgquorum::consensus
