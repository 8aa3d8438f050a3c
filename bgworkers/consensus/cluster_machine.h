// The failover cluster state as Raft's state machine, with what must be known of the log itself:
// its memberships and revokes, committed or not. Nothing of PostgreSQL, no thread of its own: the
// failover simulator runs this class as it is.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "bgworkers/failover/cluster_state.h"
#include "bgworkers/failover/coordinator.h"
#include "bgworkers/failover/lease.h"
#include "extension/identity/force_order.h"
#include "raftlog/core.h"
#include "raftlog/membership.h"
#include "raftlog/output.h"
#include "raftlog/state_machine.h"

namespace pgquorum::consensus {

inline raft::NodeId ToRaft(failover::NodeId node) {
  return raft::NodeId(node.value());
}
inline failover::NodeId FromRaft(raft::NodeId node) {
  return failover::NodeId(node.value());
}

class ClusterMachine : public raft::StateMachine {
 public:
  ClusterMachine() : published_(std::make_shared<const failover::ClusterState>()) {}

  // In turns, as Raft's host calls them.
  std::string Apply(const raft::Entry& entry) override;
  void ApplyConfiguration(raft::Index index, const raft::Configuration& configuration,
                          std::string_view context) override;
  std::string Snapshot() override;
  Status Restore(const raft::SnapshotMeta& meta, std::string_view data) override;

  // In turns; NoteAppended before an entry may be acknowledged. The highest epoch that any entry of
  // this log revokes to is never lowered: an entry that is truncated later only makes this voter
  // refuse a lease that it could have granted.
  void NoteAppended(const raft::Entry& entry);
  void NoteTruncated(raft::Index from);
  void NoteApplied(const raft::Entry& last);
  void NoteLeadership(const raft::Leadership& leadership);

  // Any thread.
  // An immutable copy, made after every entry.
  std::shared_ptr<const failover::ClusterState> published() const;
  // Every epoch before a forced membership is revoked from its entry on, whatever the log says of
  // epochs: a survivor may have been the primary until a revoke that only lost nodes knew.
  failover::Epoch revoked() const;
  // The membership in force, the latest in the log. Its version is the Raft index of its entry: the
  // same number for the same membership on every node, also after a snapshot. Both are of one
  // moment, so that no majority of another membership is ever counted for this version.
  failover::Voters voters() const;
  // What the coordinator asks of Raft, but for leader_since, last_index and match: `leads` in
  // `term`, says the core.
  failover::RaftView View(bool leads, raft::Term term) const;
  uint64_t leader_changes() const;
  // Of the last entry in the log.
  raft::LogPosition last() const;

  // Forced quorums, in the log or applied; the newest last. Who was shut out by one counts for
  // nothing from its entry on, and for ever: node ids are never reused.
  std::vector<identity::ForceOrder> orders() const;
  std::optional<identity::ForceOrder> OrderAgainst(failover::NodeId node) const;
  bool Admits(failover::NodeId node) const { return !OrderAgainst(node); }

 private:
  struct Membership {
    uint64_t index = 0;
    raft::Configuration configuration;
    std::optional<identity::ForceOrder> order;  // while it is not applied
  };

  void Publish();
  // mutex_ is held:
  failover::Voters InForce() const;
  const identity::ForceOrder* LastOrder() const;
  void NoteOrder(const identity::ForceOrder& order);

  failover::ClusterState state_;  // in turns only

  mutable std::mutex mutex_;  // guards the rest
  std::shared_ptr<const failover::ClusterState> published_;
  failover::Epoch revoked_;
  // The newest applied one, then those of the log that are not applied yet, ascending.
  std::vector<Membership> memberships_{1};
  std::vector<identity::ForceOrder> orders_;  // applied
  raft::LogPosition last_;
  raft::Term applied_term_;  // of the last entry that was applied in this process life
  uint64_t leader_changes_ = 0;
};

// The change that the coordinator asks for, in Raft's words.
raft::ConfigChange ToRaft(const failover::RaftChange& change,
                          const failover::ClusterState& cluster);

// What Apply returns, for the proposer: the refusal, or the ids that were assigned.
std::string EncodeApplyResult(const failover::ApplyResult& result);
Result<failover::ApplyResult> DecodeApplyResult(std::string_view bytes);

}  // namespace pgquorum::consensus
