#include "bgworkers/consensus/raft_metrics.h"

#include "base/pure.h"

namespace pgquorum::consensus {
namespace {

shared::RaftRole RoleOf(const raft::HostStatus& s) {
  switch (s.role) {
    case raft::Role::kFollower:
      return !s.configuration.IsVoter(s.id)    ? shared::RaftRole::kLearner
             : s.configuration.IsWitness(s.id) ? shared::RaftRole::kWitness
                                               : shared::RaftRole::kFollower;
    case raft::Role::kPreCandidate:
      return shared::RaftRole::kPreCandidate;
    case raft::Role::kCandidate:
      return shared::RaftRole::kCandidate;
    case raft::Role::kLeader:
      return shared::RaftRole::kLeader;
  }
  return shared::RaftRole::kUnknown;
}

void FillState(const raft::HostStatus& s, shared::RaftState& state) {
  state.role = RoleOf(s);
  state.voters = static_cast<uint32_t>(s.configuration.voters.size());
  state.learners = static_cast<uint32_t>(s.configuration.learners.size());
  state.joint = s.configuration.joint() ? 1 : 0;
  state.leader_id = s.leader.value();
  state.voted_for = s.vote.value();
  auto ms = [&s](uint64_t ticks) {
    return static_cast<uint32_t>((ticks * s.options.tick_ns + 500'000) / 1'000'000);
  };
  state.election_timeout_ms = ms(s.options.election_ticks);
  state.election_timeout_max_ms = ms(s.options.election_ticks_end());
  state.heartbeat_interval_ms = ms(s.options.heartbeat_ticks);
  state.max_entries_per_append = s.options.max_entries_per_append;
}

void FillGauges(const raft::HostStatus& s, shared::RaftNumbers& n) {
  n.is_leader = s.role == raft::Role::kLeader ? 1 : 0;
  n.is_refilling = s.refilling ? 1 : 0;
  n.term = s.term.value();
  n.first_index = s.first.value();
  n.last_index = s.last.value();
  n.stable_index = s.stable.value();
  n.commit_index = s.commit.value();
  n.applied_index = s.applied.value();
  n.snapshot_index = s.snapshot.index.value();
  n.snapshot_bytes = s.snapshot.size;
  n.log_segments = s.log.segments;
  n.log_bytes = s.log.bytes;
  n.queued_messages = s.queued_messages;
  n.queued_proposals = s.queued_proposals;
  n.waiting_proposals = s.waiting_proposals;
  n.waiting_reads = s.waiting_reads;
  n.unwritten_batches = s.unwritten_batches;
  n.unwritten_bytes = s.unwritten_bytes;
  for (const raft::PeerStatus& peer : s.peers) {
    n.inflight_messages += peer.inflight_messages;
    n.inflight_bytes += peer.inflight_bytes;
  }
}

void FillCounters(const raft::HostStatus& s, shared::RaftNumbers& n) {
  const raft::Metrics& m = s.metrics;
  n.pre_votes_started = m.pre_votes_started;
  n.elections_started = m.elections_started;
  n.elections_won = m.elections_won;
  n.votes_granted = m.votes_granted;
  n.votes_refused = m.votes_refused;
  n.stepped_down_quorum = m.stepped_down_quorum;
  n.stepped_down_disk = m.stepped_down_disk;
  n.stalls = m.stalls_noted;
  n.transfers_started = m.transfers_started;
  n.appends_sent = m.appends_sent;
  n.appends_rejected = m.appends_rejected;
  n.entries_sent = m.entries_sent;
  n.entries_truncated = m.entries_truncated;
  n.configurations_rolled_back = m.configurations_rolled_back;
  n.proposals_accepted = m.proposals_accepted;
  n.proposals_refused = m.proposals_refused;
  n.proposals_turned_away = s.refused_proposals;
  n.messages_dropped = s.dropped_messages;
  n.messages_malformed = s.malformed_messages;
  n.reads_quorum = m.reads_quorum;
  n.reads_lease = m.reads_lease;
  n.snapshots_taken = s.snapshots_taken;
  n.snapshots_started = m.snapshots_started;
  n.snapshot_chunks_sent = m.snapshot_chunks_sent;
  n.snapshots_installed = m.snapshots_installed;
  n.log_writes = s.log.writes;
  n.log_syncs = s.log.syncs;
  n.log_bytes_written = s.log.bytes_written;
  n.segments_made = s.log.segments_made;
  n.segments_recycled = s.log.segments_recycled;
}

shared::RaftHistogram Copy(const Histogram& from) {
  shared::RaftHistogram to{};
  to.count = from.count();
  to.sum = from.sum();
  to.max = from.max();
  to.p50 = from.Quantile(0.5);
  to.p90 = from.Quantile(0.9);
  to.p99 = from.Quantile(0.99);
  to.p999 = from.Quantile(0.999);
  for (std::size_t i = 0; i < shared::kRaftBounds; ++i) {
    to.below[i] = from.CountBelow(static_cast<unsigned>(i));
  }
  return to;
}

shared::RaftPeer Copy(const raft::PeerStatus& from) {
  shared::RaftPeer to{};
  to.raft_node_id = from.node.value();
  to.match_index = from.match.value();
  to.next_index = from.next.value();
  to.inflight_messages = from.inflight_messages;
  to.inflight_bytes = from.inflight_bytes;
  to.state = static_cast<shared::RaftPeerState>(from.state);
  to.active = from.recent_active ? 1 : 0;
  return to;
}
static_assert(static_cast<uint32_t>(raft::ProgressState::kSnapshot) ==
              static_cast<uint32_t>(shared::RaftPeerState::kSnapshot));

}  // namespace

shared::RaftMetricsView RaftMetrics(const raft::HostStatus& status, uint64_t leader_changes) {
  shared::RaftMetricsView view{};
  FillState(status, view.state);
  view.state.leader_changes = leader_changes;
  FillGauges(status, view.numbers);
  FillCounters(status, view.numbers);
  view.histograms.commit = Copy(status.commit_us);
  view.histograms.read = Copy(status.read_us);
  view.histograms.sync = Copy(status.sync_us);
  view.histograms.group = Copy(status.group);
  view.histograms.snapshot = Copy(status.snapshot_us);
  for (const raft::PeerStatus& peer : status.peers) {
    if (peer.node != status.id && view.peer_count < shared::kMaxRaftPeers) {
      view.peers[view.peer_count++] = Copy(peer);
    }
  }
  return view;
}

}  // namespace pgquorum::consensus
