// A page of a table: versions of rows, found by slot number (1 …), which indexes point to.
//
//   header | slots, 4 bytes each, growing up | free | versions, growing down
//
// A version is a VersionHeader and the row's bytes. Slots of removed versions are used again, so a
// chain of versions is followed only after its links have been checked (tx/visibility.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "cachefusion/page/page.h"
#include "cachefusion/page/page_change.h"

namespace pgquorum::fusion {

using SlotNumber = uint16_t;  // 0: none

// Where a row's version is; the layout of PostgreSQL's ItemPointerData.
struct RowAddress {
  uint16_t block_high = 0;
  uint16_t block_low = 0;
  SlotNumber slot = 0;

  static RowAddress Of(uint32_t block, SlotNumber slot) {
    return {static_cast<uint16_t>(block >> 16), static_cast<uint16_t>(block), slot};
  }
  uint32_t block() const { return uint32_t{block_high} << 16 | block_low; }
  bool operator==(const RowAddress&) const = default;
};

// The fixed part of a version. Its tail has the layout of PostgreSQL's heap tuple header from
// t_ctid on, so the bytes of a version from kRowOffset on are a tuple that the executor takes as it
// is.
struct VersionHeader {
  uint64_t creator;  // who made it; a word of tx/word.h
  uint64_t remover;  // who removed or locks it; 0: nobody
  uint32_t creator_command;
  uint32_t remover_command;
  uint32_t marks;   // VersionMark bits
  RowAddress next;  // the version that replaced it; its own address when there is none
};
inline constexpr std::size_t kVersionHeaderBytes = 34;
// The executor's tuple begins here: what lies before is not part of it.
inline constexpr std::size_t kRowOffset = 16;
static_assert(offsetof(VersionHeader, creator_command) == kRowOffset);
static_assert(offsetof(VersionHeader, next) + sizeof(RowAddress) == kVersionHeaderBytes);
static_assert(sizeof(RowAddress) == 6);

// Longest version that an empty page holds.
inline constexpr std::size_t kMaxVersionBytes = kPageBytes - kPageHeaderBytes - 8;
inline constexpr SlotNumber kMaxSlots = 255;

// Bytes of a version, or an empty view for an unused slot or one beyond the page's.
std::string_view VersionAt(const char* page, SlotNumber slot);
// A copy: the structure is longer than a version need be.
VersionHeader HeaderOfVersion(std::string_view version);
SlotNumber SlotCount(const char* page);
// The longest version that Insert accepts.
std::size_t RoomFor(const char* page);
// RoomFor after Compact: counts the bytes that removed versions left behind.
std::size_t RoomAfterCompaction(const char* page);

// Stores a version; its length must be at most RoomFor(). `next` of a header that names no block is
// the caller's business: SetNext, once the address is known.
SlotNumber InsertVersion(PageChange& change, std::string_view version);
// Replaces parts of a version's header.
void SetRemover(PageChange& change, SlotNumber slot, uint64_t remover, uint32_t command,
                uint32_t marks, RowAddress next);
void SetCreator(PageChange& change, SlotNumber slot, uint64_t creator);
void SetNext(PageChange& change, SlotNumber slot, RowAddress next);
// The slots may be used again. The bytes stay until Compact.
void RemoveVersions(PageChange& change, std::span<const SlotNumber> slots);
// Gathers the free bytes; slot numbers stay. The redo holds moves, not bytes.
void Compact(PageChange& change);

// What is wrong with the page's inside; empty when nothing is.
std::string_view FindTablePageFault(const char* page);

}  // namespace pgquorum::fusion

#include "base/pure.h"
