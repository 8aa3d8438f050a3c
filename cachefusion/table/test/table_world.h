// A session that uses a TableStore: transactions without subtransactions, one command each step.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "cachefusion/storage/test/world.h"
#include "cachefusion/table/table_store.h"

namespace pgquorum::fusion {

inline constexpr uint64_t kAccounts = 0x500004001;

struct FoundRow {
  RowAddress at;
  std::string row;
  std::vector<ChainLink> chains;
};

class TableSession {
 public:
  TableSession(Storage& storage, std::span<TxSlot> slots, std::size_t mine)
      : transactions(storage, kInstance, slots, mine),
        visibility(transactions, own),
        table(storage, kAccounts) {}

  void Begin() {
    own.Clear();
    words.clear();
    command = 0;
    snapshot = transactions.TakeSnapshot();
  }
  Writer AsWriter(bool asked = false) {
    if (words.empty()) {
      Child();
    }
    return {words.back(), command, asked};
  }
  // What is written from here on belongs to a subtransaction.
  TxWord Child() {
    words.push_back(transactions.Begin());
    own.Add(words.back());
    return words.back();
  }
  Status AbortChild() {
    TxWord child = words.back();
    words.pop_back();
    own.RemoveFrom(child);
    return transactions.Abort({&child, 1});
  }
  Status Commit() {
    Status status = Status::Ok();
    if (!words.empty()) {
      status = transactions.Decide(words[0], std::span<const TxWord>(words).subspan(1), true);
      if (status.ok()) {
        status = transactions.Publish(words[0]);
      }
    }
    End();
    return status;
  }
  Status Abort() {
    Status status = transactions.Abort(words);
    End();
    return status;
  }
  void End() {
    transactions.Finished();
    transactions.EndSnapshots();
    own.Clear();
    words.clear();
  }

  Result<std::vector<FoundRow>> Visible() {
    std::vector<FoundRow> rows;
    Result<uint32_t> blocks = table.space().Blocks();
    if (!blocks.ok()) {
      return blocks.status();
    }
    std::vector<char> page(kPageBytes);
    for (uint32_t block = 0; block < blocks.value(); ++block) {
      Result<bool> there = table.ReadPage(block, page.data());
      if (!there.ok()) {
        return there.status();
      }
      for (SlotNumber slot = 1; there.value() && slot <= SlotCount(page.data()); ++slot) {
        std::string_view bytes = VersionAt(page.data(), slot);
        if (bytes.empty()) {
          continue;
        }
        Result<bool> visible = visibility.IsVisible(HeaderOfVersion(bytes), {snapshot, command});
        if (!visible.ok()) {
          return visible.status();
        }
        if (visible.value()) {
          std::size_t row = bytes.size() - kVersionHeaderBytes - ChainListBytes(bytes);
          rows.push_back({RowAddress::Of(block, slot),
                          std::string(bytes.substr(kVersionHeaderBytes, row)), ChainsOf(bytes)});
        }
      }
    }
    return rows;
  }

  Status Vacuum() {
    Result<uint32_t> blocks = table.space().Blocks();
    if (!blocks.ok()) {
      return blocks.status();
    }
    for (uint32_t block = 0; block < blocks.value(); ++block) {
      if (!SegmentSpace::HoldsRows(block)) {
        continue;
      }
      std::vector<RowAddress> dead;
      Status status = table.CollectDead(block, transactions.Horizon(), visibility, dead);
      std::vector<SlotNumber> slots;
      for (RowAddress at : dead) {
        slots.push_back(at.slot);
      }
      std::vector<ChainLink> chains;
      if (status.ok() && !slots.empty()) {
        status = table.ChainsToFree(block, slots, visibility, chains);
      }
      for (const ChainLink& chain : chains) {
        if (status.ok()) {
          status = table.overflow().Free(chain);
        }
      }
      if (status.ok() && !slots.empty()) {
        status = table.RemoveDead(block, slots);
      }
      if (!status.ok()) {
        return status;
      }
    }
    return Status::Ok();
  }

  Transactions transactions;
  OwnTransactions own;
  Visibility visibility;
  TableStore table;
  std::vector<TxWord> words;
  Scn snapshot;
  uint32_t command = 0;
};

}  // namespace pgquorum::fusion
