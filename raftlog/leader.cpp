// A leader's side of replication: raft paper 5.3 and 5.4.2, with batching, pipelining and flow
// control.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "raftlog/bug.h"
#include "raftlog/core.h"

#include "base/pure.h"

namespace pgquorum::raft {

bool Core::CommittedInOwnTerm() const {
  return role_ == Role::kLeader && log_.commit() >= term_start_;
}

void Core::AppendOwn(EntryType type, std::string data) {
  AppendEntry({term_, log_.last() + 1, type, std::move(data)});
}

void Core::TickLeader() {
  if (options_.disk_stall_ticks > 0 && oldest_write_ticks_ >= options_.disk_stall_ticks) {
    ++metrics_.stepped_down_disk;
    BecomeFollower(term_, NodeId());
    return;
  }
  if (++election_elapsed_ >= options_.election_ticks) {
    election_elapsed_ = 0;
    CheckQuorum();
    if (role_ != Role::kLeader) {
      return;
    }
  }
  if (transfer_target_ && ++transfer_elapsed_ >= options_.election_ticks) {
    EndTransfer();
  }
  streaming_ = options_.stream_proposals > 0 &&
               metrics_.proposals_accepted - accepted_at_tick_ >= options_.stream_proposals;
  accepted_at_tick_ = metrics_.proposals_accepted;
  commit_due_ = true;
  TickSnapshots();
  if (++heartbeat_elapsed_ >= options_.heartbeat_ticks) {
    BroadcastHeartbeat();
  }
  MaybeHandOver();
}

void Core::CheckQuorum() {
  bool alive = QuorumHolds(configuration(), [this](NodeId id) {
    auto found = progress_.find(id);
    return id == options_.id || (found != progress_.end() && found->second.recent_active);
  });
  for (auto& [id, progress] : progress_) {
    progress.recent_active = id == options_.id;
  }
  if (!alive && options_.check_quorum && !PGQUORUM_RAFT_BUG(kNoCheckQuorum)) {
    ++metrics_.stepped_down_quorum;
    BecomeFollower(term_, NodeId());
  }
}

void Core::BroadcastHeartbeat() {
  heartbeat_elapsed_ = 0;
  round_wanted_ = false;
  ++round_;
  // The lease runs from before the sending: from the last tick.
  round_times_[round_] = now_ns_;
  if (round_times_.size() > 256) {
    round_times_.erase(round_times_.begin());
  }
  for (auto& [id, progress] : progress_) {
    if (id == options_.id) {
      progress.acked_round = round_;
      continue;
    }
    Message m = MessageTo(id, MessageKind::kHeartbeat);
    m.commit = PGQUORUM_RAFT_BUG(kHeartbeatCommitsUnmatched)
                   ? log_.commit()
                   : std::min(log_.commit(), progress.match);
    m.context = round_;
    Send(std::move(m));
  }
  ReleaseReads();  // a single voter needs nobody's answer
}

// Everything that may be sent now; called once for each output, so that what was proposed together
// travels together.
void Core::SendAppends() {
  for (auto& [id, progress] : progress_) {
    bool sent = false;
    while (fatal_.ok() && SendAppendTo(id, progress, progress.state == ProgressState::kProbe)) {
      sent = true;
    }
    // A commit that no entry carries travels alone, once.
    if (!sent && progress.sent_commit < log_.commit() && (!streaming_ || commit_due_) &&
        progress.state == ProgressState::kReplicate) {
      SendAppendTo(id, progress, true);
    }
  }
  commit_due_ = false;
}

bool Core::SendAppendTo(NodeId to, Progress& progress, bool allow_empty) {
  bool blocked = to == options_.id || progress.state == ProgressState::kSnapshot ||
                 (progress.state == ProgressState::kProbe && progress.probe_sent) ||
                 (progress.state == ProgressState::kReplicate && progress.inflights.full());
  if (blocked || (!allow_empty && progress.next > log_.last())) {
    return false;
  }
  Index previous = progress.next - 1;
  if (progress.next < log_.first() || (previous && !log_.TermAt(previous))) {
    StartSnapshot(to, progress);
    return false;
  }
  Result<std::vector<Entry>> entries = log_.Read(
      progress.next, log_.last(), options_.max_entries_per_append, options_.max_bytes_per_append);
  if (!entries.ok()) {
    SetFatal(entries.status());
    return false;
  }
  Message m = MessageTo(to, MessageKind::kAppend);
  m.log_index = previous;
  m.log_term = log_.TermAt(previous);
  m.commit = log_.commit();
  m.entries = std::move(entries).value();
  progress.sent_commit = log_.commit();
  ++metrics_.appends_sent;
  metrics_.entries_sent += m.entries.size();
  if (progress.state == ProgressState::kProbe) {
    progress.probe_sent = true;
    progress.probe_round = round_;
  } else if (!m.entries.empty()) {
    uint64_t bytes = 0;
    for (const Entry& entry : m.entries) {
      bytes += SizeOf(entry);
    }
    progress.next = m.entries.back().index + 1;
    progress.inflights.Add(m.entries.back().index, bytes);
  }
  Send(std::move(m));
  return true;
}

void Core::HandleAppendReply(const Message& m) {
  auto found = progress_.find(m.from);
  if (role_ != Role::kLeader || found == progress_.end()) {
    return;
  }
  Progress& progress = found->second;
  progress.recent_active = true;
  progress.priority = m.priority;
  if (m.reject) {
    HandleAppendReject(m, progress);
    return;
  }
  if (m.log_index > log_.last()) {
    return;  // matched what we do not have: not an answer to this leader
  }
  bool advanced = m.log_index > progress.match;
  progress.match = std::max(progress.match, m.log_index);
  progress.next = std::max(progress.next, progress.match + 1);
  progress.inflights.FreeTo(m.log_index);
  if (progress.state == ProgressState::kProbe && m.log_index == progress.match) {
    progress.BecomeReplicate();
  } else if (progress.state == ProgressState::kSnapshot && progress.match + 1 >= log_.first() &&
             progress.match >= progress.snapshot.index) {
    progress.BecomeReplicate();
  }
  if (advanced) {
    MaybeCommit();
    MaybeSendTimeoutNow();
  }
}

void Core::HandleAppendReject(const Message& m, Progress& progress) {
  Index agree = log_.LastIndexWithTermAtMost(m.hint_index, m.hint_term);
  if (m.force && agree < progress.match) {
    // A damaged disk lost what it had confirmed: its log ends below, or goes on in an older term.
    // What is left may have been replaced before the damage: it matches only where the terms say so
    // (raft paper 5.3, log matching).
    bool matches = agree == m.hint_index && log_.TermAt(agree) == m.hint_term;
    progress.match = matches ? agree : Index();
    progress.BecomeProbe(agree + 1);
    return;
  }
  if (progress.state == ProgressState::kSnapshot || m.log_index <= progress.match) {
    return;  // answers a message of long ago
  }
  if (progress.state == ProgressState::kProbe && progress.next != m.log_index + 1) {
    return;
  }
  progress.BecomeProbe(std::min(agree + 1, m.log_index));
}

void Core::HandleHeartbeatReply(const Message& m) {
  auto found = progress_.find(m.from);
  if (role_ != Role::kLeader || found == progress_.end()) {
    return;
  }
  Progress& progress = found->second;
  progress.recent_active = true;
  progress.priority = m.priority;
  if (m.context > progress.probe_round) {
    progress.probe_sent = false;  // a later heartbeat was answered, the probe was not: it is lost
  }
  if (m.context > progress.acked_round && m.context <= round_) {
    progress.acked_round = m.context;
    auto sent = round_times_.find(m.context);
    if (sent != round_times_.end()) {
      progress.acked_round_ns = sent->second;
    }
    ReleaseReads();
  }
  // Appends under way and none confirmed since the last heartbeat: one without entries tells by its
  // answer whether they got lost.
  if (progress.state == ProgressState::kReplicate && progress.inflights.count() > 0 &&
      progress.match == progress.match_at_heartbeat) {
    Message probe = MessageTo(m.from, MessageKind::kAppend);
    probe.log_index = progress.next - 1;
    probe.log_term = log_.TermAt(probe.log_index);
    probe.commit = log_.commit();
    Send(std::move(probe));
  }
  progress.match_at_heartbeat = progress.match;
}

void Core::MaybeCommit() {
  if (role_ != Role::kLeader) {
    return;
  }
  Index index = CommittedIndex(configuration().voters, configuration().outgoing, [this](NodeId id) {
    auto found = progress_.find(id);
    return found == progress_.end() ? Index() : found->second.match;
  });
  // Raft paper 5.4.2, figure 8: only an entry of its own term commits by counting.
  if (index <= log_.commit() ||
      (log_.TermAt(index) != term_ && !PGQUORUM_RAFT_BUG(kCommitOldTermByCounting))) {
    return;
  }
  log_.CommitTo(index);
  OnCommitAdvanced();
}

void Core::OnCommitAdvanced() {
  Index config_index = configurations_.back().index;
  if (CommittedInOwnTerm()) {
    for (PendingRead& read : reads_) {
      if (read.round == 0) {
        read.index = log_.commit();
        read.round = round_ + 1;
        round_wanted_ = true;
      }
    }
  }
  if (config_index > log_.commit()) {
    return;
  }
  if (configuration().joint() && configuration().auto_leave && CommittedInOwnTerm()) {
    Result<Configuration> simple = LeaveJoint(configuration());
    PGQUORUM_CHECK(simple.ok());
    (void)AppendConfiguration(std::move(simple).value(), "");
    return;
  }
  if (!configuration().IsVoter(options_.id) && CommittedInOwnTerm()) {
    // Thesis 4.2.2: it led until the configuration without it was committed; now it tells the
    // others so, asks the best of them to take over, and goes.
    commit_due_ = true;
    SendAppends();
    NodeId heir;
    Index best;
    for (const auto& [id, progress] : progress_) {
      if (configuration().IsVoter(id) && !configuration().IsWitness(id) && progress.match > best &&
          progress.recent_active) {
        heir = id;
        best = progress.match;
      }
    }
    if (heir && best == log_.last()) {
      Send(MessageTo(heir, MessageKind::kTimeoutNow));
    }
    BecomeFollower(term_, NodeId());
  }
}

void Core::ReportUnreachable(NodeId peer) {
  auto found = progress_.find(peer);
  if (!fatal_.ok() || role_ != Role::kLeader || found == progress_.end()) {
    return;
  }
  Progress& progress = found->second;
  if (progress.state != ProgressState::kProbe) {
    // No point in sending more before it has answered a heartbeat. A snapshot under way is resumed
    // where its receiver says that it is.
    progress.BecomeProbe(progress.match + 1);
    progress.probe_sent = true;
    progress.probe_round = round_;
  }
}

}  // namespace pgquorum::raft
