// Snapshots: the core decides which piece goes where; the data passes by (raft paper 7).
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "raftlog/bug.h"
#include "raftlog/core.h"

#include "base/pure.h"

namespace pgquorum::raft {

// --- own snapshots ---

void Core::SnapshotTaken(const SnapshotMeta& meta) {
  PGQUORUM_CHECK(meta.index <= emitted_ && meta.size > 0);
  if (meta.index > snapshot_.index) {
    PGQUORUM_CHECK(meta.index < log_.first() || meta.term == log_.TermAt(meta.index));
    snapshot_ = meta;
    snapshot_age_ticks_ = 0;
    snapshot_age_bytes_ = 0;
    snapshot_wait_ticks_ = 0;
  }
}

// Entries and bytes bound what a restart replays and a follower fetches; age bounds them for logs
// that grow slowly. Without anything new there is nothing to take a snapshot of.
bool Core::SnapshotDue() const {
  if (!fatal_.ok() || applied_ <= snapshot_.index || install_wanted_ || installing_ ||
      snapshot_age_ticks_ < snapshot_wait_ticks_) {
    return false;
  }
  auto reached = [](uint64_t limit, uint64_t value) { return limit != 0 && value >= limit; };
  return reached(options_.snapshot_entries, applied_ - snapshot_.index) ||
         reached(options_.snapshot_bytes, snapshot_age_bytes_) ||
         reached(options_.snapshot_interval_ticks, snapshot_age_ticks_);
}

Index Core::ReleasableTo() const {
  return snapshot_.index - std::min(options_.retain_entries, snapshot_.index.value());
}

void Core::Compact(Index through) {
  PGQUORUM_CHECK(through <= snapshot_.index);
  log_.CompactTo(through);
  // Keep the configuration that held at the snapshot, forget the ones before it.
  while (configurations_.size() > 1 && configurations_[1].index <= through) {
    configurations_.erase(configurations_.begin());
  }
}

// --- sending ---

void Core::StartSnapshot(NodeId to, Progress& progress) {
  if (!progress.recent_active || !snapshot_.index) {
    return;  // to a silent follower it would be wasted
  }
  ++metrics_.snapshots_started;
  progress.BecomeSnapshot(snapshot_);
  progress.snapshot_budget = options_.snapshot_chunks_per_tick;
  SendSnapshotChunks(to, progress);
}

void Core::SendSnapshotChunks(NodeId to, Progress& progress) {
  uint64_t window = options_.snapshot_chunk_bytes * options_.snapshot_chunks_per_tick;
  while (progress.snapshot_budget > 0 && progress.snapshot_next < progress.snapshot.size &&
         progress.snapshot_next < progress.snapshot_acked + window) {
    SnapshotSend send;
    send.message = MessageTo(to, MessageKind::kSnapshotChunk);
    send.message.snapshot = progress.snapshot;
    send.message.offset = progress.snapshot_next;
    send.max_bytes =
        std::min(options_.snapshot_chunk_bytes, progress.snapshot.size - progress.snapshot_next);
    progress.snapshot_next += send.max_bytes;
    --progress.snapshot_budget;
    ++metrics_.snapshot_chunks_sent;
    out_.snapshot_sends.push_back(std::move(send));
  }
}

void Core::TickSnapshots() {
  for (auto& [id, progress] : progress_) {
    if (progress.state != ProgressState::kSnapshot) {
      continue;
    }
    progress.snapshot_budget = options_.snapshot_chunks_per_tick;
    if (++progress.snapshot_idle_ticks >= options_.snapshot_retry_ticks) {
      progress.snapshot_idle_ticks = 0;
      if (progress.snapshot_acked >= progress.snapshot.size) {
        // All is there and yet no append reply: the follower may have it installed already, or have
        // lost it; probing tells.
        progress.BecomeProbe(progress.snapshot.index + 1);
        continue;
      }
      progress.snapshot_next = progress.snapshot_acked;
    }
    SendSnapshotChunks(id, progress);
  }
}

void Core::HandleSnapshotReply(const Message& m) {
  auto found = progress_.find(m.from);
  if (role_ != Role::kLeader || found == progress_.end()) {
    return;
  }
  Progress& progress = found->second;
  progress.recent_active = true;
  if (progress.state != ProgressState::kSnapshot || m.log_index != progress.snapshot.index ||
      m.log_term != progress.snapshot.term || m.offset > progress.snapshot.size) {
    return;
  }
  progress.snapshot_idle_ticks = 0;
  if (m.reject) {
    progress.snapshot_acked = m.offset;
    progress.snapshot_next = m.offset;
  } else {
    progress.snapshot_acked = std::max(progress.snapshot_acked, m.offset);
    progress.snapshot_next = std::max(progress.snapshot_next, progress.snapshot_acked);
  }
  SendSnapshotChunks(m.from, progress);
}

void Core::SnapshotUnavailable(NodeId to) {
  auto found = progress_.find(to);
  if (role_ == Role::kLeader && found != progress_.end() &&
      found->second.state == ProgressState::kSnapshot) {
    found->second.BecomeProbe(found->second.match + 1);  // and so to the newest snapshot
    found->second.probe_sent = true;                     // not before its next heartbeat's answer
    found->second.probe_round = round_;
  }
}

// --- receiving ---

void Core::HandleSnapshotChunk(Message& m) {
  if (!FollowLeader(m)) {
    return;
  }
  bool has_it = log_.Matches(m.snapshot.index, m.snapshot.term);
  if (m.snapshot.index <= log_.commit() || has_it) {
    log_.CommitTo(m.snapshot.index);
    Message reply = MessageTo(m.from, MessageKind::kAppendReply);
    reply.log_index = log_.commit();
    reply.priority = options_.priority;
    SendAfterPersist(std::move(reply));
    return;
  }
  if (install_wanted_ || installing_) {
    return;  // the received file is being put in place: no other may be begun; the leader repeats
  }
  incoming_from_ = m.from;
  if (!incoming_ || *incoming_ != m.snapshot) {
    // Only a byte-identical snapshot continues what is there, whoever sends it.
    incoming_ = m.snapshot;
    incoming_written_ = 0;
    incoming_requested_ = 0;
    incoming_gap_ = 0;
  }
  if (m.offset != incoming_requested_) {
    if (m.offset > incoming_requested_ && (incoming_gap_ == 0 || m.offset <= incoming_gap_)) {
      // Once for a window, whose later pieces have the same gap; again when the leader repeats it.
      incoming_gap_ = m.offset;
      ReplySnapshot(m.snapshot, incoming_requested_, true);
    } else if (m.offset < incoming_requested_) {
      ReplySnapshot(m.snapshot, incoming_written_, false);
    }
    return;
  }
  incoming_gap_ = 0;
  incoming_requested_ += m.chunk.size();
  out_.snapshot_writes.push_back({m.snapshot, m.offset, std::move(m.chunk)});
}

void Core::ReplySnapshot(const SnapshotMeta& meta, uint64_t offset, bool rewind) {
  if (!leader_ || leader_ != incoming_from_) {
    return;
  }
  Message reply = MessageTo(leader_, MessageKind::kSnapshotReply);
  reply.log_index = meta.index;
  reply.log_term = meta.term;
  reply.offset = offset;
  reply.reject = rewind;
  Send(std::move(reply));
}

void Core::SnapshotWritten(const SnapshotMeta& meta, uint64_t offset) {
  if (!fatal_.ok() || !incoming_ || *incoming_ != meta || offset > incoming_requested_) {
    return;
  }
  bool rewind = offset < incoming_written_ || offset == 0;
  incoming_written_ = offset;
  if (rewind) {
    incoming_requested_ = offset;
    incoming_gap_ = 0;
  }
  if (!rewind && offset == meta.size) {
    InstallReceived();
  } else {
    ReplySnapshot(meta, offset, rewind);
  }
}

void Core::InstallReceived() {
  SnapshotMeta meta = std::move(*incoming_);
  incoming_.reset();
  if (meta.index <= log_.commit() || log_.Matches(meta.index, meta.term)) {
    return;  // appends were faster
  }
  ++metrics_.snapshots_installed;
  ClipOutstanding(Index());
  log_.ResetTo(meta.index, meta.term);
  configurations_.assign(1, {meta.index, meta.configuration});
  snapshot_ = meta;
  snapshot_age_ticks_ = 0;
  snapshot_age_bytes_ = 0;
  install_wanted_ = meta;
  if (leader_) {
    Message reply = MessageTo(leader_, MessageKind::kAppendReply);
    reply.log_index = meta.index;
    reply.priority = options_.priority;
    if (PGQUORUM_RAFT_BUG(kRestoreBeforeDurable)) {
      Send(std::move(reply));
    } else {
      SendAfterPersist(std::move(reply));
    }
  }
}

}  // namespace pgquorum::raft
