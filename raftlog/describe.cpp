#include "raftlog/describe.h"

#include "base/pure.h"

namespace pgquorum::raft {
namespace {

template <typename Id>
std::string Text(Id id) {
  return std::to_string(id.value());
}

std::string Position(Index index, Term term) {
  return Text(index) + "/" + Text(term);
}

}  // namespace

const char* Name(MessageKind kind) {
  switch (kind) {
    case MessageKind::kPreVote:
      return "pre-vote";
    case MessageKind::kPreVoteReply:
      return "pre-vote-reply";
    case MessageKind::kVote:
      return "vote";
    case MessageKind::kVoteReply:
      return "vote-reply";
    case MessageKind::kAppend:
      return "append";
    case MessageKind::kAppendReply:
      return "append-reply";
    case MessageKind::kHeartbeat:
      return "heartbeat";
    case MessageKind::kHeartbeatReply:
      return "heartbeat-reply";
    case MessageKind::kSnapshotChunk:
      return "snapshot-chunk";
    case MessageKind::kSnapshotReply:
      return "snapshot-reply";
    case MessageKind::kTimeoutNow:
      return "timeout-now";
    case MessageKind::kReadIndex:
      return "read-index";
    case MessageKind::kReadIndexReply:
      return "read-index-reply";
    case MessageKind::kPropose:
      return "propose";
    case MessageKind::kProposeReply:
      return "propose-reply";
  }
  return "?";
}

const char* Name(Role role) {
  switch (role) {
    case Role::kFollower:
      return "follower";
    case Role::kPreCandidate:
      return "pre-candidate";
    case Role::kCandidate:
      return "candidate";
    case Role::kLeader:
      return "leader";
  }
  return "?";
}

const char* Name(EntryType type) {
  switch (type) {
    case EntryType::kNoOp:
      return "noop";
    case EntryType::kCommand:
      return "command";
    case EntryType::kConfig:
      return "config";
    case EntryType::kSession:
      return "session";
  }
  return "?";
}

std::string Describe(const Entry& entry) {
  std::string text = Position(entry.index, entry.term);
  if (entry.type != EntryType::kCommand) {
    text += std::string(":") + Name(entry.type);
  }
  return text;
}

std::string Describe(const SnapshotMeta& meta) {
  return Position(meta.index, meta.term) + " size=" + std::to_string(meta.size);
}

std::string Describe(const Message& m) {
  std::string text =
      std::string(Name(m.kind)) + " " + Text(m.from) + "->" + Text(m.to) + " term=" + Text(m.term);
  if (m.log_index || m.log_term) {
    text +=
        (m.kind == MessageKind::kAppend ? " prev=" : " log=") + Position(m.log_index, m.log_term);
  }
  if (m.commit) {
    text += " commit=" + Text(m.commit);
  }
  if (m.reject) {
    text += " reject";
  }
  if (m.hint_index || m.hint_term) {
    text += " hint=" + Position(m.hint_index, m.hint_term);
  }
  if (m.force) {
    text += " force";
  }
  if (m.context != 0 && m.kind != MessageKind::kReadIndex &&
      m.kind != MessageKind::kReadIndexReply && m.kind != MessageKind::kPropose &&
      m.kind != MessageKind::kProposeReply) {
    text += " round=" + std::to_string(m.context);
  }
  if (m.snapshot.index) {
    text += " snapshot=" + Describe(m.snapshot);
  }
  if (m.kind == MessageKind::kSnapshotChunk || m.kind == MessageKind::kSnapshotReply) {
    text += " offset=" + std::to_string(m.offset);
  }
  if (!m.entries.empty()) {
    text += " entries=[";
    for (std::size_t i = 0; i < m.entries.size(); ++i) {
      text += (i > 0 ? " " : "") + Describe(m.entries[i]);
    }
    text += "]";
  }
  if (!m.error.empty()) {
    text += " error=" + m.error;
  }
  return text;
}

}  // namespace pgquorum::raft
