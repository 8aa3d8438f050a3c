// A follower's side of replication: raft paper 5.3 and figure 2, "AppendEntries receiver".
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "raftlog/bug.h"
#include "raftlog/codec.h"
#include "raftlog/core.h"
#include "raftlog/errors.h"

#include "base/pure.h"

namespace pgquorum::raft {

// False when the message must not be acted upon.
bool Core::FollowLeader(const Message& m) {
  if (role_ == Role::kLeader || (leader_ && leader_ != m.from)) {
    // Somebody voted twice, most likely after losing its state. Going on would fork the log; the
    // node that notices leaves the game instead (the lesson of NuRaft #531).
    SetFatal(Status::Error(kErrBroken, "two raft leaders in one term")
                 .WithDetail("term " + std::to_string(term_.value()) + ", nodes " +
                             std::to_string(leader_.value()) + " and " +
                             std::to_string(m.from.value())));
    return false;
  }
  if (role_ != Role::kFollower || leader_ != m.from) {
    BecomeFollower(term_, m.from);
  }
  ResetElectionTimer();
  lease_elapsed_ = 0;
  campaign_in_.reset();
  evidence_ticks_ = 0;
  return true;
}

void Core::HandleAppend(Message& m) {
  if (!FollowLeader(m)) {
    return;
  }
  Message reply = MessageTo(m.from, MessageKind::kAppendReply);
  reply.priority = options_.priority;
  if (m.log_index < log_.commit()) {
    reply.log_index = log_.commit();  // an old message: everything up to here is agreed upon
    SendAfterPersist(std::move(reply));
    return;
  }
  if (PGQUORUM_RAFT_BUG(kAppendCommitsUnmatched)) {
    log_.CommitTo(m.commit);
  }
  if (!log_.Matches(m.log_index, m.log_term)) {
    RejectAppend(m);
    return;
  }
  Index matched = m.log_index + m.entries.size();
  bool cut = PGQUORUM_RAFT_BUG(kTruncateOnStaleAppend);
  for (Entry& entry : m.entries) {
    if (entry.index <= log_.last() && !cut) {
      if (log_.TermAt(entry.index) == entry.term) {
        continue;
      }
    }
    if (entry.index <= log_.last()) {
      // Only a real conflict cuts the tail: an old, reordered append that is a prefix of what we
      // have must not (raft paper figure 2, step 3).
      metrics_.entries_truncated += log_.last() - entry.index + 1;
      ClipOutstanding(entry.index - 1);
      log_.TruncateFrom(entry.index);
      ConfigurationsTruncated(entry.index);
      cut = false;
    }
    AppendEntry(std::move(entry));
    if (!fatal_.ok()) {
      return;
    }
  }
  log_.CommitTo(std::min(m.commit, matched));
  reply.log_index = matched;
  SendAfterPersist(std::move(reply));
}

// Names the last place where the logs can agree given what the leader has at log_index: one round
// skips a whole term (raft paper 5.3, end).
void Core::RejectAppend(const Message& m) {
  ++metrics_.appends_rejected;
  Message reply = MessageTo(m.from, MessageKind::kAppendReply);
  reply.priority = options_.priority;
  reply.reject = true;
  reply.log_index = m.log_index;
  reply.hint_index = log_.LastIndexWithTermAtMost(m.log_index, m.log_term);
  reply.hint_index = std::max(reply.hint_index, log_.commit());
  reply.hint_term = log_.TermAt(reply.hint_index);
  reply.force = refilling();  // what was acknowledged before is lost: the leader must look lower
  Send(std::move(reply));
}

void Core::HandleHeartbeat(const Message& m) {
  if (!FollowLeader(m)) {
    return;
  }
  // The leader names at most what this node acknowledged; a log that is shorter nevertheless (lost
  // to the disk) is refilled, not a reason to stop (etcd #10166). Until then it is not known to
  // match.
  if (!refilling() || PGQUORUM_RAFT_BUG(kRefillTrustsCommit)) {
    log_.CommitTo(m.commit);
  }
  if (refilling()) {
    AskForRefill(m.from);
  }
  Message reply = MessageTo(m.from, MessageKind::kHeartbeatReply);
  reply.context = m.context;
  reply.priority = options_.priority;
  Send(std::move(reply));
}

// A leader that has nothing new to send would not notice what was lost: it is told with each
// heartbeat. `log_index` 0 makes it a remark, not the answer to an append.
void Core::AskForRefill(NodeId leader) {
  Message reply = MessageTo(leader, MessageKind::kAppendReply);
  reply.priority = options_.priority;
  reply.reject = true;
  reply.force = true;
  reply.hint_index = log_.last();
  reply.hint_term = log_.last_term();
  Send(std::move(reply));
}

// An entry at the end of the log, from a leader or its own; keeps the configuration in step.
void Core::AppendEntry(Entry entry) {
  if (entry.type == EntryType::kConfig) {
    Result<ConfigEntry> decoded = DecodeConfigEntry(entry.data);
    if (!decoded.ok()) {
      SetFatal(Status::Error(kErrBroken, "unreadable configuration entry in the raft log")
                   .WithDetail("index " + std::to_string(entry.index.value())));
      return;
    }
    Index index = entry.index;
    log_.Append(std::move(entry));
    ConfigurationAppended(index, std::move(decoded).value().configuration);
    return;
  }
  log_.Append(std::move(entry));
}

}  // namespace pgquorum::raft
