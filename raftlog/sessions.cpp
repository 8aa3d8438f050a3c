#include "raftlog/sessions.h"

#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "raftlog/bug.h"
#include "raftlog/codec.h"
#include "raftlog/errors.h"

#include "base/pure.h"

namespace pgquorum::raft {
namespace {

constexpr uint8_t kVersion = 1;
constexpr std::size_t kMaxStoredSessions = 1'000'000;
constexpr std::size_t kMaxStoredAnswers = 100'000;

Status Malformed(const char* what) {
  return Status::Error(kErrMalformed, "malformed raft session data").WithDetail(what);
}

}  // namespace

std::string EncodeSessionCommand(const SessionCommand& command) {
  ByteWriter out;
  out.U8(kVersion);
  out.U64(command.session.value());
  out.U64(command.sequence);
  out.U64(command.answered_below);
  out.Bytes(command.command);
  return std::move(out).Take();
}

Result<SessionCommand> DecodeSessionCommand(std::string_view data) {
  ByteReader in(data);
  SessionCommand command;
  uint8_t version = in.U8();
  command.session = SessionId(in.U64());
  command.sequence = in.U64();
  command.answered_below = in.U64();
  command.command = in.Bytes(kMaxEntryDataBytes);
  if (version != kVersion || !in.Finished() || (command.session && command.sequence == 0)) {
    return Malformed("session command");
  }
  return command;
}

SessionOutcome SessionTable::Apply(const Entry& entry,
                                   const std::function<std::string(std::string_view)>& execute) {
  SessionOutcome outcome;
  Result<SessionCommand> decoded = DecodeSessionCommand(entry.data);
  if (!decoded.ok()) {
    outcome.status = decoded.status();
    return outcome;
  }
  const SessionCommand& command = decoded.value();
  if (!command.session) {
    outcome.session = SessionId(entry.index.value());
    outcome.executed = true;
    Touch(outcome.session, sessions_[outcome.session], entry.index);
    if (sessions_.size() > limits_.max_sessions) {
      ExpireOldest();
    }
    return outcome;
  }
  outcome.session = command.session;
  auto found = sessions_.find(command.session);
  if (found == sessions_.end()) {
    // Executing it could be the second time.
    outcome.status = Status::Error(kErrUnknownSession, "raft session does not exist any more");
    return outcome;
  }
  Session& session = found->second;
  Touch(command.session, session, entry.index);
  if (command.answered_below > session.answered_below) {
    session.answered_below = command.answered_below;
    session.answers.erase(session.answers.begin(),
                          session.answers.lower_bound(command.answered_below));
  }
  auto known = session.answers.find(command.sequence);
  if (known != session.answers.end() && !PGQUORUM_RAFT_BUG(kSessionRunsTwice)) {
    outcome.answer = known->second;
    return outcome;
  }
  if (command.sequence < session.answered_below && !PGQUORUM_RAFT_BUG(kSessionRunsTwice)) {
    outcome.status = Malformed("a repetition of a command that was answered");
    return outcome;
  }
  outcome.executed = true;
  outcome.answer = execute(command.command);
  session.answers[command.sequence] = outcome.answer;
  while (session.answers.size() > limits_.max_answers_per_session) {
    session.answered_below = session.answers.begin()->first + 1;
    session.answers.erase(session.answers.begin());
  }
  return outcome;
}

void SessionTable::Touch(SessionId id, Session& session, Index now) {
  if (session.last_used) {
    by_use_.erase(session.last_used);
  }
  session.last_used = now;
  by_use_[now] = id;
}

void SessionTable::ExpireOldest() {
  auto oldest = by_use_.begin();
  PGQUORUM_CHECK(oldest != by_use_.end());
  sessions_.erase(oldest->second);
  by_use_.erase(oldest);
}

std::string SessionTable::Encode() const {
  ByteWriter out;
  out.U8(kVersion);
  out.U32(static_cast<uint32_t>(sessions_.size()));
  for (const auto& [id, session] : sessions_) {
    out.U64(id.value());
    out.U64(session.last_used.value());
    out.U64(session.answered_below);
    out.U32(static_cast<uint32_t>(session.answers.size()));
    for (const auto& [sequence, answer] : session.answers) {
      out.U64(sequence);
      out.Bytes(answer);
    }
  }
  return std::move(out).Take();
}

Status SessionTable::Decode(std::string_view data) {
  ByteReader in(data);
  uint8_t version = in.U8();
  std::size_t count = in.Count(kMaxStoredSessions, 28);
  std::map<SessionId, Session> sessions;
  std::map<Index, SessionId> by_use;
  for (std::size_t i = 0; i < count && in.ok(); ++i) {
    SessionId id(in.U64());
    Session session;
    session.last_used = Index(in.U64());
    session.answered_below = in.U64();
    std::size_t answers = in.Count(kMaxStoredAnswers, 12);
    for (std::size_t j = 0; j < answers && in.ok(); ++j) {
      uint64_t sequence = in.U64();
      session.answers[sequence] = in.Bytes(kMaxEntryDataBytes);
    }
    // Uses are indexes of entries: no two sessions share one.
    if (!session.last_used || !by_use.emplace(session.last_used, id).second ||
        !sessions.emplace(id, std::move(session)).second) {
      in.Fail();
    }
  }
  if (version != kVersion || !in.Finished()) {
    return Malformed("session table");
  }
  sessions_ = std::move(sessions);
  by_use_ = std::move(by_use);
  return Status::Ok();
}

}  // namespace pgquorum::raft
