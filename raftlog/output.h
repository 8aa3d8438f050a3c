// What the core asks its runtime to do. The order of work and its reasons: raftlog/README.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "raftlog/types.h"

namespace pgquorum::raft {

// One unit of durable work. Batches are carried out strictly in the order they were handed out; the
// runtime may put any number of them under one fdatasync. Inside a batch: hard_state, then
// install_snapshot, then entries (so that no entry is ever found of a term that the node does not
// remember).
struct Persist {
  // The mark to give back to Core::Persisted(): position in the order of batches, and the leader
  // term and last index of the log it leaves behind. An acknowledgement counts for exactly this
  // batch, never for another that happens to end at the same index (ABA; cockroach #124440).
  uint64_t sequence = 0;
  Term term;
  Index index;

  // Replaces the whole log: make the received snapshot the node's snapshot, and the log start after
  // it, atomically (raftlog/storage). The batch's entries, if any, follow it.
  std::optional<SnapshotMeta> install_snapshot;
  // Contiguous. The first one's index truncates: whatever the log holds from there on is replaced.
  std::vector<Entry> entries;
  std::optional<HardState> hard_state;

  // To be sent only when this batch, and so every earlier one, is durable: votes and append replies
  // (raft paper 5: "updated on stable storage before responding").
  std::vector<Message> messages_after;

  // False: nothing here needs the disk, the batch only keeps messages_after in order. Without an
  // earlier batch under way it is done at once.
  bool needs_sync() const {
    return install_snapshot.has_value() || !entries.empty() || hard_state.has_value();
  }
};

// A piece of a stored snapshot to read and send. The runtime fills message.chunk with at most
// `max_bytes` of the data of message.snapshot at message.offset (fewer only at the end) and sends
// it; when that snapshot is gone or unreadable it calls Core::SnapshotUnavailable(message.to).
struct SnapshotSend {
  Message message;
  uint64_t max_bytes = 0;
};

// A received piece to write at `offset` of the partial file of `meta` (offset 0: start it anew),
// then Core::SnapshotWritten(). On the last piece (offset + data.size() == meta.size) the runtime
// also verifies size and checksum and syncs the file before it reports.
struct SnapshotWrite {
  SnapshotMeta meta;
  uint64_t offset = 0;
  std::string data;
};

// The answer to Core::ReadIndex. ok: once the state machine has applied `index`, a read of it is
// linearizable. Error: unknown leader or leadership lost; ask again.
struct ReadResult {
  uint64_t request = 0;
  Index index;
  Status status;
};

// The answer to Core::Forward. ok: appended by the leader at this position (not yet committed: it
// is when an entry with this index and this term is applied; with another term it is lost).
struct ForwardResult {
  uint64_t request = 0;
  Term term;
  Index index;
  Status status;
};

enum class Role : uint8_t { kFollower = 0, kPreCandidate = 1, kCandidate = 2, kLeader = 3 };

// Reported when any of it changes.
struct Leadership {
  Role role = Role::kFollower;
  Term term;
  NodeId leader;  // none: unknown

  bool operator==(const Leadership&) const = default;
};

struct Output {
  // May be sent at once, in parallel with the disk. For one receiver keep their order where that is
  // free; correctness does not depend on it.
  std::vector<Message> messages;
  std::vector<SnapshotSend> snapshot_sends;
  std::optional<Persist> persist;
  std::vector<SnapshotWrite> snapshot_writes;
  // The state machine is to be replaced by this installed snapshot, before `committed`.
  std::optional<SnapshotMeta> restore;
  // To apply, in order; each index exactly once in the life of a Core (after `restore`). Config and
  // no-op entries are among them. Then Core::Applied().
  std::vector<Entry> committed;
  std::vector<ReadResult> reads;
  std::vector<ForwardResult> forwards;
  std::optional<Leadership> leadership;

  bool empty() const {
    return messages.empty() && snapshot_sends.empty() && !persist && snapshot_writes.empty() &&
           !restore && committed.empty() && reads.empty() && forwards.empty() && !leadership;
  }
};

}  // namespace pgquorum::raft

#include "base/pure.h"
