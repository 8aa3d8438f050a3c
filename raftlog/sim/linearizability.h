// Are the answers that clients got those of one register a key, each operation taking effect at one
// moment between its call and its answer (Herlihy and Wing)? The search of Wing and Gong with
// Lowe's memoization of visited configurations, shortened by what is certain of registers whose
// written values are distinct; keys are independent of each other and checked one by one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace pgquorum::raft::sim {

struct Operation {
  enum class Kind : uint8_t {
    kWrite,      // stores `value`; written values are distinct
    kRead,       // answers `value`; 0 before the first write
    kIncrement,  // adds one, answers the sum
  };
  static constexpr uint64_t kNever = UINT64_MAX;

  Kind kind = Kind::kRead;
  uint32_t key = 0;
  uint64_t value = 0;
  uint64_t called = 0;
  // kNever: nobody knows what became of it. It may have taken effect at any time, or not at all.
  uint64_t answered = kNever;
};

// The calls and answers of a run, in the order in which they happened.
class History {
 public:
  // Returns the operation's number, from 1.
  uint64_t Call(Operation::Kind kind, uint32_t key, uint64_t value);
  void Answer(uint64_t operation, uint64_t value);
  // It certainly had no effect and never will.
  void Refuse(uint64_t operation);
  // Operations that were not refused.
  std::vector<Operation> Operations() const;

 private:
  enum class Fate : uint8_t { kOpen, kAnswered, kRefused };
  struct Item {
    Operation operation;
    Fate fate = Fate::kOpen;
  };
  std::vector<Item> items_;
  uint64_t clock_ = 0;
};

struct Verdict {
  enum class Kind : uint8_t { kLinearizable, kViolated, kUndecided };
  Kind kind = Kind::kLinearizable;
  std::string text;  // what cannot be explained
};
// kUndecided: more than `max_states` configurations of one key would have to be visited.
Verdict CheckLinearizable(const std::vector<Operation>& operations,
                          std::size_t max_states = 100'000);

}  // namespace pgquorum::raft::sim

#include "base/pure.h"
