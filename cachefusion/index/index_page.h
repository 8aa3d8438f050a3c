// A page of an index: entries in order, found by number (1 …), between links to its neighbours. The
// bytes are specified in docs/design/0009-fusion-btree.md; golden files in testdata/ hold them
// still.
//
//   header | slots, 4 bytes each, growing up | free | entries, growing down | IndexSpecial
//
// Slot 0 is the high key: every entry of the page is less than it, and what is not is further to
// the right. The last page of a level has none. On a page of level 1 and above the entries point to
// children; the first one has no key and stands for everything below the second.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cachefusion/page/page.h"
#include "cachefusion/page/page_change.h"
#include "cachefusion/page/table_page.h"

namespace pgquorum::fusion {

// The last bytes of a page.
struct IndexSpecial {
  uint32_t left;       // 0: none
  uint32_t right;      // 0: none
  uint32_t level;      // 0: leaf
  uint32_t next_free;  // of a deleted page: the next in the list of deleted pages; 0: none
  uint64_t stamp;      // of a deleted page: it is used again when the horizon has passed this
};
static_assert(sizeof(IndexSpecial) == 24);
inline constexpr std::size_t kIndexSpecialOffset = kPageBytes - sizeof(IndexSpecial);
static_assert(kIndexSpecialOffset % 8 == 0);

// PageHeader::flags
enum IndexFlag : uint16_t {
  kIndexMeta = 1,       // block 0
  kIndexSplitting = 2,  // the right neighbour came from a split and has no entry in the parent yet
  kIndexDeleted = 4,    // out of the tree; its right link still leads to where its range went
};

// Block 0, at kPageHeaderBytes.
struct IndexMeta {
  uint32_t version;
  uint32_t root;
  uint32_t level;       // of the root
  uint32_t blocks;      // of the segment, this one included
  uint32_t free_first;  // deleted pages, the one deleted first at the front; 0: none
  uint32_t free_last;
  uint32_t building;  // 1: a bulk build has not finished; there is no tree
};
static_assert(sizeof(IndexMeta) == 28);
inline constexpr uint32_t kIndexVersion = 1;
inline constexpr uint32_t kMaxIndexLevels = 10;

// An entry: u16 length of the key, the row's address, the key, zeros up to a multiple of 8, the
// payload. Keys and payloads therefore begin at multiples of 8.
struct IndexEntry {
  std::string_view key;
  RowAddress at;             // slot 0 in keys between pages that need no address to tell them apart
  std::string_view payload;  // leaf: INCLUDE columns; above: the child's block, u32
};

// Three entries and a high key always fit on a page, so every full page can be divided.
inline constexpr std::size_t kMaxIndexEntryBytes = 2696;
// Whether an entry with this key and payload may be stored, here and as a key between pages.
bool IndexEntryFits(std::size_t key_bytes, std::size_t payload_bytes);

std::string EncodeIndexEntry(std::string_view key, RowAddress at, std::string_view payload);
std::string EncodeChildEntry(std::string_view key, RowAddress at, uint32_t child);
// `bytes` are an entry's; the views point into them.
IndexEntry ParseIndexEntry(std::string_view bytes);

// Kind, bounds and level are such that the functions below stay inside the page as far as slots are
// right; FindIndexPageFault looks at those too. Not for block 0.
bool LooksLikeIndexPage(const char* page);
bool LooksLikeIndexMeta(const char* page);
// What is wrong with the page's inside, order aside; empty when nothing is.
std::string_view FindIndexPageFault(const char* page);

const IndexMeta& MetaOf(const char* page);
const IndexSpecial& SpecialOf(const char* page);
inline bool HasFlag(const char* page, IndexFlag flag) {
  return (HeaderOf(page).flags & flag) != 0;
}
unsigned EntryCount(const char* page);
bool HasHighKey(const char* page);
// `number`: 1 … EntryCount; 0 for the high key, when there is one.
IndexEntry EntryOn(const char* page, unsigned number);
std::string_view EntryBytesOn(const char* page, unsigned number);
// Nobody sees the row any more: the entry counts for nothing and may go when room is needed.
bool EntryIsGone(const char* page, unsigned number);
uint32_t ChildOn(const char* page, unsigned number);
// The entry that points to a child; 0: none.
unsigned EntryOfChild(const char* page, uint32_t child);
// The longest entry that InsertIndexEntry accepts.
std::size_t IndexRoom(const char* page);

// Changes. Entries are bytes made by EncodeIndexEntry or EncodeChildEntry.
void InsertIndexEntry(PageChange& change, unsigned number, std::string_view entry);
// `numbers` ascend. The bytes stay until the page is written anew.
void RemoveIndexEntries(PageChange& change, std::span<const unsigned> numbers);
void MarkEntriesGone(PageChange& change, std::span<const unsigned> numbers);
void SetIndexSpecial(PageChange& change, const IndexSpecial& special);
void FormatIndexMeta(PageChange& change, const IndexMeta& meta);
void SetIndexMeta(PageChange& change, const IndexMeta& meta);

// A whole page in private memory: what divides, fills or tidies pages puts their content together
// here, and writes it at once.
class IndexPageDraft {
 public:
  IndexPageDraft();

  // At most once. Empty: the last page of its level.
  void SetHighKey(std::string_view entry);
  bool HasRoomFor(std::size_t entry_bytes) const;
  void Add(std::string_view entry);
  std::size_t used_bytes() const;
  unsigned entries() const;
  void WriteTo(PageChange& change, const IndexSpecial& special, uint16_t flags) const;

 private:
  void Append(std::string_view entry);

  std::vector<char> image_;
  std::size_t lower_;
  std::size_t upper_ = kIndexSpecialOffset;
};

// What an entry costs on a page, slot included.
std::size_t IndexEntryCost(std::size_t entry_bytes);
inline constexpr std::size_t kIndexCapacity = kIndexSpecialOffset - kPageHeaderBytes;

}  // namespace pgquorum::fusion

#include "base/pure.h"
