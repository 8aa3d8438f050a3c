// The linearizability checker itself: known histories of both kinds, and random ones against a
// search without any cleverness.
#include "raftlog/sim/linearizability.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "base/random.h"

namespace pgquorum::raft::sim {
namespace {

using Kind = Operation::Kind;
constexpr uint64_t kNever = Operation::kNever;

Operation Write(uint64_t value, uint64_t called, uint64_t answered) {
  return {Kind::kWrite, 1, value, called, answered};
}
Operation Read(uint64_t value, uint64_t called, uint64_t answered) {
  return {Kind::kRead, 1, value, called, answered};
}
Operation Increment(uint64_t value, uint64_t called, uint64_t answered) {
  return {Kind::kIncrement, 1, value, called, answered};
}

Verdict::Kind Check(const std::vector<Operation>& operations) {
  return CheckLinearizable(operations).kind;
}

TEST(Linearizability, ConcurrentOperationsMayTakeAnyOrder) {
  EXPECT_EQ(Check({}), Verdict::Kind::kLinearizable);
  EXPECT_EQ(Check({Write(1, 1, 10), Read(0, 2, 3), Read(1, 4, 5), Read(1, 11, 12)}),
            Verdict::Kind::kLinearizable);
  EXPECT_EQ(Check({Write(1, 1, 10), Write(2, 2, 9), Read(2, 3, 4), Read(1, 5, 6)}),
            Verdict::Kind::kLinearizable);
}

TEST(Linearizability, AStaleReadIsRefused) {
  Verdict verdict = CheckLinearizable({Write(1, 1, 2), Write(2, 3, 4), Read(1, 5, 6)});
  EXPECT_EQ(verdict.kind, Verdict::Kind::kViolated);
  EXPECT_EQ(verdict.text,
            "no order explains the write of key 1 value 2, called at 3, answered at 4 (1 of 3 "
            "operations of the key could be ordered)");
}

TEST(Linearizability, AReadMustNotGoBack) {
  // Both reads are concurrent with the write, but the second begins after the first has ended.
  EXPECT_EQ(Check({Write(1, 1, 10), Read(1, 2, 3), Read(0, 4, 5)}), Verdict::Kind::kViolated);
}

TEST(Linearizability, AValueOutOfNowhereIsRefused) {
  EXPECT_EQ(Check({Write(1, 1, 2), Read(7, 3, 4)}), Verdict::Kind::kViolated);
}

TEST(Linearizability, AnUnansweredWriteMayTakeEffectLateOrNever) {
  EXPECT_EQ(Check({Write(1, 1, kNever), Read(0, 2, 3), Read(0, 4, 5)}),
            Verdict::Kind::kLinearizable);
  EXPECT_EQ(Check({Write(1, 1, kNever), Read(0, 2, 3), Read(1, 4, 5)}),
            Verdict::Kind::kLinearizable);
  EXPECT_EQ(Check({Write(1, 1, kNever), Read(1, 2, 3), Read(0, 4, 5)}), Verdict::Kind::kViolated);
}

TEST(Linearizability, ARefusedWriteMustNotBeSeen) {
  History history;
  uint64_t write = history.Call(Kind::kWrite, 1, 5);
  history.Refuse(write);
  uint64_t read = history.Call(Kind::kRead, 1, 0);
  history.Answer(read, 5);
  history.Call(Kind::kRead, 1, 0);  // unanswered
  EXPECT_EQ(history.Operations().size(), 1U);
  EXPECT_EQ(Check(history.Operations()), Verdict::Kind::kViolated);
}

TEST(Linearizability, AnIncrementExecutedTwiceIsRefused) {
  EXPECT_EQ(Check({Increment(1, 1, 2), Increment(2, 3, 4)}), Verdict::Kind::kLinearizable);
  EXPECT_EQ(Check({Increment(1, 1, 2), Increment(3, 3, 4)}), Verdict::Kind::kViolated);
  EXPECT_EQ(Check({Increment(1, 1, 2), Increment(0, 2, kNever), Increment(3, 3, 4)}),
            Verdict::Kind::kLinearizable);
  EXPECT_EQ(Check({Increment(1, 1, 3), Increment(1, 2, 4)}), Verdict::Kind::kViolated);
}

TEST(Linearizability, KeysAreIndependent) {
  std::vector<Operation> operations = {Write(1, 1, 2), Read(0, 3, 4)};
  operations[1].key = 2;
  EXPECT_EQ(Check(operations), Verdict::Kind::kLinearizable);
}

TEST(Linearizability, GivesUpAtItsLimit) {
  std::vector<Operation> operations;
  for (uint64_t i = 1; i <= 12; ++i) {
    operations.push_back(Write(i, i, 200 + i));
    operations.push_back(Read(i, 100 + i, 220 + i));
  }
  operations.push_back(Read(99, 300, 301));
  EXPECT_EQ(CheckLinearizable(operations, 100).kind, Verdict::Kind::kUndecided);
  EXPECT_EQ(CheckLinearizable(operations).kind, Verdict::Kind::kViolated);
}

// Every order of every subset that contains all answered operations.
bool NaiveCheck(const std::vector<Operation>& operations) {
  std::vector<std::size_t> order(operations.size());
  std::iota(order.begin(), order.end(), 0);
  do {
    uint64_t state = 0;
    bool fits = true;
    // Unanswered operations may be left out: try with every subset of them.
    for (uint32_t left_out = 0; left_out < (1U << operations.size()); ++left_out) {
      state = 0;
      fits = true;
      uint64_t latest_call = 0;
      for (std::size_t i : order) {
        const Operation& operation = operations[i];
        if ((left_out >> i & 1) != 0) {
          fits = fits && operation.answered == kNever;
          continue;
        }
        fits = fits && operation.answered > latest_call;
        latest_call = std::max(latest_call, operation.called);
        if (operation.kind == Kind::kWrite) {
          state = operation.value;
        } else if (operation.kind == Kind::kRead) {
          fits = fits && operation.value == state;
        } else {
          ++state;
          fits = fits && (operation.answered == kNever || operation.value == state);
        }
      }
      if (fits) {
        return true;
      }
    }
  } while (std::next_permutation(order.begin(), order.end()));
  return false;
}

TEST(Linearizability, AgreesWithANaiveSearch) {
  Random random(42);
  int violated = 0;
  constexpr int kCases = 3000;
  for (int i = 0; i < kCases; ++i) {
    std::vector<Operation> operations;
    bool counter = random.Chance(1, 4);
    uint64_t count = random.Between(2, 5);
    for (uint64_t j = 1; j <= count; ++j) {
      Operation operation = Write(j, random.Below(12) * 2, 0);
      if (counter) {
        operation = Increment(random.Between(1, count), operation.called, 0);
      } else if (random.Chance(1, 2)) {
        operation = Read(random.Below(count), operation.called, 0);
      }
      operation.answered = operation.called + 1 + 2 * random.Below(6);
      if (operation.kind != Kind::kRead && random.Chance(1, 5)) {
        operation.answered = kNever;
      }
      operations.push_back(operation);
    }
    bool expected = NaiveCheck(operations);
    violated += expected ? 0 : 1;
    ASSERT_EQ(Check(operations) == Verdict::Kind::kLinearizable, expected) << "case " << i;
  }
  EXPECT_GT(violated, kCases / 10);
  EXPECT_LT(violated, kCases * 9 / 10);
}

}  // namespace
}  // namespace pgquorum::raft::sim
