// The client's half of exactly-once commands (sessions.h): opens a session, numbers the commands
// and sends each again until it is answered, so that a leader's death between a command and its
// answer leaves no outcome open.
//
// One thread: whoever sends brings the answer back to it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>

#include "base/status.h"
#include "raftlog/sessions.h"

namespace pgquorum::raft {

class SessionClient {
 public:
  // As Host::ProposeSession's: of an opening, `index` names the session.
  using Answer = std::function<void(const Status&, Index index, const std::string& result)>;
  using Send = std::function<void(const SessionCommand&, Answer)>;
  // `patience_ns`: how long nobody may lead before commands are given up; an election or two.
  SessionClient(uint64_t patience_ns, Send send)
      : patience_ns_(patience_ns), send_(std::move(send)) {}

  // `done`, once: ok with the command's result; kErrOutcomeUnknown when nobody wanted to wait any
  // longer for a command that may be executed; any other error means that it was not executed and
  // will not be. What passes by itself (an election, an answer that was lost) is waited out as long
  // as the command is `wanted`.
  using Done = std::function<void(const Status&, const std::string& result)>;
  void Submit(std::string command, std::function<bool()> wanted, Done done);

  // Sends again what was not answered. To be called every few tens of milliseconds.
  void Repeat(uint64_t now_ns);

  std::size_t size() const { return numbered_.size() + waiting_.size(); }

  // How far numbers run ahead of the oldest unanswered one: a session keeps so many answers, and
  // refuses a number below them as answered long ago.
  static constexpr uint64_t kWindow = 32;

 private:
  struct Command {
    std::string command;
    std::function<bool()> wanted;
    Done done;
    bool under_way = false;
    bool may_be_executed = false;
  };

  void GiveUp(const Status& status);
  void Note(const Status& status);
  void Open();
  void Opened(const Status& status, Index index);
  void Number();
  void SendOut(uint64_t sequence);
  void Answered(uint64_t sequence, const Status& status, const std::string& result);
  void SessionIsGone();
  void Finish(uint64_t sequence, const Status& status, const std::string& result);

  uint64_t patience_ns_;
  Send send_;
  bool leaderless_ = false;           // the last answer said so
  uint64_t leaderless_since_ns_ = 0;  // when Repeat() saw it first
  SessionId session_;
  bool opening_ = false;
  uint64_t next_ = 1;
  std::map<uint64_t, Command> numbered_;  // in session_
  std::deque<Command> waiting_;           // not sent yet
};

}  // namespace pgquorum::raft

#include "base/pure.h"
