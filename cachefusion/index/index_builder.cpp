#include "cachefusion/index/index_builder.h"

#include <cstring>
#include <utility>

#include "base/check.h"

#include "base/pure.h"

namespace pgquorum::fusion {
namespace {

// Room is left for rows that come later; above the leaves for more of them.
constexpr std::size_t kLeafFill = kIndexCapacity * 9 / 10;
constexpr std::size_t kUpperFill = kIndexCapacity * 7 / 10;

}  // namespace

Status IndexBuilder::Begin() {
  Result<PageGuard> meta = FetchFreshMeta(storage_, segment_);
  if (!meta.ok()) {
    return meta.status();
  }
  Mutation mutation(storage_.pages(), 0);
  FormatIndexMeta(mutation.Change(meta.value()), {kIndexVersion, 0, 0, 1, 0, 0, 1});
  return mutation.Commit().status();
}

Result<bool> IndexBuilder::Add(const IndexRow& row) {
  Status size = CheckIndexRowSize(row);
  if (!size.ok()) {
    return size;
  }
  bool equal = false;
  if (!last_.empty()) {
    IndexEntry before = ParseIndexEntry(last_);
    int compared = order_.Compare(row.key, before.key);
    if (order_.failed()) {
      return order_.TakeError();
    }
    equal = compared == 0;
    if (compared < 0 || (equal && CompareRows(row.at, before.at) <= 0)) {
      return Status::Error("XX000", "entries for a fusion index are not in its order");
    }
  }
  std::string entry = EncodeIndexEntry(row.key, row.at, row.payload);
  Status added = AddTo(0, entry);
  last_ = std::move(entry);
  return added.ok() ? Result<bool>(equal) : added;
}

void IndexBuilder::Append(uint32_t level, const std::string& entry) {
  Level& at = levels_[level];
  if (level > 0 && at.entries.empty()) {
    // The first child stands for everything below the second.
    uint32_t child;
    std::memcpy(&child, entry.data() + entry.size() - sizeof(child), sizeof(child));
    at.entries.push_back(EncodeChildEntry({}, {}, child));
  } else {
    at.entries.push_back(entry);
  }
  at.bytes += IndexEntryCost(at.entries.back().size());
}

Status IndexBuilder::AddTo(uint32_t level, const std::string& entry) {
  if (level == kMaxIndexLevels) {
    return Status::Error("54000", "fusion index has reached its largest height");
  }
  if (level == levels_.size()) {
    levels_.emplace_back();
    levels_.back().block = next_block_++;
  }
  std::size_t fill = level == 0 ? kLeafFill : kUpperFill;
  if (levels_[level].entries.size() >= 2 &&
      levels_[level].bytes + IndexEntryCost(entry.size()) > fill) {
    Status closed = Close(level, entry);
    if (!closed.ok()) {
      return closed;
    }
  }
  Append(level, entry);
  return Status::Ok();
}

Status IndexBuilder::Close(uint32_t level, const std::string& next) {
  Level& full = levels_[level];
  Result<std::string> high = KeyBetween(order_, level, full.entries.back(), next);
  std::string carried;
  if (high.ok() && full.bytes + IndexEntryCost(high.value().size()) > kIndexCapacity) {
    // No room for the high key: the last entry moves on, and the key before it is shorter.
    carried = std::move(full.entries.back());
    full.entries.pop_back();
    full.bytes -= IndexEntryCost(carried.size());
    high = KeyBetween(order_, level, full.entries.back(), carried);
  }
  if (!high.ok()) {
    return high.status();
  }
  uint32_t next_block = next_block_++;
  Status written = WritePage(level, high.value(), next_block);
  if (!written.ok()) {
    return written;
  }
  std::string child = ChildEntry(full);
  full = Level{{}, 0, next_block, full.block, high.value()};
  if (!carried.empty()) {
    Append(level, carried);
  }
  return AddTo(level + 1, child);
}

std::string IndexBuilder::ChildEntry(const Level& level) {
  IndexEntry low = level.low.empty() ? IndexEntry{} : ParseIndexEntry(level.low);
  return EncodeChildEntry(low.key, low.at, level.block);
}

Status IndexBuilder::WritePage(uint32_t level, const std::string& high, uint32_t right) {
  const Level& from = levels_[level];
  IndexPageDraft draft;
  draft.SetHighKey(high);
  for (const std::string& entry : from.entries) {
    draft.Add(entry);
  }
  Result<PageGuard> guard = storage_.pages().Fetch({segment_, from.block}, LatchMode::kExclusive);
  if (!guard.ok()) {
    return guard.status();
  }
  Mutation mutation(storage_.pages(), 0);
  draft.WriteTo(mutation.Change(guard.value()), {from.left, right, level, 0, 0}, 0);
  return mutation.Commit().status();
}

Status IndexBuilder::Finish() {
  if (levels_.empty()) {
    levels_.emplace_back();
    levels_.back().block = next_block_++;
  }
  uint32_t level = 0;
  for (;; ++level) {
    Status written = WritePage(level, {}, 0);
    if (!written.ok()) {
      return written;
    }
    if (levels_[level].left == 0) {
      break;
    }
    written = AddTo(level + 1, ChildEntry(levels_[level]));
    if (!written.ok()) {
      return written;
    }
  }
  Result<PageGuard> meta = storage_.pages().Fetch({segment_, 0}, LatchMode::kExclusive);
  if (!meta.ok()) {
    return meta.status();
  }
  Mutation mutation(storage_.pages(), 0);
  SetIndexMeta(mutation.Change(meta.value()),
               {kIndexVersion, levels_[level].block, level, next_block_, 0, 0, 0});
  return mutation.Commit().status();
}

}  // namespace pgquorum::fusion
