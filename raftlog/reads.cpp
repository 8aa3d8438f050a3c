// Linearizable reads without log entries: read index (thesis 6.4) and leases (6.4.1).
#include <utility>

#include "raftlog/bug.h"
#include "raftlog/core.h"
#include "raftlog/errors.h"

#include "base/pure.h"

namespace pgquorum::raft {
namespace {
constexpr std::size_t kMaxPendingReads = 100'000;
}

bool Core::LeaseHeld(uint64_t now_ns) const {
  if (role_ != Role::kLeader || !options_.check_quorum || !CommittedInOwnTerm() ||
      (timeout_now_sent_ && !PGQUORUM_RAFT_BUG(kLeaseAfterTimeoutNow))) {
    return false;
  }
  // A voter that answered keeps quiet for election_ticks of its own clock, the first of which may
  // be cut short; a fifth is left for clocks that run at different rates.
  uint64_t margin = 1 + options_.election_ticks / 5;
  if (options_.election_ticks <= margin) {
    return false;
  }
  uint64_t since = QuorumValue(configuration(), [&](NodeId id) {
    if (id == options_.id) {
      return now_ns;
    }
    auto found = progress_.find(id);
    return found == progress_.end() ? 0 : found->second.acked_round_ns;
  });
  return since > 0 && now_ns < since + (options_.election_ticks - margin) * options_.tick_ns;
}

void Core::ReadIndex(uint64_t request, ReadMode mode, uint64_t now_ns) {
  if (!fatal_.ok()) {
    return;
  }
  if (role_ == Role::kLeader) {
    StartRead({options_.id, request, Index(), 0}, mode, now_ns);
    return;
  }
  if (!leader_ || asked_reads_.size() >= kMaxPendingReads) {
    out_.reads.push_back(
        {request, Index(), Status::Error(kErrNoLeader, "no raft leader is known")});
    return;
  }
  Message m = MessageTo(leader_, MessageKind::kReadIndex);
  m.context = ++next_asked_;
  asked_reads_[m.context] = {request, 0};
  Send(std::move(m));
}

void Core::StartRead(PendingRead read, ReadMode mode, uint64_t now_ns) {
  if (reads_.size() >= kMaxPendingReads) {
    if (read.from == options_.id) {
      out_.reads.push_back(
          {read.request, Index(), Status::Error(kErrOverloaded, "too many pending raft reads")});
    }
    return;  // a follower's request times out there
  }
  if (mode == ReadMode::kLease && LeaseHeld(now_ns)) {
    ++metrics_.reads_lease;
    read.index = log_.commit();
    AnswerRead(read);
    return;
  }
  ++metrics_.reads_quorum;
  // Before an entry of its own term is committed, a leader does not know how far its predecessors
  // committed (etcd #741): such reads wait in OnCommitAdvanced.
  if (CommittedInOwnTerm() || PGQUORUM_RAFT_BUG(kReadBeforeOwnCommit)) {
    read.index = log_.commit();
    read.round = round_ + 1;
    round_wanted_ = true;
    if (PGQUORUM_RAFT_BUG(kReadWithoutRound)) {
      AnswerRead(read);
      return;
    }
  }
  reads_.push_back(read);
}

// Reads whose round a majority has answered. Rounds are counted by this leader and start with the
// heartbeat after the request, so no answer from before it can confirm it.
void Core::ReleaseReads() {
  if (reads_.empty()) {
    return;
  }
  uint64_t confirmed = QuorumValue(configuration(), [this](NodeId id) {
    auto found = progress_.find(id);
    return found == progress_.end() ? 0 : found->second.acked_round;
  });
  while (!reads_.empty() && reads_.front().round != 0 && reads_.front().round <= confirmed) {
    PendingRead read = reads_.front();
    reads_.pop_front();
    AnswerRead(read);
  }
}

void Core::AnswerRead(const PendingRead& read) {
  if (read.from == options_.id) {
    out_.reads.push_back({read.request, read.index, Status::Ok()});
    return;
  }
  Message reply = MessageTo(read.from, MessageKind::kReadIndexReply);
  reply.context = read.request;
  reply.log_index = read.index;
  Send(std::move(reply));
}

void Core::FailReads(std::string_view reason) {
  auto fail = [&](uint64_t request) {
    out_.reads.push_back({request, Index(),
                          Status::Error(kErrNoLeader, "raft read was not confirmed")
                              .WithDetail(std::string(reason))});
  };
  for (const PendingRead& read : reads_) {
    if (read.from == options_.id) {
      fail(read.request);
    }
  }
  reads_.clear();
  for (const auto& [number, asked] : asked_reads_) {
    fail(asked.request);
  }
  asked_reads_.clear();
}

void Core::HandleReadIndex(const Message& m) {
  if (role_ == Role::kLeader) {
    StartRead({m.from, m.context, Index(), 0}, ReadMode::kQuorum, now_ns_);
  }
}

void Core::HandleReadIndexReply(const Message& m) {
  auto found = asked_reads_.find(m.context);
  if (found == asked_reads_.end()) {
    return;
  }
  out_.reads.push_back({found->second.request, m.log_index, Status::Ok()});
  asked_reads_.erase(found);
}

// What the leader has not answered for an election timeout never will be: a message was lost.
void Core::TickAsked() {
  for (auto at = asked_reads_.begin(); at != asked_reads_.end();) {
    if (++at->second.ticks < options_.election_ticks) {
      ++at;
      continue;
    }
    out_.reads.push_back({at->second.request, Index(),
                          Status::Error(kErrNoLeader, "raft read was not confirmed")
                              .WithDetail("the leader did not answer")});
    at = asked_reads_.erase(at);
  }
  for (auto at = asked_proposals_.begin(); at != asked_proposals_.end();) {
    if (++at->second.ticks < 2 * options_.election_ticks) {
      ++at;
      continue;
    }
    out_.forwards.push_back(
        {at->second.request, Term(), Index(),
         Status::Error(kErrOutcomeUnknown, "forwarded raft proposal was not answered")
             .WithDetail("the leader did not answer")});
    at = asked_proposals_.erase(at);
  }
}

}  // namespace pgquorum::raft
