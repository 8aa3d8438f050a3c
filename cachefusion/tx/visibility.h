// Who sees which version of a row, who may change it, and when it may be thrown away.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/status.h"
#include "cachefusion/page/table_page.h"
#include "cachefusion/tx/transactions.h"
#include "cachefusion/tx/word.h"

namespace pgquorum::fusion {

// Strength of a row lock, PostgreSQL's four: a later one conflicts with all that an earlier does.
enum class RowLock : uint8_t { kKeyShare = 0, kShare = 1, kNoKeyUpdate = 2, kUpdate = 3 };
bool Conflict(RowLock a, RowLock b);

// VersionHeader::marks
enum VersionMark : uint32_t {
  kMarkLockMode = 3,         // RowLock of the remover
  kMarkLockOnly = 1 << 2,    // the "remover" only locks the row
  kMarkKeyChanged = 1 << 3,  // removed, or replaced by one with another key
  kMarkLockers =
      1 << 4,  // a lock manager knows of more holders, and must be asked; it may know of none
  kMarkMoved = 1 << 5,  // removed, because the row went to another table (a partition)
};

// The transaction and live subtransactions of this process, ascending. Those that aborted are not
// in it any more.
class OwnTransactions {
 public:
  bool Has(TxWord word) const {
    return std::binary_search(words_.begin(), words_.end(), word.bits());
  }
  void Add(TxWord word) { words_.push_back(word.bits()); }
  // Takes out all from `first` on: a subtransaction aborts with its children, which are younger.
  void RemoveFrom(TxWord first) {
    words_.erase(std::lower_bound(words_.begin(), words_.end(), first.bits()), words_.end());
  }
  void Clear() { words_.clear(); }
  bool empty() const { return words_.empty(); }

 private:
  std::vector<uint64_t> words_;
};

struct Snapshot {
  Scn scn;               // commits up to it are seen
  uint32_t command = 0;  // own changes by earlier commands are seen
};

// What the states of the words of a version mean at this moment.
enum class VersionState : uint8_t {
  kLive = 0,      // the current version
  kNotYet = 1,    // its creator has not committed
  kNever = 2,     // its creator aborted
  kRemoving = 3,  // its remover has not committed
  kRemoved = 4,
};

// What a change or a lock of a version meets.
enum class TouchResult : uint8_t {
  kOk = 0,
  kInvisible = 1,   // not there for this command
  kOwnCommand = 2,  // this or a later command of this transaction has changed it already
  kReplaced = 3,    // a committed transaction put another version in its place
  kRemoved = 4,     // a committed transaction removed the row
  kWait = 5,        // `holder` must end first
  kAsk = 6,         // the caller must hold the row in its lock manager, then try again
};
struct Touch {
  TouchResult result = TouchResult::kOk;
  TxWord holder;         // kWait
  Scn remover;           // kReplaced, kRemoved: when
  uint32_t command = 0;  // kOwnCommand: which
};

class Visibility {
 public:
  Visibility(Transactions& transactions, const OwnTransactions& own)
      : transactions_(transactions), own_(own) {}

  Result<bool> IsVisible(const VersionHeader& version, const Snapshot& snapshot);
  // May this transaction take `lock` on the version that is at `self`, for a command?
  Result<Touch> MayTouch(const VersionHeader& version, RowAddress self, RowLock lock,
                         uint32_t command);
  // For checks of uniqueness and the like, which look at what is, not at a snapshot. Own changes
  // count as committed. `other` is the word that decides in kNotYet and kRemoving.
  Result<VersionState> StateOf(const VersionHeader& version, TxWord& other);
  // Nobody will ever see the version: it may be thrown away.
  Result<bool> IsDead(const VersionHeader& version, Scn horizon);
  // Whether `next` really is what replaced `version`: the slot may have been used again.
  Result<bool> Follows(const VersionHeader& version, const VersionHeader& next);
  // The words as they can be stamped now; equal to the version's when nothing can.
  struct Stamps {
    TxWord creator;
    TxWord remover;
  };
  Result<Stamps> StampsOf(const VersionHeader& version);
  bool Owns(TxWord word) const { return own_.Has(word); }

 private:
  Transactions& transactions_;
  const OwnTransactions& own_;
};

inline TxWord CreatorOf(const VersionHeader& version) {
  return TxWord(version.creator);
}
inline TxWord RemoverOf(const VersionHeader& version) {
  return TxWord(version.remover);
}
inline bool OnlyLocked(const VersionHeader& version) {
  return (version.marks & kMarkLockOnly) != 0;
}
inline RowLock LockOf(const VersionHeader& version) {
  return static_cast<RowLock>(version.marks & kMarkLockMode);
}

}  // namespace pgquorum::fusion

#include "base/pure.h"
