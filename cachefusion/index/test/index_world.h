// An index in a storage that loses power, with an order that can fail and a model to compare with.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "base/random.h"
#include "cachefusion/index/index_builder.h"
#include "cachefusion/index/index_check.h"
#include "cachefusion/index/index_scan.h"
#include "cachefusion/index/index_tree.h"
#include "cachefusion/storage/test/world.h"

namespace pgquorum::fusion {

inline constexpr uint64_t kIndex = 0x500004007;

// Keys are columns, each ended by a zero byte. A search for the first columns is equal to all that
// begin with them; a stored key that lacks columns is less than all that have them.
class ColumnOrder : public KeyOrder {
 public:
  int Compare(std::string_view search, std::string_view stored) override {
    ++comparisons;
    if (fail_at != 0 && comparisons >= fail_at) {
      return Fail(Status::Error("22000", "comparison failed"));
    }
    while (!search.empty() && !stored.empty()) {
      std::string_view a = Column(search);
      std::string_view b = Column(stored);
      if (int compared = a.compare(b); compared != 0) {
        return compared;
      }
    }
    return search.empty() ? 0 : 1;
  }
  std::string Separator(std::string_view left, std::string_view right) override {
    std::string_view rest = right;
    std::string_view column = Column(rest);
    return Column(left) == column ? std::string(right) : std::string(column) + '\0';
  }

  uint64_t comparisons = 0;
  uint64_t fail_at = 0;

 private:
  static std::string_view Column(std::string_view& from) {
    std::size_t end = from.find('\0');
    std::string_view column = from.substr(0, end);
    from.remove_prefix(end + 1);
    return column;
  }
};

inline std::string Key(std::string_view first, std::string_view second) {
  return std::string(first) + '\0' + std::string(second) + '\0';
}
inline std::string Prefix(std::string_view first) {
  return std::string(first) + '\0';
}
// Numbers as text in the order of numbers.
inline std::string Text(uint64_t number) {
  std::string digits = std::to_string(number);
  return std::string(8 - digits.size(), '0') + digits;
}
inline RowAddress Row(uint64_t number) {
  return RowAddress::Of(static_cast<uint32_t>(number / 100 + 2),
                        static_cast<SlotNumber>(number % 100 + 1));
}
inline uint64_t NumberOf(RowAddress at) {
  return (uint64_t{at.block()} - 2) * 100 + at.slot - 1;
}

// (key, row) -> payload, in the order of the index.
using Model = std::map<std::pair<std::string, uint64_t>, std::string>;

// One process that uses the index.
struct IndexSession {
  IndexSession(Storage& storage, std::span<TxSlot> slots, std::size_t mine)
      : transactions(storage, kInstance, slots, mine), tree(storage, kIndex, order, transactions) {}

  // The horizon passes what was deleted until now, when nobody holds a snapshot.
  Status MoveHorizon() {
    TxWord word = transactions.Begin();
    Status status = transactions.Decide(word, {}, false);
    if (status.ok()) {
      status = transactions.Publish(word);
    }
    transactions.Finished();
    return status;
  }
  Result<InsertOutcome> Insert(std::string_view key, uint64_t row, std::string_view payload = {},
                               Uniqueness uniqueness = Uniqueness::kNone,
                               RowJudge* judge = nullptr) {
    transactions.TakeSnapshot();
    Result<InsertOutcome> outcome = tree.Insert({key, Row(row), payload}, uniqueness, judge);
    transactions.EndSnapshots();
    return outcome;
  }
  Result<IndexVacuum> Remove(const std::set<uint64_t>& dead) {
    return tree.RemoveRows([&](std::span<const RowAddress> rows, std::vector<bool>& is_dead) {
      for (std::size_t i = 0; i < rows.size(); ++i) {
        is_dead[i] = dead.contains(NumberOf(rows[i]));
      }
      return Status::Ok();
    });
  }

  ColumnOrder order;
  Transactions transactions;
  IndexTree tree;
};

inline Result<Model> Forward(IndexTree& tree, const KeyPosition& from, const KeyPosition& to) {
  IndexScan scan(tree);
  Status status = scan.SeekForward(from);
  Model found;
  while (status.ok()) {
    Result<bool> next = scan.Next();
    if (!next.ok() || !next.value()) {
      status = next.status();
      break;
    }
    IndexEntry entry = scan.entry();
    if (ComparePosition(tree.order(), to, entry) <= 0) {
      break;
    }
    std::pair<std::string, uint64_t> key{entry.key, NumberOf(entry.at)};
    if (!found.empty() && !(found.rbegin()->first < key)) {
      return Status::Error("XX000", "a forward scan is not in order");
    }
    found.emplace(key, entry.payload);
  }
  return status.ok() ? Result<Model>(std::move(found)) : status;
}

inline Result<Model> Backward(IndexTree& tree, const KeyPosition& from, const KeyPosition& to) {
  IndexScan scan(tree);
  Status status = scan.SeekBackward(to);
  Model found;
  while (status.ok()) {
    Result<bool> next = scan.Previous();
    if (!next.ok() || !next.value()) {
      status = next.status();
      break;
    }
    IndexEntry entry = scan.entry();
    if (ComparePosition(tree.order(), from, entry) > 0) {
      break;
    }
    std::pair<std::string, uint64_t> key{entry.key, NumberOf(entry.at)};
    if (!found.empty() && !(key < found.begin()->first)) {
      return Status::Error("XX000", "a backward scan is not in order");
    }
    found.emplace(key, entry.payload);
  }
  return status.ok() ? Result<Model>(std::move(found)) : status;
}

inline Result<Model> Everything(IndexTree& tree) {
  return Forward(tree, KeyPosition::Lowest(), KeyPosition::Highest());
}

// The whole index is sound; the report.
inline IndexReport ExpectSound(Storage& storage, const std::string& where = {}) {
  ColumnOrder order;
  Result<IndexReport> report = CheckIndex(storage, kIndex, order, {});
  EXPECT_TRUE(report.ok()) << report.status().ToString() << where;
  if (!report.ok()) {
    return {};
  }
  for (const std::string& fault : report.value().faults) {
    ADD_FAILURE() << fault << where;
  }
  EXPECT_EQ(storage.pages().Count().pinned, 0u) << "a page is still held" << where;
  return report.value();
}

}  // namespace pgquorum::fusion
