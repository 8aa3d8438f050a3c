#include "bgworkers/consensus/cluster_machine.h"

#include <utility>

#include "base/bytes.h"

namespace pgquorum::consensus {

namespace {
constexpr uint8_t kResultVersion = 1;
constexpr uint8_t kSnapshotVersion = 1;
constexpr std::size_t kMaxText = 4096;
}  // namespace

std::string ClusterMachine::Apply(const raft::Entry& entry) {
  failover::ApplyResult result = state_.ApplyEncoded(entry.index.value(), entry.data);
  Publish();
  return EncodeApplyResult(result);
}

void ClusterMachine::ApplyConfiguration(raft::Index index, const raft::Configuration&,
                                        std::string_view) {
  applied_membership_ = index.value();
  std::lock_guard lock(mutex_);
  base_membership_ = index.value();
  std::erase_if(memberships_, [&](uint64_t i) { return i <= index.value(); });
}

std::string ClusterMachine::Snapshot() {
  ByteWriter out;
  out.U8(kSnapshotVersion);
  out.U64(applied_membership_);
  out.Raw(state_.Snapshot());
  return std::move(out).Take();
}

Status ClusterMachine::Restore(const raft::SnapshotMeta&, std::string_view data) {
  ByteReader in(data);
  uint8_t version = in.U8();
  uint64_t membership = in.U64();
  if (!in.ok() || version != kSnapshotVersion) {
    return Status::Error("XX001", "snapshot of the cluster state is malformed");
  }
  Result<failover::ClusterState> state =
      failover::ClusterState::Restore(data.substr(data.size() - in.remaining()));
  if (!state.ok()) {
    return state.status();
  }
  state_ = std::move(state).value();
  applied_membership_ = membership;
  {
    std::lock_guard lock(mutex_);
    base_membership_ = membership;
    memberships_.clear();
  }
  Publish();
  return Status::Ok();
}

void ClusterMachine::NoteAppended(const raft::Entry& entry) {
  if (entry.type == raft::EntryType::kConfig) {
    std::lock_guard lock(mutex_);
    memberships_.push_back(entry.index.value());
    return;
  }
  if (entry.type != raft::EntryType::kCommand) {
    return;
  }
  failover::Epoch epoch = failover::RevokedEpochOf(entry.data);
  std::lock_guard lock(mutex_);
  if (epoch > revoked_) {
    revoked_ = epoch;
  }
}

void ClusterMachine::NoteTruncated(raft::Index from) {
  std::lock_guard lock(mutex_);
  std::erase_if(memberships_, [&](uint64_t index) { return index >= from.value(); });
}

void ClusterMachine::NoteApplied(const raft::Entry& last) {
  std::lock_guard lock(mutex_);
  applied_term_ = last.term;
}

void ClusterMachine::NoteLeadership(const raft::Leadership& leadership) {
  std::lock_guard lock(mutex_);
  leader_changes_ += leadership.leader ? 1 : 0;
}

uint64_t ClusterMachine::membership_version() const {
  std::lock_guard lock(mutex_);
  return memberships_.empty() ? base_membership_ : memberships_.back();
}

raft::Term ClusterMachine::applied_term() const {
  std::lock_guard lock(mutex_);
  return applied_term_;
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
  return revoked_;
}

void ClusterMachine::Publish() {
  auto copy = std::make_shared<const failover::ClusterState>(state_);
  std::lock_guard lock(mutex_);
  published_ = std::move(copy);
  // What came inside a snapshot counts like an entry of the log.
  if (published_->created() && published_->highest_epoch() > revoked_) {
    revoked_ = published_->highest_epoch();
  }
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
