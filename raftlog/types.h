// The vocabulary of Raft in this library: identities, log entries, configurations and messages.
// Plain values without behaviour of their own; raftlog/codec.h turns them into bytes and back.
//
// Sources: "raft paper" = Ongaro, Ousterhout, In Search of an Understandable Consensus Algorithm
// (extended version); "thesis" = Ongaro, Consensus: Bridging Theory and Practice (2014).
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "base/strong_id.h"

namespace pgquorum::raft {

// A member. Never zero (zero means "none") and never reused: a node that has lost its state comes
// back under a new id, else it could vote twice in one term.
using NodeId = StrongId<struct NodeIdTag>;
// A term of leadership; 0 before the first election.
using Term = StrongId<struct TermTag>;
// A position in the log; the first entry has 1, 0 is "before the log".
using Index = StrongId<struct IndexTag>;

// Values are part of the wire and disk format: never renumber.
enum class EntryType : uint8_t {
  kNoOp = 0,     // a new leader's first entry (raft paper 8); empty
  kCommand = 1,  // opaque to Raft, given to the state machine
  kConfig = 2,   // EncodeConfigEntry: the whole configuration that holds from this entry on
  kSession = 3,  // a command wrapped by raftlog/sessions.h: applied exactly once
};

struct Entry {
  Term term;
  Index index;
  EntryType type = EntryType::kNoOp;
  std::string data;

  bool operator==(const Entry&) const = default;
};

// What an entry counts in every byte limit: its data plus a fixed overhead, so that empty entries
// are not free.
inline constexpr uint64_t kEntryOverheadBytes = 32;
inline uint64_t SizeOf(const Entry& entry) {
  return entry.data.size() + kEntryOverheadBytes;
}

// What a node must not forget (raft paper figure 2, "persistent state"). `commit` is only a hint:
// it need not be synced, a restarted node learns it again.
struct HardState {
  Term term;
  NodeId vote;  // none: no vote in `term`
  Index commit;

  bool operator==(const HardState&) const = default;
};

// The members. Each set is sorted and free of duplicates. The configuration is joint (thesis 4.3)
// when `outgoing` is not empty: then every decision needs a majority of `voters` and of `outgoing`.
struct Configuration {
  std::vector<NodeId> voters;    // the (incoming) voters
  std::vector<NodeId> outgoing;  // the voters being left behind; empty unless joint
  std::vector<NodeId> learners;  // get the log, do not count
  std::vector<NodeId>
      learners_next;              // outgoing voters that become learners on leaving the joint one
  std::vector<NodeId> witnesses;  // members that vote and keep the log but hold no user data:
                                  // they lead only while no other node can
  bool auto_leave = false;        // joint only: the leader leaves it by itself once committed

  bool operator==(const Configuration&) const = default;

  bool joint() const { return !outgoing.empty(); }
  static bool Contains(const std::vector<NodeId>& set, NodeId id) {
    return std::binary_search(set.begin(), set.end(), id);
  }
  bool IsVoter(NodeId id) const { return Contains(voters, id) || Contains(outgoing, id); }
  bool IsLearner(NodeId id) const { return Contains(learners, id); }
  bool IsWitness(NodeId id) const { return Contains(witnesses, id); }
  bool IsMember(NodeId id) const { return IsVoter(id) || IsLearner(id); }
  // Every member once, sorted.
  std::vector<NodeId> Members() const {
    std::vector<NodeId> all = voters;
    all.insert(all.end(), outgoing.begin(), outgoing.end());
    all.insert(all.end(), learners.begin(), learners.end());
    std::sort(all.begin(), all.end());
    all.erase(std::unique(all.begin(), all.end()), all.end());
    return all;
  }
};

// Identity of a snapshot: it replaces the log up to and including `index`. `size` and `checksum`
// (CRC32C) are those of its data; a transfer is resumed only between byte-identical snapshots.
struct SnapshotMeta {
  Index index;
  Term term;                    // of the entry at `index`
  Configuration configuration;  // that held at `index`
  uint64_t size = 0;
  uint32_t checksum = 0;

  bool operator==(const SnapshotMeta&) const = default;
};

// Values are part of the wire format: never renumber.
enum class MessageKind : uint8_t {
  kPreVote = 1,         // would you vote for me in `term` (= mine + 1)? log_index, log_term
  kPreVoteReply = 2,    // reject; `term` is the asked one if granted, else the voter's
  kVote = 3,            // raft paper 5.2; force: by leadership transfer, ignores the leader's lease
  kVoteReply = 4,       // reject
  kAppend = 5,          // log_index/log_term precede `entries`; commit
  kAppendReply = 6,     // log_index: matched up to here; reject: log_index is the refused one,
                        // hint_index/hint_term: where to look next
  kHeartbeat = 7,       // commit (never above what the follower has), context: read round
  kHeartbeatReply = 8,  // context echoed
  kSnapshotChunk = 9,   // snapshot, offset, chunk
  kSnapshotReply = 10,  // snapshot.index, offset: next wanted; reject: start again
  kTimeoutNow = 11,     // leadership transfer (thesis 3.10): campaign at once
  kReadIndex = 12,      // a follower asks for a read index; context: its request
  kReadIndexReply = 13,  // context echoed, log_index: the read index; reject: ask again
  kPropose = 14,         // a forwarded proposal: entries[0].type and .data; context: its request
  kProposeReply = 15,    // context echoed, log_term/log_index: where it was appended; reject
};
inline constexpr uint8_t kMessageKindLast = 15;

// One message between two members. Only the fields named beside its kind are meaningful; all others
// keep their defaults and cost nothing on the wire.
struct Message {
  MessageKind kind = MessageKind::kHeartbeat;
  NodeId from;
  NodeId to;
  Term term;
  Index log_index;
  Term log_term;
  Index commit;
  Index hint_index;
  Term hint_term;
  uint64_t context = 0;
  uint32_t priority = 0;  // of the sender, in replies to the leader
  bool reject = false;
  bool force = false;
  std::vector<Entry> entries;
  SnapshotMeta snapshot;
  uint64_t offset = 0;
  std::string chunk;
  std::string error;  // kProposeReply: SQLSTATE of the refusal (5 characters)

  bool operator==(const Message&) const = default;
};

}  // namespace pgquorum::raft

#include "base/pure.h"
