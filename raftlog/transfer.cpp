// Leadership transfer (thesis 3.10) and its use for priorities.
#include <algorithm>

#include "raftlog/bug.h"
#include "raftlog/core.h"
#include "raftlog/errors.h"

#include "base/pure.h"

namespace pgquorum::raft {

Status Core::TransferLeadership(NodeId target) {
  if (role_ != Role::kLeader || !fatal_.ok()) {
    return Status::Error(kErrNotLeader, "this node is not the raft leader");
  }
  if (!target) {
    Index best;
    uint32_t best_priority = 0;
    for (const auto& [id, progress] : progress_) {
      if (id == options_.id || !progress.recent_active || !configuration().IsVoter(id) ||
          configuration().IsWitness(id)) {
        continue;
      }
      bool better = !target || progress.priority > best_priority ||
                    (progress.priority == best_priority && progress.match > best);
      if (better) {
        target = id;
        best = progress.match;
        best_priority = progress.priority;
      }
    }
  }
  if (!target || target == options_.id || !configuration().IsVoter(target)) {
    return Status::Error(kErrBadChange, "leadership cannot be transferred")
        .WithDetail("there is no such other voter");
  }
  ++metrics_.transfers_started;
  transfer_target_ = target;
  transfer_elapsed_ = 0;
  MaybeSendTimeoutNow();
  return Status::Ok();
}

void Core::MaybeSendTimeoutNow() {
  if (role_ != Role::kLeader || !transfer_target_) {
    return;
  }
  auto found = progress_.find(transfer_target_);
  if (found == progress_.end() || found->second.match != log_.last()) {
    return;
  }
  // From now on another leader may be elected while voters still honour our lease. The message may
  // be delivered late, so there is no way back within this term.
  timeout_now_sent_ = true;
  Send(MessageTo(transfer_target_, MessageKind::kTimeoutNow));
}

void Core::EndTransfer() {
  transfer_target_ = NodeId();
  transfer_elapsed_ = 0;
}

// A leader that is less preferred than another healthy voter lets that one lead, once things are
// calm; a witness leads only until any data node can.
void Core::MaybeHandOver() {
  if (!options_.priority_transfer || transfer_target_ ||
      ++handover_wait_ < 4 * options_.election_ticks) {
    return;
  }
  if (!CommittedInOwnTerm() || !configuration().IsVoter(options_.id)) {
    return;
  }
  bool witness = configuration().IsWitness(options_.id);
  NodeId best;
  uint32_t best_priority = options_.priority;
  for (const auto& [id, progress] : progress_) {
    bool able = id != options_.id && configuration().IsVoter(id) &&
                !configuration().IsWitness(id) && progress.recent_active &&
                progress.state == ProgressState::kReplicate && progress.match >= log_.commit();
    if (able && (progress.priority > best_priority || (witness && !best))) {
      best = id;
      best_priority = progress.priority;
    }
  }
  if (best) {
    handover_wait_ = 0;
    (void)TransferLeadership(best);
  }
}

}  // namespace pgquorum::raft
