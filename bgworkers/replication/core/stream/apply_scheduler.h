// Which transactions of one origin may be applied at the same time, and in which order they commit.
//
// Transactions that write different keys run side by side; one that writes a key of an earlier one
// waits until that has committed. Commits happen in the origin's order, so that readers never see a
// later transaction without an earlier one, and progress is one number.
//
// Keys are hashes: two keys with one hash wait for each other, nothing worse. Dependencies that
// keys do not show (another unique index, a foreign key) appear as a lock that the oldest
// transaction waits for; Yield then makes the younger ones give way and run again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <unordered_map>
#include <vector>

namespace pgquorum::replication {

class ApplyScheduler {
 public:
  struct Options {
    std::size_t max_transactions = 1024;  // in the window
    std::size_t max_keys = 65'536;        // in the window, and of a single transaction
  };
  // `applied`: the origin's transactions up to here have committed.
  ApplyScheduler(const Options& options, uint64_t applied)
      : options_(options), first_(applied + 1) {}

  // The next transaction in the origin's order. A barrier (DDL, TRUNCATE, one with more keys than
  // the window takes) runs alone. False: the window is full, submit again after a commit.
  bool Submit(uint64_t sequence, std::vector<uint64_t> keys, bool barrier = false);

  // A transaction to run now; nothing when all wait for others.
  std::optional<uint64_t> Next();
  // It has run, and waits for its turn to commit.
  void Executed(uint64_t sequence);
  // The oldest one, when it has run: commit it, then call Committed.
  std::optional<uint64_t> NextToCommit() const;
  void Committed(uint64_t sequence);
  // It was rolled back (deadlock, serialization, another error): it runs again once it is the
  // oldest.
  void Failed(uint64_t sequence);
  // The oldest one waits for a lock of ours: everything younger that has begun. Roll them back and
  // call Failed for each.
  std::vector<uint64_t> Yield() const;

  uint64_t applied() const { return first_ - 1; }
  std::size_t size() const { return window_.size(); }

 private:
  enum class State : uint8_t { kWaiting, kRunning, kExecuted };
  struct Entry {
    State state = State::kWaiting;
    bool barrier = false;
    bool alone = false;  // failed once: only as the oldest
    uint64_t after = 0;  // the youngest transaction that must have committed before
    std::vector<uint64_t> keys;
  };
  Entry& At(uint64_t sequence);

  Options options_;
  uint64_t first_;
  std::deque<Entry> window_;  // of first_, first_ + 1, …
  std::size_t key_count_ = 0;
  std::unordered_map<uint64_t, uint64_t> last_writer_;  // key hash: youngest in the window
  uint64_t last_barrier_ = 0;
};

}  // namespace pgquorum::replication

#include "base/pure.h"
