// The failover cluster state as Raft's state machine. It lives on the core thread; the main loop reads
// immutable copies that are published after every entry.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "base/status.h"
#include "bgworkers/failover/cluster_state.h"
#include "raftlog/runtime/host.h"

namespace pgquorum::consensus {

class ClusterMachine : public raft::StateMachine {
 public:
  ClusterMachine() : published_(std::make_shared<const failover::ClusterState>()) {}

  // Core thread.
  std::string Apply(const raft::Entry& entry) override;
  std::string Snapshot() override;
  Status Restore(const raft::SnapshotMeta& meta, std::string_view data) override;

  // Core thread, before an entry may be acknowledged: keeps the highest epoch that any entry of this
  // log, committed or not, revokes to. It is never lowered: an entry that is truncated later only makes
  // this voter refuse a lease that it could have granted.
  void NoteAppended(const raft::Entry& entry);

  // Any thread.
  std::shared_ptr<const failover::ClusterState> published() const;
  failover::Epoch revoked() const;

 private:
  void Publish();

  failover::ClusterState state_;  // core thread only
  mutable std::mutex mutex_;      // guards the rest
  std::shared_ptr<const failover::ClusterState> published_;
  failover::Epoch revoked_;
};

// What Apply returns, for the proposer: the refusal, or the ids that were assigned.
std::string EncodeApplyResult(const failover::ApplyResult& result);
Result<failover::ApplyResult> DecodeApplyResult(std::string_view bytes);

}  // namespace pgquorum::consensus
