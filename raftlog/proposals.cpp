// Proposals: admission with back-pressure, and forwarding from followers.
#include <utility>

#include "raftlog/bug.h"
#include "raftlog/codec.h"
#include "raftlog/core.h"
#include "raftlog/errors.h"

#include "base/pure.h"

namespace pgquorum::raft {

Status Core::AdmitProposal(uint64_t bytes) const {
  if (!fatal_.ok()) {
    return fatal_;
  }
  if (role_ != Role::kLeader) {
    return Status::Error(kErrNotLeader, "this node is not the raft leader")
        .WithDetail(leader_ ? "the leader is node " + std::to_string(leader_.value())
                            : std::string("no leader is known"));
  }
  if (transfer_target_) {
    return Status::Error(kErrTransferring, "the raft leadership is being transferred");
  }
  if (bytes > options_.max_entry_bytes) {
    return Status::Error(kErrTooLarge, "raft entry is too large")
        .WithDetail(std::to_string(bytes) + " bytes, the limit is " +
                    std::to_string(options_.max_entry_bytes));
  }
  // Judged by what is uncommitted now, not by what this leader added: a term change must not open
  // the gate anew (etcd-io/raft #11).
  bool full = log_.last() - log_.commit() >= options_.max_uncommitted_entries ||
              log_.uncommitted_bytes() >= options_.max_uncommitted_bytes;
  if (full && !PGQUORUM_RAFT_BUG(kUncommittedLimitIgnored)) {
    return Status::Error(kErrOverloaded, "too many uncommitted raft entries")
        .WithHint("Retry later: the majority confirms more slowly than proposals arrive.");
  }
  return Status::Ok();
}

Result<LogPosition> Core::Propose(EntryType type, std::string data) {
  Status status = AdmitProposal(data.size());
  if (status.ok() && type != EntryType::kCommand && type != EntryType::kSession) {
    status = Status::Error(kErrBadChange, "only commands can be proposed");
  }
  if (!status.ok()) {
    ++metrics_.proposals_refused;
    return status;
  }
  ++metrics_.proposals_accepted;
  AppendOwn(type, std::move(data));
  return LogPosition{term_, log_.last()};
}

void Core::Forward(uint64_t request, EntryType type, std::string data) {
  if (role_ == Role::kLeader || !fatal_.ok()) {
    Result<LogPosition> result = Propose(type, std::move(data));
    LogPosition at = result.ok() ? result.value() : LogPosition{};
    out_.forwards.push_back({request, at.term, at.index, result.status()});
    return;
  }
  Status refused;
  if (!leader_ || !options_.forward_proposals) {
    refused = Status::Error(kErrNoLeader, "no raft leader is known");
  } else if (data.size() > options_.max_entry_bytes) {
    refused = Status::Error(kErrTooLarge, "raft entry is too large");
  } else if (asked_proposals_.size() >= options_.max_uncommitted_entries) {
    refused = Status::Error(kErrOverloaded, "too many forwarded raft proposals");
  }
  if (!refused.ok()) {
    out_.forwards.push_back({request, Term(), Index(), refused});
    return;
  }
  Message m = MessageTo(leader_, MessageKind::kPropose);
  m.context = ++next_asked_;
  m.entries.push_back({Term(), Index(), type, std::move(data)});
  asked_proposals_[m.context] = {request, 0};
  Send(std::move(m));
}

// A network may repeat a message: the second copy must not become a second entry.
bool Core::TakenBefore(NodeId from, uint64_t request) {
  constexpr std::size_t kMaxTaken = 16'384;  // of each node
  if (taken_term_ != term_) {
    taken_term_ = term_;
    taken_.clear();
  }
  Taken& taken = taken_[from];
  if (!taken.numbers.insert(request).second) {
    return true;
  }
  taken.order.push_back(request);
  if (taken.order.size() > kMaxTaken) {
    taken.numbers.erase(taken.order.front());
    taken.order.pop_front();
  }
  return false;
}

void Core::HandlePropose(Message& m) {
  if (TakenBefore(m.from, m.context) && !PGQUORUM_RAFT_BUG(kForwardRunsTwice)) {
    return;  // the first copy is answered
  }
  if (role_ != Role::kLeader && vote_ == options_.id) {
    // It may have led this term before a restart, and taken the first copy: silence makes the
    // outcome unknown, a refusal would say that nothing happened.
    return;
  }
  Message reply = MessageTo(m.from, MessageKind::kProposeReply);
  reply.context = m.context;
  Result<LogPosition> result = Propose(m.entries[0].type, std::move(m.entries[0].data));
  if (result.ok()) {
    reply.log_term = result.value().term;
    reply.log_index = result.value().index;
  } else {
    reply.reject = true;
    reply.error = result.status().sqlstate();
  }
  Send(std::move(reply));
}

void Core::HandleProposeReply(const Message& m) {
  auto found = asked_proposals_.find(m.context);
  if (found == asked_proposals_.end()) {
    return;
  }
  Status status;
  if (m.reject) {
    status = Status::Error(m.error.size() == 5 ? std::string_view(m.error) : kErrNotLeader,
                           "the raft leader refused the proposal");
  }
  out_.forwards.push_back({found->second.request, m.log_term, m.log_index, status});
  asked_proposals_.erase(found);
}

void Core::FailForwards(std::string_view reason) {
  for (const auto& [number, asked] : asked_proposals_) {
    out_.forwards.push_back(
        {asked.request, Term(), Index(),
         Status::Error(kErrOutcomeUnknown, "forwarded raft proposal was not answered")
             .WithDetail(std::string(reason))});
  }
  asked_proposals_.clear();
}

}  // namespace pgquorum::raft
