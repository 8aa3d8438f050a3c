// The order of an index. Keys are bytes that only their owner understands.
//
// Entries are ordered by key, then by the row's address, so no two are equal and every entry has
// one place.
//
// A comparison may fail (the server's functions raise errors). It then says so once and returns
// anything; whoever searches asks failed() before believing, and before changing anything. So an
// error leaves as a Status, with guards that release their latches on the way. Comparisons happen
// under latches: they must not use an index or a table of the same storage.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "cachefusion/index/index_page.h"

namespace pgquorum::fusion {

class KeyOrder {
 public:
  virtual ~KeyOrder() = default;

  // Less than, equal to or greater than 0. `search` is what a caller has searched for or inserts;
  // it may name fewer columns than the index has, and is then equal to all keys that begin with
  // them. `stored` was made by Insert or Separator, and is searched for as well.
  virtual int Compare(std::string_view search, std::string_view stored) = 0;
  // For two keys with left < right: a key s with left < s <= right, no longer than `right`. Short
  // ones make the tree low. A column that s lacks counts as less than every value of it.
  virtual std::string Separator(std::string_view /*left*/, std::string_view right) {
    return std::string(right);
  }

  bool failed() const { return !error_.ok(); }
  Status TakeError() { return std::exchange(error_, Status()); }

 protected:
  int Fail(Status error) {
    if (error_.ok()) {
      error_ = std::move(error);
    }
    return 0;
  }

 private:
  Status error_;
};

// A place between entries: what lies before it is less.
struct KeyPosition {
  enum class Edge : uint8_t {
    kLowest = 0,     // before everything
    kHighest = 1,    // behind everything
    kBeforeKey = 2,  // before all entries whose key is equal to `key`, which may be partial
    kAfterKey = 3,   // behind all of them
    kAtRow = 4,      // at the entry (key, at)
    kBeforeRow = 5,  // the last place before it
  };
  Edge edge = Edge::kLowest;
  std::string_view key;
  RowAddress at;

  static KeyPosition Lowest() { return {}; }
  static KeyPosition Highest() { return {Edge::kHighest, {}, {}}; }
  static KeyPosition Before(std::string_view key) { return {Edge::kBeforeKey, key, {}}; }
  static KeyPosition After(std::string_view key) { return {Edge::kAfterKey, key, {}}; }
  static KeyPosition AtRow(std::string_view key, RowAddress at) { return {Edge::kAtRow, key, at}; }
  // Where the first entry with a whole key is or would be.
  static KeyPosition FirstOf(std::string_view key) { return AtRow(key, RowAddress{}); }
  static KeyPosition BeforeRow(std::string_view key, RowAddress at) {
    return {Edge::kBeforeRow, key, at};
  }
};

int CompareRows(RowAddress a, RowAddress b);
// Of a position and an entry or a high key. Not for the first entry of a page above the leaves.
int ComparePosition(KeyOrder& order, const KeyPosition& position, const IndexEntry& entry);

// The first entry of a leaf that is not less than the position; EntryCount + 1 when all are.
unsigned FirstNotBefore(KeyOrder& order, const char* page, const KeyPosition& position);
// The entry of a page above the leaves whose child's range holds the position.
unsigned ChildEntryFor(KeyOrder& order, const char* page, const KeyPosition& position);
// The position is not in the page's range, but further to the right.
bool LiesBeyond(KeyOrder& order, const char* page, const KeyPosition& position);

// The high key, as an entry, of a page whose last entry is `left` when `right` comes next; both are
// an entry's bytes.
Result<std::string> KeyBetween(KeyOrder& order, uint32_t level, std::string_view left,
                               std::string_view right);

}  // namespace pgquorum::fusion

#include "base/pure.h"
