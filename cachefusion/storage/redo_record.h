// One record of the redo: what one atomic change did to up to kMaxRedoPages pages, or the removal
// of a segment. A record names its own place in the stream and the thread it belongs to, and both
// are part of its checksum: bytes of an earlier use of the file never verify.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "cachefusion/types.h"

namespace pgquorum::fusion {

enum class RedoType : uint8_t {
  kPages = 1,
  kRemoveSegment = 2,  // everything that earlier records did to the segment is void
};

inline constexpr std::size_t kMaxRedoPages = 32;
// u32 length, u32 checksum, u64 incarnation, u64 address, u64 transaction, u8 type, u8 pages, u16 0
inline constexpr std::size_t kRedoHeaderBytes = 36;
// u64 segment, u32 block, u64 psn before, u32 length, then the delta
inline constexpr std::size_t kRedoPageBytes = 24;

struct RedoPage {
  PageId id;
  Psn psn_before;  // the change makes it psn_before + 1
  std::string_view delta;
};

struct RedoRecord {
  RedoType type = RedoType::kPages;
  Incarnation incarnation;
  RedoAddress address;
  uint64_t transaction = 0;  // 0: none
  std::size_t pages = 0;
  std::array<RedoPage, kMaxRedoPages> page;
  uint64_t segment = 0;  // kRemoveSegment
};

// The record without its place: incarnation and address are filled in by SealRecord.
std::string EncodeRecord(const RedoRecord& record);
// Places a record at `address`; its bytes stay as long as they were.
void SealRecord(std::string& bytes, Incarnation incarnation, RedoAddress address);
// Views point into `bytes`. kErrDamaged when they do not verify for this thread and place.
Result<RedoRecord> DecodeRecord(std::string_view bytes, Incarnation incarnation,
                                RedoAddress address);
// The length that the bytes claim, 0 when it is impossible. Needs the first four bytes.
std::size_t ClaimedLength(std::string_view bytes);

}  // namespace pgquorum::fusion

#include "base/pure.h"
