// Values that are too long for their row's page, each in a chain of overflow pages in the table's
// segment. A chain is written before the row that refers to it and never changed; it goes with the
// last version that has it (TableStore::ChainsToFree), page by page.
//
// No step here is more than a few pages, so a caller may look for interrupts between two of them,
// and a crash may come between any two:
//   - a chain is written from its end; nothing refers to it before it is whole
//   - what a crash, an error or an abort leaves of it has a creator that never committed, and each
//     page says so by itself: TableStore::CollectDead gives such pages back
//   - a chain is freed from its second page on, its head last, and only while the head bears the
//     chain's serial: freeing it again does nothing
//
// Latches: one page at a time; when a chain is shortened its head and the next page, in the order
// of their blocks.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "cachefusion/page/overflow_page.h"
#include "cachefusion/page/table_page.h"
#include "cachefusion/table/segment_space.h"
#include "cachefusion/tx/word.h"

namespace pgquorum::fusion {

// A chain that is being written; plain, so that it outlives errors of PostgreSQL's.
struct ChainWriting {
  uint32_t head = 0;
  uint64_t serial = 0;
  uint32_t next = 0;     // the page behind the bytes that are still to be written
  std::size_t left = 0;  // how many these are
  bool done = false;
};

// Where a reader is.
struct ChainReading {
  uint32_t head = 0;
  uint32_t total = 0;   // what the reader expects the value to be long
  uint32_t block = 0;   // the next page; 0 before the first one and behind the last
  uint64_t serial = 0;  // once the head has been seen
  uint32_t at = 0;      // bytes before the next page
};

class OverflowStore {
 public:
  // `space`: of the same segment.
  OverflowStore(Storage& storage, uint64_t segment, SegmentSpace& space)
      : storage_(storage), segment_(segment), space_(space) {}

  // Writes at most `max_pages` more of `value`, which is 1 … 4294967295 bytes long; until
  // writing.done. `creator` writes the row as well.
  Status WriteSome(ChainWriting& writing, std::string_view value, TxWord creator,
                   std::size_t max_pages);
  // All of it.
  Result<ChainLink> Write(std::string_view value, TxWord creator);

  // Copies what at most `max_pages` more pages hold of the bytes `from` … `from + length` to `out`,
  // where byte `from` belongs. True: all of them are there. kErrDamaged when the chain is not, or
  // not whole.
  Result<bool> ReadSome(ChainReading& reading, uint32_t from, uint32_t length, char* out,
                        std::size_t max_pages);

  // Gives back at most `max_pages` of the chain's pages; true when there are no more.
  Result<bool> FreeSome(const ChainLink& chain, std::size_t max_pages);
  Status Free(const ChainLink& chain);

 private:
  // A page without rows, held.
  Result<PageGuard> TakeEmptyPage();
  Status WritePage(const OverflowHeader& header, std::string_view data, uint32_t& block);
  // False: the page is not of this chain (any more).
  Result<bool> FreeSecond(const ChainLink& chain, uint32_t second);
  Status MakeEmpty(PageGuard guard);

  Storage& storage_;
  uint64_t segment_;
  SegmentSpace& space_;
  uint32_t near_ = 0;      // where the last page was found
  uint32_t rotating_ = 0;  // SegmentSpace::Find
};

}  // namespace pgquorum::fusion

#include "base/pure.h"
