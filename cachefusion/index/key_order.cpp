#include "cachefusion/index/key_order.h"

#include "base/check.h"

#include "base/pure.h"

namespace pgquorum::fusion {

int CompareRows(RowAddress a, RowAddress b) {
  uint64_t left = uint64_t{a.block()} << 16 | a.slot;
  uint64_t right = uint64_t{b.block()} << 16 | b.slot;
  return left < right ? -1 : left > right ? 1 : 0;
}

int ComparePosition(KeyOrder& order, const KeyPosition& position, const IndexEntry& entry) {
  using Edge = KeyPosition::Edge;
  if (position.edge == Edge::kLowest || position.edge == Edge::kHighest) {
    return position.edge == Edge::kLowest ? -1 : 1;
  }
  int compared = order.Compare(position.key, entry.key);
  if (compared != 0 || position.edge == Edge::kBeforeKey || position.edge == Edge::kAfterKey) {
    return compared != 0 ? compared : position.edge == Edge::kBeforeKey ? -1 : 1;
  }
  compared = CompareRows(position.at, entry.at);
  return compared == 0 && position.edge == Edge::kBeforeRow ? -1 : compared;
}

unsigned FirstNotBefore(KeyOrder& order, const char* page, const KeyPosition& position) {
  unsigned low = 1;
  unsigned high = EntryCount(page) + 1;
  while (low < high) {
    unsigned middle = low + (high - low) / 2;
    if (ComparePosition(order, position, EntryOn(page, middle)) > 0) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

unsigned ChildEntryFor(KeyOrder& order, const char* page, const KeyPosition& position) {
  // The last one that is not greater than the position; the first has no key and never is.
  unsigned low = 1;
  unsigned high = EntryCount(page);
  while (low < high) {
    unsigned middle = low + (high - low + 1) / 2;
    if (ComparePosition(order, position, EntryOn(page, middle)) >= 0) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

bool LiesBeyond(KeyOrder& order, const char* page, const KeyPosition& position) {
  return HasHighKey(page) && ComparePosition(order, position, EntryOn(page, 0)) >= 0;
}

Result<std::string> KeyBetween(KeyOrder& order, uint32_t level, std::string_view left,
                               std::string_view right) {
  IndexEntry first = ParseIndexEntry(right);
  if (level > 0) {
    return EncodeIndexEntry(first.key, first.at, {});
  }
  IndexEntry last = ParseIndexEntry(left);
  int compared = order.Compare(last.key, first.key);
  std::string key(first.key);
  if (compared < 0) {
    key = order.Separator(last.key, first.key);
  }
  if (order.failed()) {
    return order.TakeError();
  }
  PGQUORUM_CHECK(compared <= 0 && key.size() <= first.key.size());
  return EncodeIndexEntry(key, compared < 0 ? RowAddress{} : first.at, {});
}

}  // namespace pgquorum::fusion
