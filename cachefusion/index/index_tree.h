// A B-link tree (Lehman and Yao): entries in the leaves, right links and high keys on every level,
// so that a reader holds one latch at a time and never waits for a writer above or beside it. One
// object a process and index; the tree is what is on the pages.
//
// Rules, beside those of ../README.md (bottom to top, left to right):
//   - a reader releases a page before it asks for another
//   - the meta page is latched after pages of the tree; a deleted or new page only under it
//   - a split is two records. Between them the left page says kIndexSplitting, and whoever comes by
//     to write finishes it first; readers go right
//   - a page is deleted in one record, with everything above it that would be left without a child.
//     The last page of a level stays, and the last child of a page with several
//   - who uses an index holds a snapshot (Transactions::TakeSnapshot) from before the first step to
//     after the last: deleted pages are used again when the horizon has passed their deletion.
//     RemoveRows needs none; one process at a time calls it
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "cachefusion/index/index_page.h"
#include "cachefusion/index/key_order.h"
#include "cachefusion/storage/storage.h"
#include "cachefusion/tx/transactions.h"

namespace pgquorum::fusion {

struct IndexRow {
  std::string_view key;
  RowAddress at;
  std::string_view payload;
};

// 54000 when key and payload are too long for an entry.
Status CheckIndexRowSize(const IndexRow& row);

// The meta page of an index that is to be made, latched: kErrForeignStorage when there is one.
Result<PageGuard> FetchFreshMeta(Storage& storage, uint64_t segment);

enum class Uniqueness : uint8_t {
  kNone = 0,
  kFull = 1,     // insert, unless another row has the key
  kPartial = 2,  // insert anyway, and say whether another row may have the key
  kOnly = 3,     // the entry is there; say whether another row has the key
};

// What a row with an equal key means for a unique index.
enum class RowState : uint8_t {
  kGone = 0,       // nobody sees it, nobody ever will: its entry may go
  kNoMatter = 1,   // removed, or never there, for this check
  kLive = 2,       // a conflict
  kUndecided = 3,  // `holder` must end first
};
struct RowVerdict {
  RowState state = RowState::kLive;
  uint64_t holder = 0;  // kUndecided: a word that the caller can wait for (tx/word.h)
};
// Asked under the latch of the leaf, so that nobody inserts the key meanwhile; it may latch pages
// of tables and transactions, not of indexes, and waits for no transaction.
class RowJudge {
 public:
  virtual ~RowJudge() = default;
  virtual Result<RowVerdict> Judge(RowAddress at) = 0;
};

struct InsertOutcome {
  bool inserted = false;
  // Another row with the key: kLive or kUndecided. After kUndecided the caller waits for `holder`,
  // without a latch, and calls again (kPartial: checks again later).
  RowState conflict = RowState::kNoMatter;
  RowAddress with;
  uint64_t holder = 0;
};

struct IndexShape {
  uint32_t blocks = 0;
  uint32_t level = 0;  // of the root
};

struct IndexVacuum {
  uint64_t removed = 0;
  uint64_t remaining = 0;
  uint32_t pages = 0;          // of leaves, visited
  uint32_t deleted_pages = 0;  // on all levels
};

// Sets dead[i] for rows[i] that are to go; called without a latch, some row perhaps twice.
using DeadRows = std::function<Status(std::span<const RowAddress> rows, std::vector<bool>& dead)>;

class IndexTree {
 public:
  IndexTree(Storage& storage, uint64_t segment, KeyOrder& order, Transactions& transactions)
      : storage_(storage), segment_(segment), order_(order), transactions_(transactions) {}

  // Makes the segment, empty. It must not exist: kErrForeignStorage.
  Status Create();
  Result<IndexShape> Shape();

  // 54000 when key and payload are too long, kErrDamaged when the index has the row already.
  // `judge` is needed unless kNone.
  Result<InsertOutcome> Insert(const IndexRow& row, Uniqueness uniqueness, RowJudge* judge);

  // First half of a table's vacuum, for its indexes: after it no entry leads to a dead row. Deletes
  // leaves that are empty and finishes splits.
  Result<IndexVacuum> RemoveRows(const DeadRows& dead);

  // For scans: copies of pages, kPageBytes, aligned to 8. The leaf whose range holds the position.
  Status CopyLeaf(const KeyPosition& position, char* copy);
  // A deleted page is copied as it is.
  Status CopyPage(uint32_t block, char* copy);
  // Marks entries of a page whose rows nobody will see any more, if the page is still the version
  // that was looked at: an entry's row may have been removed and its place given to another since.
  Status MarkGone(uint32_t block, Psn version, std::span<const unsigned> numbers);
  KeyOrder& order() { return order_; }
  Status Damage(uint32_t block, const std::string& what) const;

 private:
  friend class IndexDeletion;

  // Where a writer came by on each level; 0: nowhere. A hint: pages may have been divided since.
  using Path = std::array<uint32_t, kMaxIndexLevels>;
  // A page that may be used, with the meta page, which the caller's record must change: Take().
  struct Fresh {
    PageGuard meta;
    PageGuard page;
    IndexMeta changed;
  };
  struct Parent {
    PageGuard guard;
    unsigned entry;  // of the child
  };

  Result<PageGuard> Fetch(uint32_t block, LatchMode mode);
  Result<PageGuard> FetchMeta(LatchMode mode);
  // The topmost page that is the only one of its level, or a later one.
  Result<uint32_t> Start(bool from_root);

  // From `block` to the right, to the page whose range holds the position. With a path: a writer,
  // who finishes splits on the way.
  Result<PageGuard> Settle(uint32_t block, const KeyPosition& position, LatchMode mode, Path* path);
  Result<PageGuard> Descend(const KeyPosition& position, uint32_t level, LatchMode mode,
                            Path* path);

  // Looks for other rows with the key from `leaf` on, which is held exclusively.
  Status FindConflict(PageGuard& leaf, const IndexRow& row, RowJudge& judge,
                      InsertOutcome& outcome);
  Status JudgePage(const char* page, unsigned first, const IndexRow& row, RowJudge& judge,
                   InsertOutcome& outcome, std::vector<unsigned>& gone, bool& ended);
  // To the page where the row's entry belongs, holding the one before until the next is held.
  Result<PageGuard> StepRight(PageGuard leaf, const IndexRow& row, Path& path);
  Status Place(PageGuard leaf, const IndexRow& row, Path& path);

  // Puts `entry` in as number `number`; divides the page when it must. `child`: a page that is
  // splitting until this record; its flag goes with it. Returns the new page, when there is one.
  Result<std::optional<PageGuard>> Put(PageGuard& page, unsigned number, std::string_view entry,
                                       PageGuard* child);
  Result<PageGuard> Divide(PageGuard& page, const std::vector<std::string_view>& entries,
                           std::size_t left_count, PageGuard* child);
  Result<Fresh> Allocate();
  static void Take(Mutation& mutation, Fresh& fresh);

  // Both pages are held exclusively; the left one says kIndexSplitting.
  Status CompleteSplit(PageGuard left, PageGuard right, Path& path);
  // False: `left` is not the root.
  Result<bool> GrowRoot(PageGuard& left, PageGuard& right);
  Status FinishSplit(uint32_t block, Path& path);
  Result<Parent> LatchParent(const PageGuard& child, Path& path);

  Result<uint32_t> RemoveFrom(uint32_t block, const DeadRows& dead, IndexVacuum& counts);

  Storage& storage_;
  uint64_t segment_;
  KeyOrder& order_;
  Transactions& transactions_;
  uint32_t start_ = 0;  // what Start found last
};

}  // namespace pgquorum::fusion

#include "base/pure.h"
