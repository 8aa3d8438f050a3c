#include "cachefusion/table/segment_space.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/storage/errors.h"
#include "cachefusion/page/table_page.h"

#include "base/pure.h"

namespace pgquorum::fusion {
namespace {

// The header page's content.
constexpr std::size_t kBlocksOffset = kPageHeaderBytes;

static_assert(kPageHeaderBytes + kMapEntries <= kPageBytes);
static_assert(kMaxBlocksAdded + 3 <= kMaxRedoPages);

// Rounded down: what the map promises is there.
uint8_t UnitsOf(std::size_t room) {
  return static_cast<uint8_t>(std::min<std::size_t>(room / kRoomUnit, UINT8_MAX));
}

std::size_t EntryOffset(uint32_t block) {
  return kPageHeaderBytes + (block - SegmentSpace::MapOf(block) - 1);
}

uint32_t BlocksOn(const PageGuard& header) {
  uint32_t blocks = 0;
  std::memcpy(&blocks, header.page() + kBlocksOffset, sizeof(blocks));
  return blocks;
}

}  // namespace

Status SegmentSpace::Create() {
  Result<PageGuard> header = storage_.pages().Fetch({segment_, 0}, LatchMode::kExclusive);
  if (!header.ok()) {
    return header.status();
  }
  if (header.value().formatted()) {
    return Status::Error(kErrForeignStorage, "fusion segment exists already");
  }
  Result<PageGuard> map = storage_.pages().Fetch({segment_, 1}, LatchMode::kExclusive);
  if (!map.ok()) {
    return map.status();
  }
  Mutation mutation(storage_.pages(), 0);
  PageChange& change = mutation.Change(header.value());
  change.Format(PageKind::kSegmentHeader);
  change.Put(kBlocksOffset, uint32_t{2});
  mutation.Change(map.value()).Format(PageKind::kFreeSpace);
  return mutation.Commit().status();
}

Result<uint32_t> SegmentSpace::Blocks() {
  Result<PageGuard> header = storage_.pages().Fetch({segment_, 0}, LatchMode::kShared);
  return header.ok() ? Result<uint32_t>(BlocksOn(header.value())) : header.status();
}

Result<std::optional<uint32_t>> SegmentSpace::FindInMap(std::size_t bytes, uint32_t near) {
  uint32_t map = MapOf(near);
  Result<PageGuard> guard = storage_.pages().Fetch({segment_, map}, LatchMode::kShared);
  if (!guard.ok()) {
    return guard.status();
  }
  if (guard.value().header().kind != PageKind::kFreeSpace) {
    return std::optional<uint32_t>();
  }
  // Rounded up: the room is at least what is needed.
  auto units =
      static_cast<uint8_t>(std::min<std::size_t>((bytes + kRoomUnit - 1) / kRoomUnit, UINT8_MAX));
  const auto* entries = reinterpret_cast<const uint8_t*>(guard.value().page() + kPageHeaderBytes);
  uint32_t start = near == map ? 0 : near - map - 1;
  for (uint32_t i = 0; i < kMapEntries; ++i) {
    uint32_t entry = (start + i) % kMapEntries;
    if (entries[entry] >= units) {
      return std::optional<uint32_t>(map + 1 + entry);
    }
  }
  return std::optional<uint32_t>();
}

Result<std::optional<uint32_t>> SegmentSpace::Find(std::size_t bytes, uint32_t near,
                                                   uint32_t& rotating) {
  Result<uint32_t> blocks = Blocks();
  if (!blocks.ok()) {
    return blocks.status();
  }
  near = near < 2 || near >= blocks.value() ? 2 : near;
  Result<std::optional<uint32_t>> found = FindInMap(bytes, near);
  if (!found.ok() || found.value()) {
    return found;
  }
  uint32_t maps = (blocks.value() - 2) / (kMapEntries + 1) + 1;
  rotating = (rotating + 1) % maps;
  uint32_t other = 1 + rotating * (kMapEntries + 1);
  return other == MapOf(near) ? found : FindInMap(bytes, other);
}

Status SegmentSpace::Note(uint32_t block, std::size_t room) {
  PageId map{segment_, MapOf(block)};
  uint8_t units = UnitsOf(room);
  {
    Result<PageGuard> guard = storage_.pages().Fetch(map, LatchMode::kShared);
    if (!guard.ok()) {
      return guard.status();
    }
    if (static_cast<uint8_t>(guard.value().page()[EntryOffset(block)]) == units) {
      return Status::Ok();
    }
  }
  Result<PageGuard> guard = storage_.pages().Fetch(map, LatchMode::kExclusive);
  if (!guard.ok()) {
    return guard.status();
  }
  Mutation mutation(storage_.pages(), 0);
  mutation.Change(guard.value()).Put(EntryOffset(block), units);
  return mutation.Commit().status();
}

Result<uint32_t> SegmentSpace::Extend() {
  Result<PageGuard> header = storage_.pages().Fetch({segment_, 0}, LatchMode::kExclusive);
  if (!header.ok()) {
    return header.status();
  }
  uint32_t blocks = BlocksOn(header.value());
  if (blocks == 0) {
    return Status::Error(kErrDamaged, "fusion segment has no header");
  }
  uint32_t first = HoldsRows(blocks) ? blocks : blocks + 1;
  if (first > UINT32_MAX - 2 * kMaxBlocksAdded) {
    return Status::Error("54000", "fusion table has reached its largest size");
  }
  // Not beyond the map that the first of them belongs to: all are new in one record.
  uint32_t add = std::clamp<uint32_t>(blocks / 8, 1, kMaxBlocksAdded);
  add = std::min(add, MapOf(first) + kMapEntries + 1 - first);
  std::vector<PageGuard> guards;  // the map first: ascending, as the latch order demands
  for (uint32_t block = MapOf(first); guards.size() <= add;
       block = block < first ? first : block + 1) {
    Result<PageGuard> guard = storage_.pages().Fetch({segment_, block}, LatchMode::kExclusive);
    if (!guard.ok()) {
      return guard.status();
    }
    guards.push_back(std::move(guard).value());
  }
  Mutation mutation(storage_.pages(), 0);
  PageChange& map = mutation.Change(guards[0]);
  if (!guards[0].formatted()) {
    map.Format(PageKind::kFreeSpace);
  }
  for (std::size_t i = 1; i < guards.size(); ++i) {
    PageChange& change = mutation.Change(guards[i]);
    change.Format(PageKind::kTable);
    // The first is the caller's, who fills it; the others are for everybody.
    map.Put(EntryOffset(guards[i].id().block),
            i == 1 ? uint8_t{0} : UnitsOf(RoomFor(change.page())));
  }
  mutation.Change(header.value()).Put(kBlocksOffset, first + add);
  Status status = mutation.Commit().status();
  return status.ok() ? Result<uint32_t>(first) : status;
}

}  // namespace pgquorum::fusion
