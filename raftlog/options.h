// What is fixed for the life of one Core. All times are ticks of the runtime's timer.
#pragma once

#include <cstdint>

#include "base/status.h"
#include "raftlog/types.h"

namespace pgquorum::raft {

struct Options {
  NodeId id;  // this node; required

  // Randomness of timeouts. Must differ between nodes and between starts of one node: it also makes
  // the request numbers of one incarnation unlike those of the one before it.
  uint64_t seed = 1;

  // --- time ---
  uint64_t tick_ns = 10'000'000;  // length of a tick; only lease reads depend on it
  // A follower that hears nothing for a random time in [election_ticks, election_ticks_end())
  // campaigns; a leader that hears no majority for election_ticks steps down. >= 2 *
  // heartbeat_ticks. Nodes may differ without harm to elections, commits and quorum reads; lease
  // reads need the same length (election_ticks * tick_ns) everywhere, since a leader takes its own
  // for what the voters have promised.
  uint32_t election_ticks = 15;
  // Where the random time ends; above election_ticks. A narrow range makes candidates collide, a
  // wide one makes the wait long. 0: 2 * election_ticks.
  uint32_t election_ticks_max = 0;
  uint32_t heartbeat_ticks = 3;  // >= 1
  // After ReportPeerDead(leader): campaign after a random 0..peer_dead_delay_ticks, and try again
  // as often while voters that have no such evidence yet refuse.
  uint32_t peer_dead_delay_ticks = 2;
  // A leader whose disk has not confirmed a write for this long steps down (etcd #13527); 0: never.
  uint32_t disk_stall_ticks = 500;

  // --- election ---
  bool pre_vote = true;  // thesis 9.6: ask before disturbing a working leader
  bool check_quorum =
      true;  // thesis 6.2: a leader cut off from the majority steps down, and voters
             // that hear from a leader ignore candidates (lease reads need it)
  // Preference among nodes that could lead; larger is preferred. A less preferred node waits longer
  // before it campaigns (priority_delay_ticks a step, at most 8 steps below kDefaultPriority) and,
  // leading, hands over to a caught-up better one. 0: campaigns last. Never affects safety.
  uint32_t priority = 8;
  uint32_t priority_delay_ticks = 2;
  bool priority_transfer = true;  // hand leadership to a better caught-up node, also off a witness

  // --- replication ---
  uint32_t max_entries_per_append = 100;  // 1 to 1000
  uint64_t max_bytes_per_append = uint64_t{1} << 20;
  uint32_t max_inflight_appends = 128;  // unanswered appends to one follower
  uint64_t max_inflight_bytes = uint64_t{16} << 20;
  // A commit that no entry carries is sent alone, at once. A leader that accepted this many
  // proposals in the last tick lets it ride with the next append instead, or send it at the next
  // tick: half of all messages would speak of nothing else. 0: always at once.
  uint32_t stream_proposals = 8;
  uint64_t max_uncommitted_entries = 100'000;  // then Propose returns kErrOverloaded
  uint64_t max_uncommitted_bytes = uint64_t{64} << 20;
  uint64_t max_entry_bytes = uint64_t{8} << 20;   // larger proposals are refused
  uint64_t log_cache_bytes = uint64_t{16} << 20;  // committed, durable entries kept in memory
  // Committed entries are handed out only this far beyond Applied(), and this many bytes at a time.
  uint64_t max_unapplied_entries = 10'000;
  uint64_t max_apply_bytes = uint64_t{4} << 20;
  // true: entries are applied only when this node's own disk has them too. false: as soon as a
  // majority has; then a state machine must not be more durable than the log.
  bool apply_only_durable = true;
  bool forward_proposals = true;  // followers pass Forward() on to the leader

  // --- snapshots ---
  // One of the own state machine is due (Core::SnapshotDue) when any of these is reached since the
  // newest one; 0: not by this.
  uint64_t snapshot_entries = 100'000;
  uint64_t snapshot_bytes = uint64_t{64} << 20;         // of applied entries (SizeOf)
  uint64_t snapshot_interval_ticks = 0;                 // once anything was applied at all
  uint64_t retain_entries = 5'000;                      // kept behind a snapshot for slow followers
  uint64_t snapshot_chunk_bytes = uint64_t{256} << 10;  // at most kMaxChunkBytes
  uint32_t snapshot_chunks_per_tick = 16;               // throttle, for each receiver
  uint32_t snapshot_retry_ticks = 30;                   // no answer for so long: send again

  uint32_t election_ticks_end() const {
    return election_ticks_max == 0 ? 2 * election_ticks : election_ticks_max;
  }

  // kErrBadOption with the broken rule as its detail.
  Status Validate() const;
};

inline constexpr uint32_t kDefaultPriority = 8;

}  // namespace pgquorum::raft

#include "base/pure.h"
