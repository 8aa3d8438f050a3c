// Rows of a table on pages: insert, replace, remove, lock, read, and the removal of what nobody
// sees. Which transaction, which command and who waits for whom is the caller's; nothing here waits
// for a transaction. One object a process and table.
//
// Row locks. The first locker of a version is written on its page. Where that is not enough, the
// caller's lock manager holds the row, and the version says that it must be asked (kMarkLockers):
//   - a second locker beside the first: kAsk; held there, the call sets the mark
//   - a change by a subtransaction of a row that its parent had locked: kAsk, for the parent, since
//     the change takes the lock's place on the page and may be rolled back
//   - every lock and change of a version with the mark: kAsk
// A change waits for a foreign lock on the page even if the two do not conflict (key share against
// an update of other columns): one word cannot hold both.
//
// Large values. A row comes with the chains that hold its long values (overflow_store.h): new ones
// that were written before it, and ones that the version which it replaces has as well. A version
// that nobody sees takes along those that no other version has.
//
// Latches: rows' pages in the order of their blocks, then pages of the transaction table.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "cachefusion/page/table_page.h"
#include "cachefusion/table/overflow_store.h"
#include "cachefusion/table/segment_space.h"
#include "cachefusion/tx/visibility.h"

namespace pgquorum::fusion {

// Who changes something.
struct Writer {
  TxWord word;
  uint32_t command = 0;
  bool asked = false;  // the caller holds the row in its lock manager: see kAsk
};

// What follows the version header. `chains`: those with kChainBorrowed are the replaced version's.
// Together at most kMaxVersionBytes - kVersionHeaderBytes long (54000 otherwise).
struct NewRow {
  // Implicit: most rows are bytes and nothing else.
  NewRow(const std::string& row) : bytes(row) {}
  NewRow(const char* row) : bytes(row) {}
  NewRow(std::string_view row, std::span<const ChainLink> links = {}) : bytes(row), chains(links) {}

  std::string_view bytes;
  std::span<const ChainLink> chains;
};

struct Replaced {
  Touch touch;    // anything but kOk: nothing was done
  RowAddress at;  // of the new version
};

class TableStore {
 public:
  TableStore(Storage& storage, uint64_t segment)
      : storage_(storage),
        segment_(segment),
        space_(storage, segment),
        overflow_(storage, segment, space_) {}

  SegmentSpace& space() { return space_; }
  OverflowStore& overflow() { return overflow_; }

  Result<RowAddress> Insert(const NewRow& row, const Writer& writer);
  // Puts a new version in the place of the one at `address`. `lock`: kUpdate when the row's key
  // changes, kNoKeyUpdate otherwise.
  Result<Replaced> Replace(RowAddress address, const NewRow& row, RowLock lock,
                           const Writer& writer, Visibility& visibility);
  // `moved`: the row goes to another table, and who comes too late must not take it for deleted.
  Result<Touch> Remove(RowAddress address, const Writer& writer, Visibility& visibility,
                       bool moved = false);
  // Removes a version that this very command has inserted, for this command and everybody.
  Status TakeBack(RowAddress address, const Writer& writer);
  Result<Touch> Lock(RowAddress address, RowLock lock, const Writer& writer,
                     Visibility& visibility);

  // Copies a page, to be looked at without a latch; false when it holds no rows.
  Result<bool> ReadPage(uint32_t block, char* copy);
  // The version at an address; empty when there is none.
  Result<std::string> ReadVersion(RowAddress address);

  // First half of a vacuum, page by page: stamps what is decided, and adds versions that nobody
  // will see to `dead`. They stay in their places until RemoveDead, so that indexes can let go of
  // them in between. An overflow page whose creator aborted is empty afterwards.
  Status CollectDead(uint32_t block, Scn horizon, Visibility& visibility,
                     std::vector<RowAddress>& dead);
  // Adds the chains that go with such versions; they are freed before RemoveDead, which forgets
  // them. After a crash in between, this finds them again.
  Status ChainsToFree(uint32_t block, std::span<const SlotNumber> slots, Visibility& visibility,
                      std::vector<ChainLink>& chains);
  Status RemoveDead(uint32_t block, const std::vector<SlotNumber>& slots);

 private:
  enum class Way : uint8_t { kChange = 0, kLock = 1 };

  // Looks at the version at `address` on a page that is held.
  Result<Touch> Look(const PageGuard& guard, RowAddress address, RowLock lock, Way way,
                     const Writer& writer, Visibility& visibility);
  // A page with room for `bytes`, not held; `avoid` is known to have none.
  Result<uint32_t> Place(std::size_t bytes, uint32_t avoid);
  Status Full(uint32_t block);
  Status CollectOverflow(PageGuard guard, Visibility& visibility);

  Storage& storage_;
  uint64_t segment_;
  SegmentSpace space_;
  OverflowStore overflow_;
  uint32_t target_ = 0;    // where the last row went
  uint32_t rotating_ = 0;  // SegmentSpace::Find
};

}  // namespace pgquorum::fusion

#include "base/pure.h"
