// The gate through which every page comes into the cache of an instance that is the only member.
//
// A sole member masters all buckets, and its directory would say nothing that its frames do not say
// already (a directory is rebuilt from the frames whenever the membership changes). So a grant
// costs a load and two additions here, and no entry is kept. The gate lives in shared memory, is
// safe for any number of processes, and all its bytes zero is a valid state: stopped.
//
// Order for a miss, which is what makes a later rebuild complete:
//   1. tag a frame with the page, so that a walk over the frames finds it
//   2. Ask(); without a grant, undo 1
//   3. read the page, use it
//   4. before the frame is given away, write it if dirty; untag it, then Returned()
// A frame stands for the mode that was granted from step 1 on.
#pragma once

#include <atomic>
#include <cstdint>

#include "cachefusion/types.h"

namespace pgquorum::fusion {

enum class GateState : uint8_t {
  kStopped = 0,    // nothing is granted: before recovery, while the membership changes, when fenced
  kSole = 1,       // this instance is alone: everything is granted at once
  kConnected = 2,  // there are others: the block service decides (grd/, gcs/)
};

enum class GateAnswer : uint8_t {
  kGranted = 0,
  kStopped = 1,  // wait until the gate opens, or fail the statement
  kAsk = 2,      // put the request to the block service
};

struct GateGrant {
  GateAnswer answer = GateAnswer::kStopped;
  BlockMode mode = BlockMode::kNull;  // may be stronger than asked: a sole member gets Exclusive
  Epoch epoch;                        // keep it in the frame: a grant counts in this epoch
};

struct GateCounters {
  uint64_t shared = 0;     // grants that were asked for in this mode
  uint64_t exclusive = 0;  //
  uint64_t returned = 0;   // pages that left the cache
  uint64_t refused = 0;    // asked while the gate was stopped
  uint64_t passed_on = 0;  // asked while connected

  // Pages in the cache; each came by a grant.
  uint64_t resident() const { return shared + exclusive - returned; }
};

class LocalGate {
 public:
  // Only one process at a time may call these three (the fusion worker). Opening demands that
  // recovery has finished; a later epoch than ever before.
  void OpenSole(Epoch epoch);
  void OpenConnected(Epoch epoch);
  // When it returns, no grant of an earlier epoch will be handed out any more. Frames tagged before
  // are found by a walk that starts afterwards.
  void Stop();

  GateState state() const;
  Epoch epoch() const;

  // `mode` is kShared or kExclusive.
  GateGrant Ask(BlockMode mode);
  // The page of a granted frame has left the cache.
  void Returned();
  // For a view; each counter is exact, the set is not one instant.
  GateCounters Counters() const;

 private:
  // Epoch and state in one word, so that a grant can not mix two of them.
  static constexpr uint64_t Word(Epoch epoch, GateState state) {
    return epoch.value() << 2 | static_cast<uint64_t>(state);
  }
  void Open(Epoch epoch, GateState state);

  std::atomic<uint64_t> word_{0};
  std::atomic<uint64_t> shared_{0};
  std::atomic<uint64_t> exclusive_{0};
  std::atomic<uint64_t> returned_{0};
  std::atomic<uint64_t> refused_{0};
  std::atomic<uint64_t> passed_on_{0};
};

static_assert(std::atomic<uint64_t>::is_always_lock_free);

}  // namespace pgquorum::fusion

#include "base/pure.h"
