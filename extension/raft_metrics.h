// What the Raft library of this node counts and measures: the consensus worker publishes it, the
// views system.raft_metrics, raft_histograms, raft_histogram_buckets and raft_peers show it.
//
// A new number is a field, a line of kRaftNumbers and an assignment in the worker
// (bgworkers/consensus/raft_metrics.cpp). Everything counts from the worker's start.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <type_traits>

namespace pgquorum::shared {

struct RaftNumbers {
  // Gauges.
  uint64_t is_leader;
  uint64_t is_refilling;
  uint64_t term;
  uint64_t first_index;
  uint64_t last_index;
  uint64_t stable_index;
  uint64_t commit_index;
  uint64_t applied_index;
  uint64_t snapshot_index;
  uint64_t snapshot_bytes;
  uint64_t log_segments;
  uint64_t log_bytes;
  uint64_t queued_messages;
  uint64_t queued_proposals;
  uint64_t waiting_proposals;
  uint64_t waiting_reads;
  uint64_t unwritten_batches;
  uint64_t unwritten_bytes;
  uint64_t inflight_messages;
  uint64_t inflight_bytes;
  // Counters.
  uint64_t pre_votes_started;
  uint64_t elections_started;
  uint64_t elections_won;
  uint64_t votes_granted;
  uint64_t votes_refused;
  uint64_t stepped_down_quorum;
  uint64_t stepped_down_disk;
  uint64_t stalls;
  uint64_t transfers_started;
  uint64_t appends_sent;
  uint64_t appends_rejected;
  uint64_t entries_sent;
  uint64_t entries_truncated;
  uint64_t configurations_rolled_back;
  uint64_t proposals_accepted;
  uint64_t proposals_refused;
  uint64_t proposals_turned_away;
  uint64_t messages_dropped;
  uint64_t messages_malformed;
  uint64_t reads_quorum;
  uint64_t reads_lease;
  uint64_t snapshots_taken;
  uint64_t snapshots_started;
  uint64_t snapshot_chunks_sent;
  uint64_t snapshots_installed;
  uint64_t log_writes;
  uint64_t log_syncs;
  uint64_t log_bytes_written;
  uint64_t segments_made;
  uint64_t segments_recycled;
};

struct RaftNumber {
  const char* name;
  bool counter;  // else a gauge
  uint64_t RaftNumbers::*field;
  const char* meaning;
};

inline constexpr RaftNumber kRaftNumbers[] = {
    {"is_leader", false, &RaftNumbers::is_leader, "1 on the Raft leader"},
    {"is_refilling", false, &RaftNumbers::is_refilling,
     "1 while a damaged log is refilled: the node does not vote"},
    {"term", false, &RaftNumbers::term, "Raft term"},
    {"first_index", false, &RaftNumbers::first_index, "oldest entry of the log"},
    {"last_index", false, &RaftNumbers::last_index, "newest entry of the log"},
    {"stable_index", false, &RaftNumbers::stable_index, "newest entry that is durable here"},
    {"commit_index", false, &RaftNumbers::commit_index, "newest entry known to be committed"},
    {"applied_index", false, &RaftNumbers::applied_index, "newest entry applied here"},
    {"snapshot_index", false, &RaftNumbers::snapshot_index, "last entry in the newest snapshot"},
    {"snapshot_bytes", false, &RaftNumbers::snapshot_bytes, "size of the newest snapshot"},
    {"log_segments", false, &RaftNumbers::log_segments, "files of the log"},
    {"log_bytes", false, &RaftNumbers::log_bytes, "size of the files of the log"},
    {"queued_messages", false, &RaftNumbers::queued_messages, "messages received, not yet handled"},
    {"queued_proposals", false, &RaftNumbers::queued_proposals, "proposals not yet in the log"},
    {"waiting_proposals", false, &RaftNumbers::waiting_proposals,
     "proposals of this node that are not applied yet"},
    {"waiting_reads", false, &RaftNumbers::waiting_reads, "reads of this node without an answer"},
    {"unwritten_batches", false, &RaftNumbers::unwritten_batches, "batches waiting for the disk"},
    {"unwritten_bytes", false, &RaftNumbers::unwritten_bytes, "bytes waiting for the disk"},
    {"inflight_messages", false, &RaftNumbers::inflight_messages,
     "leader: appends sent to all followers and not answered"},
    {"inflight_bytes", false, &RaftNumbers::inflight_bytes, "leader: bytes of these appends"},
    {"pre_votes_started", true, &RaftNumbers::pre_votes_started, "pre-vote rounds begun"},
    {"elections_started", true, &RaftNumbers::elections_started, "elections begun"},
    {"elections_won", true, &RaftNumbers::elections_won, "elections won"},
    {"votes_granted", true, &RaftNumbers::votes_granted, "votes and pre-votes granted"},
    {"votes_refused", true, &RaftNumbers::votes_refused, "votes and pre-votes refused"},
    {"stepped_down_quorum", true, &RaftNumbers::stepped_down_quorum,
     "leaderships ended because no majority was heard"},
    {"stepped_down_disk", true, &RaftNumbers::stepped_down_disk,
     "leaderships ended because the own disk was stuck"},
    {"stalls", true, &RaftNumbers::stalls, "pauses of this process that were noticed"},
    {"transfers_started", true, &RaftNumbers::transfers_started, "leadership transfers begun"},
    {"appends_sent", true, &RaftNumbers::appends_sent, "append messages sent"},
    {"appends_rejected", true, &RaftNumbers::appends_rejected, "append messages refused here"},
    {"entries_sent", true, &RaftNumbers::entries_sent, "entries sent in appends"},
    {"entries_truncated", true, &RaftNumbers::entries_truncated,
     "uncommitted entries replaced by another leader's"},
    {"configurations_rolled_back", true, &RaftNumbers::configurations_rolled_back,
     "uncommitted membership changes undone"},
    {"proposals_accepted", true, &RaftNumbers::proposals_accepted, "proposals put into the log"},
    {"proposals_refused", true, &RaftNumbers::proposals_refused,
     "proposals that the log refused: not the leader, a transfer, or a limit"},
    {"proposals_turned_away", true, &RaftNumbers::proposals_turned_away,
     "proposals of this node that found the queue full"},
    {"messages_dropped", true, &RaftNumbers::messages_dropped, "messages dropped at a limit"},
    {"messages_malformed", true, &RaftNumbers::messages_malformed, "messages that did not decode"},
    {"reads_quorum", true, &RaftNumbers::reads_quorum, "reads confirmed by a majority"},
    {"reads_lease", true, &RaftNumbers::reads_lease, "reads served by lease"},
    {"snapshots_taken", true, &RaftNumbers::snapshots_taken, "snapshots of the own state"},
    {"snapshots_started", true, &RaftNumbers::snapshots_started,
     "transfers of snapshots to followers begun"},
    {"snapshot_chunks_sent", true, &RaftNumbers::snapshot_chunks_sent, "pieces of snapshots sent"},
    {"snapshots_installed", true, &RaftNumbers::snapshots_installed,
     "snapshots received and installed"},
    {"log_writes", true, &RaftNumbers::log_writes, "writes of the log"},
    {"log_syncs", true, &RaftNumbers::log_syncs, "fdatasync calls for these writes"},
    {"log_bytes_written", true, &RaftNumbers::log_bytes_written, "bytes of these writes"},
    {"segments_made", true, &RaftNumbers::segments_made, "files of the log made"},
    {"segments_recycled", true, &RaftNumbers::segments_recycled, "files of the log used again"},
};
static_assert(sizeof(RaftNumbers) == sizeof(uint64_t) * std::size(kRaftNumbers));

// Distribution of one measurement. `below[i]`: values smaller than 2^i.
inline constexpr std::size_t kRaftBounds = 36;

struct RaftHistogram {
  uint64_t count;
  uint64_t sum;
  uint64_t max;
  uint64_t p50;
  uint64_t p90;
  uint64_t p99;
  uint64_t p999;
  uint64_t below[kRaftBounds];
};

struct RaftHistograms {
  RaftHistogram commit;
  RaftHistogram read;
  RaftHistogram sync;
  RaftHistogram group;
  RaftHistogram snapshot;
};

struct RaftHistogramName {
  const char* name;
  const char* unit;
  RaftHistogram RaftHistograms::*field;
  const char* meaning;
};

inline constexpr RaftHistogramName kRaftHistograms[] = {
    {"commit", "us", &RaftHistograms::commit, "from a proposal of this node to its application"},
    {"read", "us", &RaftHistograms::read, "from a read of this node to its answer"},
    {"sync", "us", &RaftHistograms::sync, "write and fdatasync of the log"},
    {"group", "batches", &RaftHistograms::group, "batches that one write of the log carried"},
    {"snapshot", "us", &RaftHistograms::snapshot, "writing a snapshot of the own state"},
};
static_assert(sizeof(RaftHistograms) == sizeof(RaftHistogram) * std::size(kRaftHistograms));

enum class RaftPeerState : uint32_t { kProbe = 0, kReplicate = 1, kSnapshot = 2 };

struct RaftPeer {
  uint64_t raft_node_id;
  uint64_t match_index;
  uint64_t next_index;
  uint64_t inflight_messages;
  uint64_t inflight_bytes;
  RaftPeerState state;
  uint32_t active;  // heard within the last election timeout
};

inline constexpr std::size_t kMaxRaftPeers = 16;

enum class RaftRole : uint32_t {
  kUnknown = 0,
  kFollower = 1,
  kPreCandidate = 2,
  kCandidate = 3,
  kLeader = 4,
  kLearner = 5,
  kWitness = 6,  // a follower that holds no data
};

// What is no number to add up.
struct RaftState {
  RaftRole role;
  uint32_t voters;  // of the current configuration
  uint32_t learners;
  uint32_t joint;  // 1 while a membership change is under way
  uint64_t leader_id;
  uint64_t voted_for;
  uint64_t leader_changes;
  // What the running core goes by, in whole ticks of its clock.
  uint32_t election_timeout_ms;
  uint32_t election_timeout_max_ms;
  uint32_t heartbeat_interval_ms;
  uint32_t max_entries_per_append;
};

struct RaftMetricsView {
  RaftState state;
  RaftNumbers numbers;
  RaftHistograms histograms;
  uint32_t peer_count;  // on the leader; 0 elsewhere
  uint32_t padding;
  RaftPeer peers[kMaxRaftPeers];
};
static_assert(std::is_trivially_copyable_v<RaftMetricsView>);

}  // namespace pgquorum::shared

#include "base/pure.h"
