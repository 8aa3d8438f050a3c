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
#include <string>
#include <string_view>
#include <vector>

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

// VersionHeader::marks: the version ends with a list of chains. Said when it is inserted, and kept
// by all that changes marks.
inline constexpr uint32_t kVersionHasChains = uint32_t{1} << 31;

// A value of the row that lies in a chain of overflow pages (table/overflow_store.h). The list is
// the version's end: links of 16 bytes, then their number in two. So who removes a version need
// know nothing of rows.
struct ChainLink {
  uint64_t serial;
  uint32_t head;   // the chain's first block
  uint16_t place;  // its owner's: where in the version the row refers to it
  uint16_t flags;  // ChainFlag bits
};
static_assert(sizeof(ChainLink) == 16);

// A chain is shared by the versions of a row that did not change its value; it goes with the last.
enum ChainFlag : uint16_t {
  kChainBorrowed = 1,  // the version that this one replaced had it before
  kChainPassedOn = 2,  // what replaced this version has it too; counts if the remover committed
};
inline constexpr std::size_t kChainCountBytes = sizeof(uint16_t);

// Longest version that an empty page holds.
inline constexpr std::size_t kMaxVersionBytes = kPageBytes - kPageHeaderBytes - 8;
inline constexpr SlotNumber kMaxSlots = 255;

// Bytes of a version, or an empty view for an unused slot or one beyond the page's.
std::string_view VersionAt(const char* page, SlotNumber slot);
// A copy: the structure is longer than a version need be.
VersionHeader HeaderOfVersion(std::string_view version);
SlotNumber SlotCount(const char* page);
// How many bytes at its end are the list of chains; 0 for a version without one.
std::size_t ChainListBytes(std::string_view version);
std::vector<ChainLink> ChainsOf(std::string_view version);
// The list as InsertVersion wants it at the end of a version with kVersionHasChains.
std::string ChainList(std::span<const ChainLink> chains);
// The longest version that Insert accepts.
std::size_t RoomFor(const char* page);
// RoomFor after Compact: counts the bytes that removed versions left behind.
std::size_t RoomAfterCompaction(const char* page);

// Stores a version; its length must be at most RoomFor(). `next` of a header that names no block is
// the caller's business: SetNext, once the address is known.
SlotNumber InsertVersion(PageChange& change, std::string_view version);
// `index`: in the version's list of chains.
void SetChainFlags(PageChange& change, SlotNumber slot, std::size_t index, uint16_t flags);
// Nothing but slots that are not used.
bool HoldsNoVersion(const char* page);
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
