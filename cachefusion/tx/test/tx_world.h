// Rows in table pages of one segment, changed by sessions with transactions and subtransactions:
// what an access method does, in the smallest form.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cachefusion/page/table_page.h"
#include "cachefusion/storage/test/world.h"
#include "cachefusion/tx/transactions.h"
#include "cachefusion/tx/visibility.h"

namespace pgquorum::fusion {

inline constexpr uint64_t kTable = 0x500004001;
inline constexpr uint32_t kTableBlocks = 12;

struct RowVersion {
  PageId page;
  SlotNumber slot;
  VersionHeader header;
  uint64_t row;
  uint64_t value;
};

class Session {
 public:
  Session(Storage& storage, std::span<TxSlot> slots, std::size_t mine)
      : storage_(storage),
        transactions_(storage, kInstance, slots, mine),
        visibility_(transactions_, own_) {}

  void Begin() {
    own_.Clear();
    words_.clear();
    open_.clear();
    command_ = 0;
    snapshot_ = transactions_.TakeSnapshot();
  }
  void BeginSub() { open_.push_back(words_.size()); }
  // The words since then abort.
  Status AbortSub() {
    std::vector<TxWord> aborted(words_.begin() + static_cast<std::ptrdiff_t>(open_.back()),
                                words_.end());
    words_.resize(open_.back());
    open_.pop_back();
    if (!aborted.empty()) {
      own_.RemoveFrom(aborted.front());
    }
    fresh_ = true;
    return transactions_.Abort(aborted);
  }
  void CommitSub() { open_.pop_back(); }

  Status Insert(uint64_t row, uint64_t value) {
    VersionHeader header{};
    header.creator = Word().bits();
    header.creator_command = command_;
    std::string bytes(reinterpret_cast<const char*>(&header), kVersionHeaderBytes);
    uint64_t data[] = {row, value};
    bytes.append(reinterpret_cast<const char*>(data), sizeof(data));
    for (uint32_t block = 0;; ++block) {
      Result<PageGuard> guard =
          storage_.pages().Fetch({kTable, (place_ + block) % kTableBlocks}, LatchMode::kExclusive);
      if (!guard.ok()) {
        return guard.status();
      }
      bool fits = !guard.value().formatted() || RoomFor(guard.value().page()) >= bytes.size();
      if (!fits) {
        if (block > kTableBlocks) {
          return Status::Error("54000", "the table is full");
        }
        continue;
      }
      Mutation mutation(storage_.pages(), Word().bits());
      PageChange& change = mutation.Change(guard.value());
      if (!guard.value().formatted()) {
        change.Format(PageKind::kTable);
      }
      SlotNumber slot = InsertVersion(change, bytes);
      SetNext(change, slot, RowAddress::Of(guard.value().id().block, slot));
      place_ = (place_ + 5) % kTableBlocks;
      return mutation.Commit().status();
    }
  }

  // kWait and the like come back in `touch`; the row is then as it was.
  Status Remove(const RowVersion& version, Touch& touch, bool only_lock = false) {
    TxWord word = Word();
    Result<PageGuard> guard = storage_.pages().Fetch(version.page, LatchMode::kExclusive);
    if (!guard.ok()) {
      return guard.status();
    }
    const VersionHeader header = HeaderOfVersion(VersionAt(guard.value().page(), version.slot));
    RowAddress self = RowAddress::Of(version.page.block, version.slot);
    Result<Touch> may = visibility_.MayTouch(header, self, RowLock::kUpdate, command_);
    if (!may.ok()) {
      return may.status();
    }
    touch = may.value();
    if (touch.result != TouchResult::kOk) {
      return Status::Ok();
    }
    Mutation mutation(storage_.pages(), word.bits());
    uint32_t marks = static_cast<uint32_t>(RowLock::kUpdate) |
                     (only_lock ? uint32_t{kMarkLockOnly} : uint32_t{kMarkKeyChanged});
    SetRemover(mutation.Change(guard.value()), version.slot, word.bits(), command_, marks, self);
    return mutation.Commit().status();
  }

  // Calls `visit` for every version on the pages.
  template <typename Visit>
  Status Walk(Visit visit) {
    for (uint32_t block = 0; block < kTableBlocks; ++block) {
      Result<PageGuard> guard = storage_.pages().Fetch({kTable, block}, LatchMode::kShared);
      if (!guard.ok()) {
        return guard.status();
      }
      if (!guard.value().formatted()) {
        continue;
      }
      std::string copy(guard.value().page(), kPageBytes);  // no latch while the table is asked
      guard.value().Release();
      EXPECT_EQ(FindTablePageFault(copy.data()), "");
      for (SlotNumber slot = 1; slot <= SlotCount(copy.data()); ++slot) {
        std::string_view bytes = VersionAt(copy.data(), slot);
        if (bytes.empty()) {
          continue;
        }
        uint64_t data[2];
        std::memcpy(data, bytes.data() + kVersionHeaderBytes, sizeof(data));
        Status status =
            visit(RowVersion{{kTable, block}, slot, HeaderOfVersion(bytes), data[0], data[1]});
        if (!status.ok()) {
          return status;
        }
      }
    }
    return Status::Ok();
  }

  Result<std::vector<RowVersion>> Visible() {
    std::vector<RowVersion> rows;
    Status status = Walk([&](const RowVersion& version) {
      Result<bool> visible = visibility_.IsVisible(version.header, {snapshot_, command_});
      if (visible.ok() && visible.value()) {
        rows.push_back(version);
      }
      return visible.status();
    });
    return status.ok() ? Result<std::vector<RowVersion>>(rows) : status;
  }

  // Cleanout and removal of dead versions, page by page.
  Status Vacuum() {
    Scn horizon = transactions_.Horizon();
    for (uint32_t block = 0; block < kTableBlocks; ++block) {
      Result<PageGuard> guard = storage_.pages().Fetch({kTable, block}, LatchMode::kExclusive);
      if (!guard.ok()) {
        return guard.status();
      }
      if (!guard.value().formatted()) {
        continue;
      }
      std::vector<SlotNumber> dead;
      std::vector<std::pair<SlotNumber, Visibility::Stamps>> stamps;
      for (SlotNumber slot = 1; slot <= SlotCount(guard.value().page()); ++slot) {
        std::string_view bytes = VersionAt(guard.value().page(), slot);
        if (bytes.empty()) {
          continue;
        }
        const VersionHeader header = HeaderOfVersion(bytes);
        Result<bool> is_dead = visibility_.IsDead(header, horizon);
        Result<Visibility::Stamps> stamp = visibility_.StampsOf(header);
        if (!is_dead.ok() || !stamp.ok()) {
          return is_dead.ok() ? stamp.status() : is_dead.status();
        }
        if (is_dead.value()) {
          dead.push_back(slot);
        } else if (stamp.value().creator.bits() != header.creator ||
                   stamp.value().remover.bits() != header.remover) {
          stamps.emplace_back(slot, stamp.value());
        }
      }
      if (dead.empty() && stamps.empty()) {
        continue;
      }
      Mutation mutation(storage_.pages(), 0);
      PageChange& change = mutation.Change(guard.value());
      for (auto& [slot, stamp] : stamps) {
        const VersionHeader header = HeaderOfVersion(VersionAt(change.page(), slot));
        SetCreator(change, slot, stamp.creator.bits());
        bool gone = stamp.remover.none();
        SetRemover(change, slot, stamp.remover.bits(), gone ? 0 : header.remover_command,
                   gone ? 0 : header.marks, gone ? RowAddress::Of(block, slot) : header.next);
      }
      RemoveVersions(change, dead);
      Compact(change);
      Status status = mutation.Commit().status();
      if (!status.ok()) {
        return status;
      }
    }
    return Status::Ok();
  }

  Status Commit() {
    if (!words_.empty()) {
      Status decided = transactions_.Decide(words_[0], Children(), true);
      if (!decided.ok()) {
        return decided;
      }
      Status published = transactions_.Publish(words_[0]);
      if (!published.ok()) {
        return published;
      }
    }
    return End();
  }
  Status Prepare(uint64_t external) {
    return transactions_.Prepare(words_[0], Children(), external);
  }
  Status Abort() {
    Status status = transactions_.Abort(words_);
    return status.ok() ? End() : status;
  }

  void NextCommand() { ++command_; }
  bool wrote() const { return !words_.empty(); }
  Transactions& transactions() { return transactions_; }
  Visibility& visibility() { return visibility_; }

 private:
  // The current (sub)transaction's word; drawn at the first write, a parent's before its child's.
  TxWord Word() {
    if (words_.empty() || (!open_.empty() && words_.size() == open_.back()) || fresh_) {
      fresh_ = false;
      words_.push_back(transactions_.Begin());
      own_.Add(words_.back());
    }
    if (!open_.empty() && open_.back() == 0 && words_.size() == 1) {
      // The first word belongs to the top level, which must not abort with the subtransaction.
      open_.back() = 1;
      words_.push_back(transactions_.Begin());
      own_.Add(words_.back());
    }
    return words_.back();
  }
  std::span<const TxWord> Children() const { return std::span(words_).subspan(1); }
  Status End() {
    transactions_.Finished();
    transactions_.EndSnapshots();
    return Status::Ok();
  }

  Storage& storage_;
  Transactions transactions_;
  OwnTransactions own_;
  Visibility visibility_;
  std::vector<TxWord> words_;      // top level first
  std::vector<std::size_t> open_;  // words before each open subtransaction
  bool fresh_ = false;
  Scn snapshot_;
  uint32_t command_ = 0;
  uint32_t place_ = 0;
};

}  // namespace pgquorum::fusion
