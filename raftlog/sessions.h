// Exactly-once commands (raft paper 8, thesis 6.3). A client opens a session and numbers its
// commands from 1; it may repeat a command as often as it likes, through any node, until it is
// answered: the state machine executes each number once and remembers the answer.
//
// The table is part of the replicated state: every node applies the same kSession entries in the
// same order, and it is saved in every snapshot. No clock: sessions expire by log distance, the
// least recently used first.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "base/status.h"
#include "raftlog/types.h"

namespace pgquorum::raft {

// A session is named by the index of the entry that opened it: unique without any coordination.
using SessionId = StrongId<struct SessionIdTag>;

// The data of an EntryType::kSession entry.
struct SessionCommand {
  SessionId session;            // none: opens a session
  uint64_t sequence = 0;        // of the command in its session, from 1
  uint64_t answered_below = 0;  // the client has the answers of all lower numbers: forget them
  std::string command;

  bool operator==(const SessionCommand&) const = default;
};
std::string EncodeSessionCommand(const SessionCommand& command);
Result<SessionCommand> DecodeSessionCommand(std::string_view data);

struct SessionOutcome {
  Status status;          // kErrUnknownSession: expired, the command was not executed (now);
                          // kErrMalformed: undecodable data, or a number whose answer was given up
  SessionId session;      // also for an opening entry
  bool executed = false;  // now; false: a repetition, `answer` is the remembered one
  std::string answer;
};

struct SessionLimits {
  std::size_t max_sessions = 10'000;         // must be equal on all nodes
  std::size_t max_answers_per_session = 64;  // a client must not have more commands under way
};

class SessionTable {
 public:
  explicit SessionTable(const SessionLimits& limits = SessionLimits()) : limits_(limits) {}

  // Applies a committed kSession entry; `execute` runs the command on the state machine and returns
  // its answer. Called once for each entry, in log order.
  SessionOutcome Apply(const Entry& entry,
                       const std::function<std::string(std::string_view command)>& execute);

  std::size_t size() const { return sessions_.size(); }

  // For the snapshot. Decode replaces the whole table; kErrMalformed leaves it as it was.
  std::string Encode() const;
  Status Decode(std::string_view data);

 private:
  struct Session {
    Index last_used;
    uint64_t answered_below = 0;
    std::map<uint64_t, std::string> answers;
  };

  void Touch(SessionId id, Session& session, Index now);
  void ExpireOldest();

  SessionLimits limits_;
  std::map<SessionId, Session> sessions_;
  std::map<Index, SessionId> by_use_;  // each session once, by last_used
};

}  // namespace pgquorum::raft

#include "base/pure.h"
