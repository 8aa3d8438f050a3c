// What goes out, and what comes back from the disk and the state machine.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "raftlog/bug.h"
#include "raftlog/core.h"

#include "base/pure.h"

namespace pgquorum::raft {

Output Core::TakeOutput() {
  if (!fatal_.ok()) {
    out_ = Output();
    return Output();
  }
  if (role_ == Role::kLeader) {
    if (round_wanted_) {
      BroadcastHeartbeat();
    }
    SendAppends();
  }
  EmitCommitted(out_);
  BuildPersist(out_);
  if (!fatal_.ok()) {
    out_ = Output();
    return Output();
  }
  Leadership now{role_, term_, leader_};
  if (now != reported_) {
    reported_ = now;
    out_.leadership = now;
  }
  return std::exchange(out_, Output());
}

void Core::BuildPersist(Output& out) {
  Persist batch;
  batch.install_snapshot = std::exchange(install_wanted_, std::nullopt);
  batch.entries = log_.TakeUnpersisted();
  // The commit index is never ahead of the entries that it speaks of: a crash in the middle of this
  // batch would else leave it pointing at entries that this batch was about to replace.
  Index commit = std::max(handed_out_.commit, std::min(log_.commit(), log_.stable()));
  HardState state{term_, vote_, commit};
  bool must = state.term != handed_out_.term || state.vote != handed_out_.vote;
  bool rides_along =
      state.commit != handed_out_.commit && (!batch.entries.empty() || batch.install_snapshot);
  if (must || rides_along) {
    batch.hard_state = state;
    handed_out_ = state;
  }
  batch.messages_after = std::exchange(after_, {});
  if (!batch.needs_sync() && outstanding_.empty()) {
    // Everything that these messages speak of is durable already.
    out.messages.insert(out.messages.end(), std::make_move_iterator(batch.messages_after.begin()),
                        std::make_move_iterator(batch.messages_after.end()));
    return;
  }
  if (!batch.needs_sync() && batch.messages_after.empty()) {
    return;
  }
  batch.sequence = ++last_sequence_;
  batch.term = term_;
  batch.index = log_.last();
  if (batch.install_snapshot) {
    installing_ = batch.install_snapshot;
  }
  outstanding_.push_back({batch.sequence, batch.term, batch.index, batch.index, handed_out_.term,
                          batch.install_snapshot ? batch.install_snapshot->index : Index()});
  out.persist = std::move(batch);
}

// Batches under way no longer vouch for entries that were cut after they were handed out.
void Core::ClipOutstanding(Index to) {
  if (PGQUORUM_RAFT_BUG(kAckWithoutMark)) {
    return;
  }
  for (Outstanding& batch : outstanding_) {
    batch.stable_to = std::min(batch.stable_to, to);
  }
}

void Core::Persisted(uint64_t sequence, Term term, Index index) {
  PGQUORUM_CHECK(sequence <= last_sequence_);
  if (!fatal_.ok()) {
    return;
  }
  Index stable;
  while (!outstanding_.empty() && outstanding_.front().sequence <= sequence) {
    const Outstanding& batch = outstanding_.front();
    PGQUORUM_CHECK(batch.sequence != sequence || (batch.term == term && batch.index == index));
    stable = batch.installs ? batch.stable_to : std::max(stable, batch.stable_to);
    durable_term_ = std::max(durable_term_, batch.hard_term);
    if (batch.installs && installing_ && installing_->index == batch.installs) {
      restore_wanted_ = std::exchange(installing_, std::nullopt);
    }
    outstanding_.pop_front();
  }
  oldest_write_ticks_ = 0;
  log_.StableTo(std::min(stable, log_.last()));
  CheckRefilled();
  if (self_vote_sequence_ && sequence >= *self_vote_sequence_ && role_ == Role::kCandidate) {
    self_vote_sequence_.reset();
    CountVote(options_.id, true);
  }
  if (role_ == Role::kLeader) {
    auto self = progress_.find(options_.id);
    self->second.match = log_.stable();
    MaybeCommit();
  }
}

void Core::CheckRefilled() {
  if (!refill_term_) {
    return;
  }
  Term term = log_.TermAt(log_.stable());
  if (term > refill_term_ || (term == refill_term_ && log_.stable() >= refill_index_)) {
    refill_term_ = Term();
    refill_index_ = Index();
  }
}

void Core::EmitCommitted(Output& out) {
  if (install_wanted_ || installing_) {
    return;  // the state machine is replaced first, and that not before the snapshot is durable
  }
  if (restore_wanted_) {
    emitted_ = restore_wanted_->index;
    applied_ = emitted_;
    out.restore = std::exchange(restore_wanted_, std::nullopt);
  }
  Index limit =
      options_.apply_only_durable ? std::min(log_.commit(), log_.stable()) : log_.commit();
  if (PGQUORUM_RAFT_BUG(kApplyUncommitted)) {
    limit = log_.stable();
  }
  limit = std::min(limit, applied_ + options_.max_unapplied_entries);
  if (emitted_ >= limit) {
    return;
  }
  Result<std::vector<Entry>> entries =
      log_.Read(emitted_ + 1, limit, options_.max_unapplied_entries, options_.max_apply_bytes);
  if (!entries.ok()) {
    SetFatal(entries.status());
    return;
  }
  out.committed = std::move(entries).value();
  PGQUORUM_CHECK(!out.committed.empty() && out.committed.front().index == emitted_ + 1);
  emitted_ = out.committed.back().index;
  for (const Entry& entry : out.committed) {
    snapshot_age_bytes_ += SizeOf(entry);
  }
  log_.EvictTo(emitted_);
}

void Core::Applied(Index index) {
  PGQUORUM_CHECK(index <= emitted_ || !fatal_.ok());
  applied_ = std::max(applied_, index);
}

}  // namespace pgquorum::raft
