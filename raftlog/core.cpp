#include "raftlog/core.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "raftlog/bug.h"
#include "raftlog/codec.h"
#include "raftlog/errors.h"

#include "base/pure.h"

namespace pgquorum::raft {

Bootstrap BootstrapLog(const Configuration& configuration, std::string context) {
  Bootstrap bootstrap;
  bootstrap.hard_state = {Term(1), NodeId(), Index(1)};
  bootstrap.entry = {Term(1), Index(1), EntryType::kConfig,
                     EncodeConfigEntry({configuration, std::move(context)})};
  return bootstrap;
}

Result<std::unique_ptr<Core>> Core::Create(const Options& options, const RecoveredState& recovered,
                                           LogReader& reader) {
  Status status = options.Validate();
  if (!status.ok()) {
    return status;
  }
  std::unique_ptr<Core> core(new Core(options, recovered, reader));
  for (const Entry& entry : recovered.config_entries) {
    Result<ConfigEntry> decoded = DecodeConfigEntry(entry.data);
    if (!decoded.ok()) {
      return decoded.status();
    }
    core->ConfigurationAppended(entry.index, std::move(decoded).value().configuration);
  }
  return core;
}

Core::Core(const Options& options, const RecoveredState& recovered, LogReader& reader)
    : options_(options),
      random_(options.seed ^ (options.id.value() * 0x9E3779B97F4A7C15ULL)),
      log_(recovered, reader, options.log_cache_bytes),
      term_(std::max({recovered.hard_state.term, log_.last_term(), recovered.refill_term})),
      vote_(term_ == recovered.hard_state.term ? recovered.hard_state.vote : NodeId()),
      handed_out_(recovered.hard_state),
      durable_term_(recovered.hard_state.term),
      snapshot_(recovered.snapshot),
      refill_term_(recovered.refill_term),
      refill_index_(recovered.refill_index),
      emitted_(std::max(recovered.applied, recovered.snapshot.index)),
      applied_(emitted_) {
  PGQUORUM_CHECK(emitted_ <= log_.last());
  if (refilling() && !vote_) {
    vote_ = options_.id;  // the record of a vote may be among what was lost: none is given again
  }
  log_.CommitTo(emitted_);  // what was applied was committed
  configurations_.push_back({recovered.snapshot.index, recovered.snapshot.configuration});
  next_asked_ = PGQUORUM_RAFT_BUG(kReadIdsReused) ? 0 : random_.Next() >> 1;
  // Before its stop this node may have promised a leader to ignore candidates; with no leader ever
  // (terms 0 and 1, see BootstrapLog) there is nobody it could have promised.
  lease_elapsed_ = term_ > Term(1) ? 0 : options_.election_ticks;
  reported_ = {Role::kFollower, term_, NodeId()};
  ResetElectionTimer();
  CheckRefilled();
}

void Core::Tick(uint64_t now_ns) {
  if (!fatal_.ok()) {
    return;
  }
  PGQUORUM_CHECK(now_ns >= now_ns_);
  now_ns_ = now_ns;
  oldest_write_ticks_ = outstanding_.empty() ? 0 : oldest_write_ticks_ + 1;
  ++snapshot_age_ticks_;
  TickAsked();
  if (role_ == Role::kLeader) {
    TickLeader();
  } else {
    TickElection();
  }
}

void Core::NoteStall(uint64_t ticks) {
  if (ticks == 0) {
    return;
  }
  ++metrics_.stalls_noted;
  // The messages of the time it slept are still in the receive queue: hear them first.
  if (role_ == Role::kLeader) {
    election_elapsed_ = 0;  // check-quorum counts afresh; a lease is judged by the clock, not this
    for (auto& [id, progress] : progress_) {
      progress.recent_active = id == options_.id;
    }
  } else {
    ResetElectionTimer();
    campaign_in_.reset();
  }
}

void Core::Step(Message m) {
  if (!fatal_.ok() || m.to != options_.id || m.from == options_.id || !m.from) {
    return;
  }
  if (m.term == dead_term_ && m.from == dead_leader_ && m.term == term_) {
    return;  // words of a dead leader still in the pipe must not renew the promise to it
  }
  if (AdmitTerm(m)) {
    StepCurrentTerm(m);
  }
}

// Raft paper 5.1: a higher term makes a follower, a lower one is refused. Returns false when the
// message is done with.
bool Core::AdmitTerm(Message& m) {
  bool from_leader = m.kind == MessageKind::kAppend || m.kind == MessageKind::kHeartbeat ||
                     m.kind == MessageKind::kSnapshotChunk;
  if (m.term > term_) {
    if (m.kind == MessageKind::kPreVote || (m.kind == MessageKind::kPreVoteReply && !m.reject)) {
      return true;  // speaks of a term that nobody has entered
    }
    if (m.kind == MessageKind::kVote && !m.force && InLease()) {
      ++metrics_.votes_refused;
      return false;  // thesis 4.2.3: a candidate does not depose a leader that is heard
    }
    BecomeFollower(m.term, from_leader ? m.from : NodeId());
    return true;
  }
  if (m.term < term_) {
    if (from_leader) {
      // A leader that was cut off, or this node's own term ran ahead while it was: telling the
      // leader is the only way out when pre-vote and check-quorum keep both apart (etcd #8334).
      Send(MessageTo(m.from, MessageKind::kHeartbeatReply));
    } else if (m.kind == MessageKind::kPreVote || m.kind == MessageKind::kVote) {
      Message reply = MessageTo(m.from, m.kind == MessageKind::kVote ? MessageKind::kVoteReply
                                                                     : MessageKind::kPreVoteReply);
      reply.reject = true;
      Send(std::move(reply));
    }
    return false;
  }
  return true;
}

void Core::StepCurrentTerm(Message& m) {
  switch (m.kind) {
    case MessageKind::kPreVote:
    case MessageKind::kVote:
      return HandleVoteRequest(m);
    case MessageKind::kPreVoteReply:
    case MessageKind::kVoteReply:
      return HandleVoteReply(m);
    case MessageKind::kAppend:
      return HandleAppend(m);
    case MessageKind::kAppendReply:
      return HandleAppendReply(m);
    case MessageKind::kHeartbeat:
      return HandleHeartbeat(m);
    case MessageKind::kHeartbeatReply:
      return HandleHeartbeatReply(m);
    case MessageKind::kSnapshotChunk:
      return HandleSnapshotChunk(m);
    case MessageKind::kSnapshotReply:
      return HandleSnapshotReply(m);
    case MessageKind::kTimeoutNow:
      return HandleTimeoutNow(m);
    case MessageKind::kReadIndex:
      return HandleReadIndex(m);
    case MessageKind::kReadIndexReply:
      return HandleReadIndexReply(m);
    case MessageKind::kPropose:
      return HandlePropose(m);
    case MessageKind::kProposeReply:
      return HandleProposeReply(m);
  }
}

Message Core::MessageTo(NodeId to, MessageKind kind) const {
  Message message;
  message.kind = kind;
  message.from = options_.id;
  message.to = to;
  message.term = term_;
  return message;
}

// Nothing is said in a term that a crash could make this node forget.
void Core::Send(Message message) {
  if (term_ == durable_term_) {
    out_.messages.push_back(std::move(message));
  } else {
    SendAfterPersist(std::move(message));
  }
}

void Core::SendAfterPersist(Message message) {
  after_.push_back(std::move(message));
}

void Core::SetFatal(Status status) {
  if (fatal_.ok()) {
    fatal_ = std::move(status);
  }
}

}  // namespace pgquorum::raft
