// A page of shared storage: header, checksum, and what kinds there are. The bytes are specified in
// docs/design/0006-fusion-storage.md; golden files in testdata/ hold them still.
//
// Pages are plain bytes in shared memory and on disk, in the machine's order, which must be little
// endian. They are changed through PageChange (page_change.h) only, so that what the redo repeats
// is what was done.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "cachefusion/types.h"

namespace pgquorum::fusion {

static_assert(std::endian::native == std::endian::little);

inline constexpr std::size_t kPageBytes = 8192;
// What is written. Pages of version 1 are read as they are: they have no versions with chains, and
// no overflow pages. They become version 2 when they are changed.
inline constexpr uint8_t kPageFormatVersion = 2;
inline constexpr uint8_t kOldestPageFormatVersion = 1;

enum class PageKind : uint8_t {
  kNone = 0,  // never formatted
  kSegmentHeader = 1,
  kTable = 2,
  kFreeSpace = 3,
  kTransactions = 4,
  kOverflow = 5,
  kBtree = 6,
};

struct PageHeader {
  uint32_t crc;     // CRC-32C of everything behind it; valid on disk only
  uint8_t version;  // kPageFormatVersion or an older one; 0: never formatted
  PageKind kind;
  uint16_t flags;             // meaning depends on the kind
  uint64_t psn;               // plus 1 with every change
  uint64_t redo_incarnation;  // redo thread of the last change
  uint64_t redo_address;      // end of its record: the thread must be durable up to here before
                              // the page is written
  uint64_t segment;           // where the page belongs, so that a misplaced write is noticed
  uint32_t block;
  uint16_t lower;    // first free byte
  uint16_t upper;    // first byte behind the free ones
  uint16_t special;  // start of the kind's own area at the end of the page
  uint16_t reserved[3];
};
static_assert(sizeof(PageHeader) == 56);
static_assert(offsetof(PageHeader, psn) == 8);
static_assert(offsetof(PageHeader, lower) == 44);

inline constexpr std::size_t kPageHeaderBytes = sizeof(PageHeader);

inline PageHeader& HeaderOf(char* page) {
  return *reinterpret_cast<PageHeader*>(page);
}
inline const PageHeader& HeaderOf(const char* page) {
  return *reinterpret_cast<const PageHeader*>(page);
}

enum class PageCheck : uint8_t {
  kValid = 0,
  kEmpty = 1,    // all zero: never written
  kDamaged = 2,  // checksum, version or place is wrong: torn, misplaced or rotten
};

// Computes the checksum of a page that is about to be written.
void SealPage(char* page);
PageCheck CheckPage(const char* page, PageId id);

}  // namespace pgquorum::fusion

#include "base/pure.h"
