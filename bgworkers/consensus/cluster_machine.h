// The failover cluster state as Raft's state machine. It lives on the core thread; the main loop
// reads immutable copies that are published after every entry.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "bgworkers/failover/cluster_state.h"
#include "raftlog/runtime/host.h"

namespace pgquorum::consensus {

class ClusterMachine : public raft::StateMachine {
 public:
  ClusterMachine() : published_(std::make_shared<const failover::ClusterState>()) {}

  // Core thread.
  std::string Apply(const raft::Entry& entry) override;
  void ApplyConfiguration(raft::Index index, const raft::Configuration& configuration,
                          std::string_view context) override;
  std::string Snapshot() override;
  Status Restore(const raft::SnapshotMeta& meta, std::string_view data) override;

  // Core thread, before an entry may be acknowledged: keeps the highest epoch that any entry of
  // this log, committed or not, revokes to. It is never lowered: an entry that is truncated later
  // only makes this voter refuse a lease that it could have granted.
  void NoteAppended(const raft::Entry& entry);
  void NoteTruncated(raft::Index from);
  void NoteApplied(const raft::Entry& last);
  void NoteLeadership(const raft::Leadership& leadership);

  // Any thread.
  std::shared_ptr<const failover::ClusterState> published() const;
  failover::Epoch revoked() const;
  // Raft index of the membership in force (the latest in the log, committed or not): the same
  // number for the same membership on every node, also after a snapshot.
  uint64_t membership_version() const;
  raft::Term applied_term() const;  // of the last applied entry of this process life
  uint64_t leader_changes() const;

 private:
  void Publish();

  // Core thread only.
  failover::ClusterState state_;
  uint64_t applied_membership_ = 0;

  mutable std::mutex mutex_;  // guards the rest
  std::shared_ptr<const failover::ClusterState> published_;
  failover::Epoch revoked_;
  std::vector<uint64_t> memberships_;  // indexes in the log not applied yet, ascending
  uint64_t base_membership_ = 0;       // the newest applied one
  raft::Term applied_term_;
  uint64_t leader_changes_ = 0;
};

// What Apply returns, for the proposer: the refusal, or the ids that were assigned.
std::string EncodeApplyResult(const failover::ApplyResult& result);
Result<failover::ApplyResult> DecodeApplyResult(std::string_view bytes);

}  // namespace pgquorum::consensus
