#include "bgworkers/consensus/cluster_machine.h"

#include <utility>

#include "base/bytes.h"

namespace pgquorum::consensus {

namespace {
constexpr uint8_t kResultVersion = 1;
constexpr std::size_t kMaxText = 4096;
}  // namespace

std::string ClusterMachine::Apply(const raft::Entry& entry) {
  failover::ApplyResult result = state_.ApplyEncoded(entry.index.value(), entry.data);
  Publish();
  return EncodeApplyResult(result);
}

std::string ClusterMachine::Snapshot() { return state_.Snapshot(); }

Status ClusterMachine::Restore(const raft::SnapshotMeta&, std::string_view data) {
  Result<failover::ClusterState> state = failover::ClusterState::Restore(data);
  if (!state.ok()) {
    return state.status();
  }
  state_ = std::move(state).value();
  Publish();
  return Status::Ok();
}

void ClusterMachine::NoteAppended(const raft::Entry& entry) {
  if (entry.type != raft::EntryType::kCommand) {
    return;
  }
  failover::Epoch epoch = failover::RevokedEpochOf(entry.data);
  std::lock_guard lock(mutex_);
  if (epoch > revoked_) {
    revoked_ = epoch;
  }
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
