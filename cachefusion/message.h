// What instances say to each other. Meanings and order: cachefusion/README.md; bytes: wire/codec.h.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "cachefusion/types.h"

namespace pgquorum::fusion {

// Values are never renumbered.
enum class MessageType : uint8_t {
  // Blocks. R is who asks, M the master of the page's bucket, H a holder.
  kRequest = 1,        // R to M: page in `mode`, I have `have`
  kShip = 2,           // M to H: send the page in `mode` to `peer`
  kPage = 3,           // H to R: here it is, with `data`
  kNoPage = 4,         // H to M: I do not have it (any more)
  kInvalidate = 5,     // M to H: give the page up
  kInvalidated = 6,    // H to M
  kGrant = 7,          // M to R: nobody has it, read it from disk
  kUpgrade = 8,        // M to R: your copy is the only one now, it is Exclusive
  kDone = 9,           // R to M: I have it
  kWriteRequest = 10,  // anyone to M: see to it that the disk has at least version `psn`
  kWrite = 11,         // M to owner
  kWrote = 12,         // owner to M: version `psn` is on disk; `conversion` 0: on its own account
  kOnDisk = 13,        // M to holders of past images, and to who asked
  kRecall = 14,        // M to H: the directory is full, write and give the page up
  kRecalled = 15,      // H to M
  // Locks. C is the instance of the lock's owner.
  kLock = 20,         // C to M: lock or convert
  kLockGranted = 21,  // M to C
  kLockCancel = 22,   // C to M
  kLockEnded = 23,    // M to C: the wait is over without a grant
  kUnlock = 24,       // C to M: convert down, or release
  kUnlocked = 25,     // M to C
  kEdgesAsk = 26,     // detector to all: who waits for whom? `conversion` is the round
  kEdges = 27,        // answer; `locks`: holds and waits that end, or ended since the last answer
  kVictim = 28,       // detector to C: end wait `lock.wait`
  // Reconfiguration. K is the coordinator, the lowest member.
  kReport = 30,          // member to each new master: what I hold
  kMarks = 31,           // K to each master: pages that dead redo has changed
  kAdopt = 32,           // M to H: you are the owner now
  kAdopted = 33,         // H to M
  kReady = 34,           // M to K: my part of the directory is rebuilt
  kUnfreeze = 35,        // K to all
  kRecover = 36,         // K to M: give me the page to replay redo on it
  kRecoverSkipped = 37,  // M to K: somebody has the current version
  kShipPast = 38,        // M to H: send your past image to `peer`
  // Remastering.
  kHandOver = 40,  // old master to new: everything about a bucket
  kMoved = 41,     // anyone to anyone: the bucket has another master
};

// Of what a lock is: the space says the kind (transaction, row, table, …), the key which one.
struct ResourceId {
  uint64_t space = 0;
  uint64_t key = 0;

  constexpr auto operator<=>(const ResourceId&) const = default;
};

// Who locks: a transaction or session. The top 8 bits are its instance, the others grow with age.
using LockOwner = StrongId<struct LockOwnerTag>;
constexpr LockOwner MakeOwner(InstanceId instance, uint64_t number) {
  return LockOwner(uint64_t{instance.value()} << 56 | (number & ((uint64_t{1} << 56) - 1)));
}
constexpr InstanceId InstanceOf(LockOwner owner) {
  return InstanceId(static_cast<uint8_t>(owner.value() >> 56));
}
constexpr uint64_t AgeOf(LockOwner owner) {
  return owner.value() & ((uint64_t{1} << 56) - 1);
}

// One request's stay in the lock service; never used twice.
using WaitId = StrongId<struct WaitTag>;

// The six modes of the VMS lock manager and its descendants.
enum class LockMode : uint8_t { kNl = 0, kCr = 1, kCw = 2, kPr = 3, kPw = 4, kEx = 5 };

// 64 bytes that travel with a lock. Who holds PW or EX may change them when it gives the mode up.
struct LockValue {
  static constexpr std::size_t kSize = 64;
  std::array<char, kSize> bytes{};
  uint64_t version = 0;  // 0: never written
  bool valid = false;    // false: a holder that may have changed it has died; write it afresh

  bool operator==(const LockValue&) const = default;
};

struct LockPart {
  ResourceId resource;
  LockOwner owner;
  WaitId wait;
  LockMode mode = LockMode::kNl;
  bool release = false;     // kUnlock: nothing is kept, not even NL
  bool no_wait = false;     // kLock: an answer at once
  bool with_value = false;  // kUnlock: `value` was changed
  LockValue value;

  bool operator==(const LockPart&) const = default;
};

struct FrameReport {
  PageId page;
  BlockMode mode = BlockMode::kNull;
  Psn psn;
  bool dirty = false;    // this frame has the duty to write
  bool unsaved = false;  // the disk may lack this version
  Psn past;              // 0: no past image

  bool operator==(const FrameReport&) const = default;
};

// What a client holds (`kind` kHeld), has given up without an answer yet (kReleased), or what a
// master remembers of a value block (kValue).
struct LockReport {
  enum Kind : uint8_t { kHeld = 0, kReleased = 1, kValue = 2 };
  Kind kind = kHeld;
  ResourceId resource;
  LockOwner owner;
  LockMode mode = LockMode::kNl;
  LockValue value;

  bool operator==(const LockReport&) const = default;
};

// A page that a dead redo thread has changed, up to version `psn`.
struct PageMark {
  PageId page;
  Psn psn;

  bool operator==(const PageMark&) const = default;
};

// `waiter`, in wait `wait` for `resource`, can not go on before `holder` does.
struct WaitEdge {
  LockOwner waiter;
  WaitId wait;
  LockOwner holder;
  ResourceId resource;

  constexpr auto operator<=>(const WaitEdge&) const = default;
};

struct PastHolder {
  InstanceId instance;
  Psn psn;

  bool operator==(const PastHolder&) const = default;
};

// A waiting request, in a directory entry that moves.
struct QueuedRequest {
  MessageType type = MessageType::kRequest;  // kRequest, kWriteRequest, kRecover, kRecall
  InstanceId from;
  BlockMode mode = BlockMode::kNull;
  BlockMode have = BlockMode::kNull;
  Psn psn;

  bool operator==(const QueuedRequest&) const = default;
};

struct EntryState {
  PageId page;
  InstanceId owner;
  InstanceSet sharers;
  bool recovering = false;
  std::vector<PastHolder> pasts;
  std::vector<QueuedRequest> queue;

  bool operator==(const EntryState&) const = default;
};

struct LockHolder {
  LockOwner owner;
  LockMode mode = LockMode::kNl;

  bool operator==(const LockHolder&) const = default;
};

struct LockWaiter {
  LockOwner owner;
  LockMode mode = LockMode::kNl;
  WaitId wait;

  bool operator==(const LockWaiter&) const = default;
};

struct ResourceState {
  ResourceId resource;
  std::vector<LockHolder> granted;
  std::vector<LockWaiter> converting;
  std::vector<LockWaiter> waiting;
  LockValue value;

  bool operator==(const ResourceState&) const = default;
};

// One struct for all types; fields that a type does not name are zero.
struct Message {
  MessageType type = MessageType::kRequest;
  InstanceId from;  // who said it first; a message that a former master passes on keeps it
  InstanceId to;
  Epoch epoch;

  PageId page;
  BlockMode mode = BlockMode::kNull;
  BlockMode have = BlockMode::kNull;
  Psn psn;
  InstanceId peer;
  uint64_t conversion = 0;  // number of the conversion (of the round, of the bucket's map entry)
  bool dirty = false;       // the duty to write goes (went) along
  bool unsaved = false;
  bool past = false;     // the sender keeps (kept) a past image
  bool recover = false;  // the page is for replay
  bool last = false;     // no more messages of this kind in this epoch
  bool deaths = false;   // kReport: since this member was last unfrozen, a member died
  uint16_t bucket = 0;

  LockPart lock;
  std::string data;
  std::vector<FrameReport> frames;
  std::vector<LockReport> locks;
  std::vector<PageMark> marks;
  std::vector<WaitEdge> edges;
  std::vector<EntryState> entries;
  std::vector<ResourceState> resources;

  bool operator==(const Message&) const = default;
};

}  // namespace pgquorum::fusion

template <>
struct std::hash<pgquorum::fusion::ResourceId> {
  std::size_t operator()(const pgquorum::fusion::ResourceId& resource) const noexcept {
    uint64_t z = resource.space * 0x9E3779B97F4A7C15ULL + resource.key;
    z = (z ^ (z >> 32)) * 0xD6E8FEB86659FD93ULL;
    return static_cast<std::size_t>(z ^ (z >> 32));
  }
};

#include "base/pure.h"
