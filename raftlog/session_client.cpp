#include "raftlog/session_client.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "raftlog/errors.h"

#include "base/pure.h"

namespace pgquorum::raft {
namespace {

// Certainly not executed, and it passes: nobody leads for the moment, or whom the node took for the
// leader is none, not yet, or not any more.
bool Passes(const Status& status) {
  return status.sqlstate() == kErrNoLeader || status.sqlstate() == kErrNotLeader ||
         status.sqlstate() == kErrNotReady || status.sqlstate() == kErrTransferring;
}

bool IsOpen(const Status& status) {
  return status.sqlstate() == kErrOutcomeUnknown;
}

Status GivenUp() {
  return Status::Error(kErrOutcomeUnknown, "the outcome of the command is not known")
      .WithDetail("It was sent on its way, and not answered in time.");
}

}  // namespace

void SessionClient::Submit(std::string command, std::function<bool()> wanted, Done done) {
  waiting_.push_back({std::move(command), std::move(wanted), std::move(done)});
  Number();
}

void SessionClient::Repeat(uint64_t now_ns) {
  if (leaderless_ && leaderless_since_ns_ == 0) {
    leaderless_since_ns_ = now_ns;
  }
  if (leaderless_ && now_ns - leaderless_since_ns_ > patience_ns_) {
    GiveUp(Status::Error(kErrNoLeader, "no raft leader is known"));
  }
  std::erase_if(waiting_, [](Command& command) {
    bool wanted = command.wanted();
    if (!wanted) {
      command.done(Status::Error(kErrNoLeader, "nobody took the command in time"), {});
    }
    return !wanted;
  });
  std::vector<uint64_t> idle;
  for (const auto& [sequence, command] : numbered_) {
    if (!command.under_way) {
      idle.push_back(sequence);
    }
  }
  for (uint64_t sequence : idle) {
    auto found = numbered_.find(sequence);
    if (found == numbered_.end()) {
      continue;  // an answer that came while others were sent
    }
    if (found->second.wanted()) {
      SendOut(sequence);
    } else {
      Finish(sequence, GivenUp(), {});
    }
  }
  Number();
}

// Answers whatever was certainly not executed.
void SessionClient::GiveUp(const Status& status) {
  std::deque<Command> refused;
  refused.swap(waiting_);
  for (auto entry = numbered_.begin(); entry != numbered_.end();) {
    Command& command = entry->second;
    if (command.under_way || command.may_be_executed) {
      ++entry;
    } else {
      refused.push_back(std::move(command));
      entry = numbered_.erase(entry);
    }
  }
  for (Command& command : refused) {
    command.done(status, {});
  }
}

void SessionClient::Note(const Status& status) {
  leaderless_ = status.sqlstate() == kErrNoLeader;
  if (!leaderless_) {
    leaderless_since_ns_ = 0;
  }
}

// Gives numbers to waiting commands, as far as there is a session and room.
void SessionClient::Number() {
  if (!session_ && !waiting_.empty()) {
    Open();
  }
  while (session_ && !waiting_.empty() &&
         (numbered_.empty() || next_ - numbered_.begin()->first < kWindow)) {
    uint64_t sequence = next_++;
    numbered_.emplace(sequence, std::move(waiting_.front()));
    waiting_.pop_front();
    SendOut(sequence);
  }
}

void SessionClient::Open() {
  if (opening_) {
    return;
  }
  opening_ = true;
  send_(SessionCommand(), [this](const Status& status, Index index, const std::string&) {
    opening_ = false;
    Note(status);
    Opened(status, index);
  });
}

// A session that was opened without our knowing expires by itself: Repeat() opens another.
void SessionClient::Opened(const Status& status, Index index) {
  if (status.ok()) {
    session_ = SessionId(index.value());
    next_ = 1;
    Number();
    return;
  }
  if (Passes(status) || IsOpen(status)) {
    return;
  }
  GiveUp(status);
}

void SessionClient::SendOut(uint64_t sequence) {
  Command& command = numbered_.at(sequence);
  command.under_way = true;
  SessionCommand out{session_, sequence, numbered_.begin()->first, command.command};
  send_(out, [this, session = session_, sequence](const Status& status, Index,
                                                  const std::string& result) {
    Note(status);
    if (session == session_) {
      Answered(sequence, status, result);
    }
  });
}

void SessionClient::Answered(uint64_t sequence, const Status& status, const std::string& result) {
  auto found = numbered_.find(sequence);
  if (found == numbered_.end()) {
    return;
  }
  Command& command = found->second;
  command.under_way = false;
  if (status.sqlstate() == kErrUnknownSession) {
    SessionIsGone();
    return;
  }
  command.may_be_executed = command.may_be_executed || IsOpen(status);
  // A refusal of this copy says nothing about an earlier one.
  bool again = Passes(status) || (!status.ok() && command.may_be_executed);
  if (!again) {
    Finish(sequence, status, result);
  } else if (!command.wanted()) {
    Finish(sequence, GivenUp(), {});
  }
}

// The cluster forgot the session, the least recently used of very many. What was never sent with an
// open end starts anew in another one.
void SessionClient::SessionIsGone() {
  session_ = SessionId();
  std::map<uint64_t, Command> lost;
  lost.swap(numbered_);
  std::vector<Done> open;
  for (auto command = lost.rbegin(); command != lost.rend(); ++command) {
    if (command->second.may_be_executed || command->second.under_way) {
      open.push_back(std::move(command->second.done));
    } else {
      waiting_.push_front(std::move(command->second));
    }
  }
  for (const Done& done : open) {
    done(GivenUp(), {});
  }
  Number();
}

void SessionClient::Finish(uint64_t sequence, const Status& status, const std::string& result) {
  auto found = numbered_.find(sequence);
  Done done = std::move(found->second.done);
  numbered_.erase(found);
  done(status, result);
  Number();
}

}  // namespace pgquorum::raft
