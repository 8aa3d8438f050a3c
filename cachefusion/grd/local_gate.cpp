#include "cachefusion/grd/local_gate.h"

#include "base/check.h"

#include "base/pure.h"

namespace pgquorum::fusion {

void LocalGate::Open(Epoch epoch, GateState state) {
  PGQUORUM_CHECK(epoch > this->epoch());
  word_.store(Word(epoch, state), std::memory_order_seq_cst);
}

void LocalGate::OpenSole(Epoch epoch) {
  Open(epoch, GateState::kSole);
}

void LocalGate::OpenConnected(Epoch epoch) {
  Open(epoch, GateState::kConnected);
}

void LocalGate::Stop() {
  word_.store(Word(epoch(), GateState::kStopped), std::memory_order_seq_cst);
}

GateState LocalGate::state() const {
  return static_cast<GateState>(word_.load(std::memory_order_seq_cst) & 3);
}

Epoch LocalGate::epoch() const {
  return Epoch(word_.load(std::memory_order_seq_cst) >> 2);
}

GateGrant LocalGate::Ask(BlockMode mode) {
  PGQUORUM_CHECK(mode != BlockMode::kNull);
  // Sequentially consistent with Stop(): either this load sees the stop, or the tag that the caller
  // set before is seen by the walk after the stop.
  uint64_t word = word_.load(std::memory_order_seq_cst);
  switch (static_cast<GateState>(word & 3)) {
    case GateState::kSole:
      (mode == BlockMode::kExclusive ? exclusive_ : shared_)
          .fetch_add(1, std::memory_order_relaxed);
      return {GateAnswer::kGranted, BlockMode::kExclusive, Epoch(word >> 2)};
    case GateState::kConnected:
      passed_on_.fetch_add(1, std::memory_order_relaxed);
      return {GateAnswer::kAsk, BlockMode::kNull, Epoch(word >> 2)};
    case GateState::kStopped:
      break;
  }
  refused_.fetch_add(1, std::memory_order_relaxed);
  return {GateAnswer::kStopped, BlockMode::kNull, Epoch(word >> 2)};
}

void LocalGate::Returned() {
  returned_.fetch_add(1, std::memory_order_relaxed);
}

GateCounters LocalGate::Counters() const {
  // `returned` first: pages that come and go meanwhile never make resident() negative.
  GateCounters counters;
  counters.returned = returned_.load(std::memory_order_acquire);
  counters.shared = shared_.load(std::memory_order_relaxed);
  counters.exclusive = exclusive_.load(std::memory_order_relaxed);
  counters.refused = refused_.load(std::memory_order_relaxed);
  counters.passed_on = passed_on_.load(std::memory_order_relaxed);
  return counters;
}

}  // namespace pgquorum::fusion
