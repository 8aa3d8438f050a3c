// The side of the block service that has pages: what this instance holds, what it asked for, and
// what it owes others. One frame a page; the bytes are the runtime's.
//
// Rules, each kept by this class (reasons in cachefusion/README.md):
//   redo before ship     a page leaves only when every own change of it is durable in the redo
//   redo before write    likewise for the disk
//   the owner writes     only a frame with the dirty duty is ever written
//   past images          a dirty page that leaves in Exclusive mode stays behind as a past image
//                        until the disk has that version or a newer one
//   frozen               between a change of membership and its unfreezing nothing is asked for,
//   and
//                        a copy that the disk may lack is not dropped
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "cachefusion/grd/ring.h"
#include "cachefusion/output.h"
#include "cachefusion/types.h"

namespace pgquorum::fusion {

struct HolderCounters {
  uint64_t grants_local = 0;  // the mode was there
  uint64_t requests = 0;
  uint64_t reads = 0;            // granted from disk
  uint64_t received = 0;         // pages from others
  uint64_t upgrades = 0;         // Shared to Exclusive without bytes
  uint64_t shipped_clean = 0;    // no own redo since the page came
  uint64_t shipped_durable = 0;  // own redo, durable already
  uint64_t shipped_after_flush = 0;
  uint64_t past_kept = 0;
  uint64_t past_dropped = 0;
  uint64_t written = 0;
};

struct PastImage {
  Psn psn;
  RedoAddress redo;  // least own redo address that the disk lacks because of this page; 0 none
};

// What the master has asked of this frame and not got yet.
struct Demand {
  MessageType type = MessageType::kShip;  // kShip, kInvalidate, kRecall, kWrite
  BlockMode mode = BlockMode::kNull;      // of kShip
  InstanceId master;
  InstanceId peer;  // of kShip
  uint64_t conversion = 0;
  bool flush_asked = false;
};

struct Waiter {
  uint64_t id = 0;
  BlockMode mode = BlockMode::kNull;
};

struct Frame {
  BlockMode mode = BlockMode::kNull;
  BlockMode wanted = BlockMode::kNull;  // asked of the master; kNull: nothing
  Psn psn;
  bool dirty = false;    // the duty to write this version is here
  bool unsaved = false;  // the disk may lack this version
  bool write_asked = false;
  bool write_requested = false;  // kWriteRequest for the past image is under way
  bool writing = false;
  Psn writing_psn;
  RedoAddress redo;              // first own change that the disk lacks; 0 none
  RedoAddress redo_after_write;  // first own change after the write under way began
  RedoAddress last_redo;         // last own change
  uint32_t pins_shared = 0;
  uint32_t pins_exclusive = 0;
  uint64_t reading = 0;  // id of the read, or replay, under way
  uint64_t conversion = 0;
  InstanceId master;  // of the conversion under way
  std::optional<Demand> demand;
  std::optional<PastImage> past;
  std::deque<Waiter> waiters;

  uint32_t pins() const { return pins_shared + pins_exclusive; }
  // The documented name of a frame that is about to lose or lower its mode.
  bool shown_protected() const { return demand.has_value(); }
};

enum class EvictResult : uint8_t {
  kGone = 0,     // the frame is free (a past image may stay)
  kBusy = 1,     // in use, or asked for: take another
  kWriting = 2,  // dirty: a write was begun, come back
};

class BlockHolder {
 public:
  BlockHolder(Outbox& out, const BucketMap& map) : out_(out), map_(map) {}

  // --- the engine ---
  // Ends in kGranted with `waiter` as its id (perhaps at once), until Withdraw().
  void Acquire(PageId page, BlockMode mode, uint64_t waiter);
  // The waiter is gone. What was asked for still comes, and stays.
  void Withdraw(PageId page, uint64_t waiter);
  // The user that was granted `mode` is done with the page.
  void Release(PageId page, BlockMode mode);
  // A user in Exclusive mode has made version `psn`, described in the own redo at `redo`.
  void Changed(PageId page, Psn psn, RedoAddress redo);
  // Makes room. kGone also when there was nothing.
  EvictResult Evict(PageId page);
  // For the background writer and the checkpoint: the disk shall get this version; a past image
  // asks the page's owner to write.
  void Write(PageId page);
  void RedoDurable(RedoAddress durable);
  void PageRead(PageId page, uint64_t id, Psn psn);
  void PageWritten(PageId page, Psn psn);
  void Replayed(PageId page, uint64_t id, Psn psn, Psn on_disk);
  // Redo below it is not needed for any page that this instance answers for; 0: no own redo is.
  RedoAddress CheckpointAddress() const;

  // --- messages ---
  void OnDemand(const Message& message);  // kShip, kInvalidate, kRecall, kWrite
  void OnPage(const Message& message);
  void OnGrant(const Message& message);
  void OnUpgrade(const Message& message);
  void OnOnDisk(const Message& message);
  void OnAdopt(const Message& message);
  void OnShipPast(const Message& message);

  // --- reconfiguration ---
  void Freeze();
  void Unfreeze();
  // This instance is going to replay the page: nothing is asked for it before LetAsk(). A request
  // that is under way would say that this instance does not have the page, which is no longer so
  // when it is answered.
  void HoldBack(PageId page) { held_back_.insert(page); }
  void LetAsk(PageId page);
  // All frames that are held, and all past images.
  std::vector<FrameReport> Report() const;

  const Frame* Find(PageId page) const;
  const std::unordered_map<PageId, Frame>& frames() const { return frames_; }
  const HolderCounters& counters() const { return counters_; }

 private:
  using Frames = std::unordered_map<PageId, Frame>;

  static bool Blocks(const Frame& frame, BlockMode mode);
  void Ask(PageId page, Frame& frame);
  void Wake(PageId page, Frame& frame);
  // Carries out the demand if nothing is in its way any more.
  void Serve(PageId page, Frame& frame);
  bool RedoIsDurable(Frame& frame);
  void ShipShared(PageId page, Frame& frame);
  void ShipExclusive(PageId page, Frame& frame);
  void GiveUp(PageId page, Frame& frame);
  void Recall(PageId page, Frame& frame);
  void TryWrite(PageId page, Frame& frame);
  void LeaveNull(PageId page, Frame& frame, bool keep_past);
  void DropPast(PageId page, Frame& frame);
  void Answer(MessageType type, PageId page, const Demand& demand, const Frame& frame);
  void AnswerNoPage(const Message& demand);
  void Installed(PageId page, Frame& frame, const Message& about);
  void CountShip(const Frame& frame);
  void EraseIfEmpty(PageId page);

  Outbox& out_;
  const BucketMap& map_;
  Frames frames_;
  RedoAddress durable_;
  bool frozen_ = true;
  std::unordered_set<PageId> held_back_;
  uint64_t next_read_ = 1;
  HolderCounters counters_;
};

}  // namespace pgquorum::fusion

#include "base/pure.h"
