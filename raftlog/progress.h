// What a leader knows of one follower, and how fast it may send to it.
#pragma once

#include <cstdint>
#include <deque>

#include "raftlog/types.h"

namespace pgquorum::raft {

// Appends that were sent and not yet answered, bounded in messages and bytes.
class Inflights {
 public:
  Inflights(uint32_t max_messages, uint64_t max_bytes)
      : max_messages_(max_messages), max_bytes_(max_bytes) {}

  bool full() const { return queue_.size() >= max_messages_ || bytes_ >= max_bytes_; }
  std::size_t count() const { return queue_.size(); }
  uint64_t bytes() const { return bytes_; }

  void Add(Index last, uint64_t bytes) {
    queue_.push_back({last, bytes});
    bytes_ += bytes;
  }
  // Everything up to `index` has been answered.
  void FreeTo(Index index) {
    while (!queue_.empty() && queue_.front().last <= index) {
      bytes_ -= queue_.front().bytes;
      queue_.pop_front();
    }
  }
  void Clear() {
    queue_.clear();
    bytes_ = 0;
  }

 private:
  struct Item {
    Index last;
    uint64_t bytes;
  };
  uint32_t max_messages_;
  uint64_t max_bytes_;
  std::deque<Item> queue_;
  uint64_t bytes_ = 0;
};

enum class ProgressState : uint8_t {
  kProbe = 0,      // where the logs agree is unknown: one append at a time
  kReplicate = 1,  // it is known: a stream of appends, `next` runs ahead of `match`
  kSnapshot = 2,   // the log no longer reaches back that far: chunks of a snapshot
};

struct Progress {
  explicit Progress(Index next_index, uint32_t max_messages, uint64_t max_bytes)
      : next(next_index), inflights(max_messages, max_bytes) {}

  Index match;  // known to be durable there and equal to our log up to here
  Index next;   // first entry of the next append; match < next
  ProgressState state = ProgressState::kProbe;
  bool probe_sent = false;     // kProbe: wait for an answer (or a heartbeat's) before the next one
  uint64_t probe_round = 0;    // the read round before it
  bool recent_active = false;  // heard from since the last check-quorum
  Inflights inflights;
  Index sent_commit;            // the highest commit index it was told
  uint64_t acked_round = 0;     // the latest read round it answered
  uint64_t acked_round_ns = 0;  // and when that round was sent
  uint32_t priority = 0;        // as it last said
  Index match_at_heartbeat;     // to notice appends that got lost

  // kSnapshot only.
  SnapshotMeta snapshot;
  uint64_t snapshot_acked = 0;       // bytes the follower has written
  uint64_t snapshot_next = 0;        // first byte not sent yet
  uint32_t snapshot_idle_ticks = 0;  // since the last answer
  uint32_t snapshot_budget = 0;      // chunks that may still be sent in this tick

  void BecomeProbe(Index next_index) {
    state = ProgressState::kProbe;
    next = std::max(next_index, match + 1);
    probe_sent = false;
    inflights.Clear();
  }
  void BecomeReplicate() {
    state = ProgressState::kReplicate;
    next = match + 1;
    probe_sent = false;
    inflights.Clear();
  }
  void BecomeSnapshot(const SnapshotMeta& meta) {
    state = ProgressState::kSnapshot;
    snapshot = meta;
    snapshot_acked = 0;
    snapshot_next = 0;
    snapshot_idle_ticks = 0;
    probe_sent = false;
    inflights.Clear();
  }
};

}  // namespace pgquorum::raft

#include "base/pure.h"
