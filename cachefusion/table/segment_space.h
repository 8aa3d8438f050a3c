// Which blocks a table's segment has, and where there is room.
//
//   block 0      header: how many blocks there are
//   block 1      map: a byte for each of the next kMapEntries blocks, its room in units of 32 bytes
//   blocks 2 …   rows; after kMapEntries of them the next map, and so on
//
// The map is a hint that may be wrong in both directions; whoever finds it wrong corrects it. Its
// changes go through the redo like all others, so a recovered map is as good as it was.
#pragma once

#include <cstdint>
#include <optional>

#include "base/status.h"
#include "cachefusion/storage/storage.h"

namespace pgquorum::fusion {

inline constexpr uint32_t kMapEntries = 8000;
inline constexpr std::size_t kRoomUnit = 32;
// Blocks are added in steps, so that the header is seldom changed; at most kMaxRedoPages - 3.
inline constexpr uint32_t kMaxBlocksAdded = 16;

class SegmentSpace {
 public:
  SegmentSpace(Storage& storage, uint64_t segment) : storage_(storage), segment_(segment) {}

  // Makes the segment: header and first map. It must not exist: kErrForeignStorage.
  Status Create();
  // With header and maps; 0 when the segment does not exist.
  Result<uint32_t> Blocks();
  static bool HoldsRows(uint32_t block) {
    return block != 0 && (block - 1) % (kMapEntries + 1) != 0;
  }
  static uint32_t MapOf(uint32_t block) {
    return 1 + (block - 1) / (kMapEntries + 1) * (kMapEntries + 1);
  }

  // A block that probably has room for `bytes`, looked for from `near` on in its map and then in
  // the map of `rotating`, which is moved on. No latch may be held by the caller.
  Result<std::optional<uint32_t>> Find(std::size_t bytes, uint32_t near, uint32_t& rotating);
  // The map says from now on what room the block has. The caller holds no latch.
  Status Note(uint32_t block, std::size_t room);
  // Adds empty blocks, more the larger the segment is; the first of them. The caller holds no
  // latch.
  Result<uint32_t> Extend();

 private:
  Result<std::optional<uint32_t>> FindInMap(std::size_t bytes, uint32_t near);

  Storage& storage_;
  uint64_t segment_;
};

}  // namespace pgquorum::fusion

#include "base/pure.h"
