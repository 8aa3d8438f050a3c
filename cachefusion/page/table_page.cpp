#include "cachefusion/page/table_page.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/check.h"

#include "base/pure.h"

namespace pgquorum::fusion {
namespace {

struct Slot {
  uint16_t offset;  // 0: unused
  uint16_t length;
};
static_assert(sizeof(Slot) == 4);

constexpr std::size_t kAlignment = 8;

std::size_t Aligned(std::size_t length) {
  return (length + kAlignment - 1) / kAlignment * kAlignment;
}

std::size_t SlotOffset(SlotNumber slot) {
  return kPageHeaderBytes + (std::size_t{slot} - 1) * sizeof(Slot);
}

const Slot* Slots(const char* page) {
  return reinterpret_cast<const Slot*>(page + kPageHeaderBytes);
}

const Slot& SlotAt(const char* page, SlotNumber slot) {
  PGQUORUM_CHECK(slot >= 1 && slot <= SlotCount(page));
  return Slots(page)[slot - 1];
}

// Asked before ChainListBytes, which takes it for granted.
bool ChainListFits(std::string_view version) {
  if ((HeaderOfVersion(version).marks & kVersionHasChains) == 0) {
    return true;
  }
  std::size_t room = version.size() - kVersionHeaderBytes;
  uint16_t count = 0;
  if (room < kChainCountBytes) {
    return false;
  }
  std::memcpy(&count, version.data() + version.size() - kChainCountBytes, sizeof(count));
  return count > 0 && count * sizeof(ChainLink) <= room - kChainCountBytes;
}

SlotNumber FirstUnused(const char* page) {
  SlotNumber count = SlotCount(page);
  for (SlotNumber i = 0; i < count; ++i) {
    if (Slots(page)[i].offset == 0) {
      return static_cast<SlotNumber>(i + 1);
    }
  }
  return 0;
}

std::size_t RoomIn(const char* page, std::size_t free_bytes) {
  bool reuse = FirstUnused(page) != 0;
  if (!reuse && SlotCount(page) == kMaxSlots) {
    return 0;
  }
  std::size_t slot_bytes = reuse ? 0 : sizeof(Slot);
  // Rounded down: versions are aligned.
  return free_bytes <= slot_bytes ? 0 : (free_bytes - slot_bytes) / kAlignment * kAlignment;
}

}  // namespace

SlotNumber SlotCount(const char* page) {
  return static_cast<SlotNumber>((HeaderOf(page).lower - kPageHeaderBytes) / sizeof(Slot));
}

std::string_view VersionAt(const char* page, SlotNumber slot) {
  if (slot == 0 || slot > SlotCount(page)) {
    return {};
  }
  const Slot& found = Slots(page)[slot - 1];
  return found.offset == 0 ? std::string_view()
                           : std::string_view(page + found.offset, found.length);
}

VersionHeader HeaderOfVersion(std::string_view version) {
  PGQUORUM_CHECK(version.size() >= kVersionHeaderBytes);
  VersionHeader header{};
  std::memcpy(static_cast<void*>(&header), version.data(), kVersionHeaderBytes);
  return header;
}

std::size_t ChainListBytes(std::string_view version) {
  if ((HeaderOfVersion(version).marks & kVersionHasChains) == 0) {
    return 0;
  }
  uint16_t count = 0;
  std::memcpy(&count, version.data() + version.size() - kChainCountBytes, sizeof(count));
  std::size_t bytes = count * sizeof(ChainLink) + kChainCountBytes;
  PGQUORUM_CHECK(bytes <= version.size() - kVersionHeaderBytes);
  return bytes;
}

std::vector<ChainLink> ChainsOf(std::string_view version) {
  std::size_t bytes = ChainListBytes(version);
  std::vector<ChainLink> chains(bytes / sizeof(ChainLink));
  if (!chains.empty()) {
    std::memcpy(chains.data(), version.data() + version.size() - bytes,
                chains.size() * sizeof(ChainLink));
  }
  return chains;
}

std::string ChainList(std::span<const ChainLink> chains) {
  std::string bytes(reinterpret_cast<const char*>(chains.data()), chains.size_bytes());
  auto count = static_cast<uint16_t>(chains.size());
  bytes.append(reinterpret_cast<const char*>(&count), sizeof(count));
  return bytes;
}

void SetChainFlags(PageChange& change, SlotNumber slot, std::size_t index, uint16_t flags) {
  const Slot& found = SlotAt(change.page(), slot);
  std::size_t bytes = ChainListBytes(VersionAt(change.page(), slot));
  PGQUORUM_CHECK((index + 1) * sizeof(ChainLink) <= bytes);
  change.Put(
      found.offset + found.length - bytes + index * sizeof(ChainLink) + offsetof(ChainLink, flags),
      flags);
}

bool HoldsNoVersion(const char* page) {
  const Slot* slots = Slots(page);
  return std::all_of(slots, slots + SlotCount(page),
                     [](const Slot& slot) { return slot.offset == 0; });
}

std::size_t RoomFor(const char* page) {
  return RoomIn(page, std::size_t{HeaderOf(page).upper} - HeaderOf(page).lower);
}

std::size_t RoomAfterCompaction(const char* page) {
  std::size_t used = 0;
  for (SlotNumber i = 0; i < SlotCount(page); ++i) {
    used += Slots(page)[i].offset == 0 ? 0 : Aligned(Slots(page)[i].length);
  }
  return RoomIn(page, std::size_t{HeaderOf(page).special} - HeaderOf(page).lower - used);
}

SlotNumber InsertVersion(PageChange& change, std::string_view version) {
  const char* page = change.page();
  PGQUORUM_CHECK(version.size() >= kVersionHeaderBytes && version.size() <= RoomFor(page));
  SlotNumber slot = FirstUnused(page);
  if (slot == 0) {
    slot = static_cast<SlotNumber>(SlotCount(page) + 1);
    change.SetLower(HeaderOf(page).lower + sizeof(Slot));
  }
  std::size_t offset = HeaderOf(page).upper - Aligned(version.size());
  change.SetUpper(offset);
  change.Write(offset, version);
  change.Put(SlotOffset(slot),
             Slot{static_cast<uint16_t>(offset), static_cast<uint16_t>(version.size())});
  return slot;
}

void SetRemover(PageChange& change, SlotNumber slot, uint64_t remover, uint32_t command,
                uint32_t marks, RowAddress next) {
  std::size_t at = SlotAt(change.page(), slot).offset;
  PGQUORUM_CHECK(at != 0);
  uint32_t kept = HeaderOfVersion(VersionAt(change.page(), slot)).marks;
  change.Put(at + offsetof(VersionHeader, remover), remover);
  struct Tail {
    uint32_t command;
    uint32_t marks;
    RowAddress next;
  } tail{command, (marks & ~kVersionHasChains) | (kept & kVersionHasChains), next};
  change.Write(at + offsetof(VersionHeader, remover_command),
               std::string_view(reinterpret_cast<const char*>(&tail), 8 + sizeof(RowAddress)));
}

void SetCreator(PageChange& change, SlotNumber slot, uint64_t creator) {
  std::size_t at = SlotAt(change.page(), slot).offset;
  PGQUORUM_CHECK(at != 0);
  change.Put(at + offsetof(VersionHeader, creator), creator);
}

void SetNext(PageChange& change, SlotNumber slot, RowAddress next) {
  std::size_t at = SlotAt(change.page(), slot).offset;
  PGQUORUM_CHECK(at != 0);
  change.Put(at + offsetof(VersionHeader, next), next);
}

void RemoveVersions(PageChange& change, std::span<const SlotNumber> slots) {
  for (SlotNumber slot : slots) {
    PGQUORUM_CHECK(SlotAt(change.page(), slot).offset != 0);
    change.Put(SlotOffset(slot), Slot{0, 0});
  }
}

void Compact(PageChange& change) {
  const char* page = change.page();
  std::array<SlotNumber, kMaxSlots> used{};
  std::size_t count = 0;
  for (SlotNumber i = 1; i <= SlotCount(page); ++i) {
    if (Slots(page)[i - 1].offset != 0) {
      used[count++] = i;
    }
  }
  // From the page's end downwards, so that no move runs over a version that has not moved yet.
  std::sort(used.begin(), used.begin() + static_cast<std::ptrdiff_t>(count),
            [&](SlotNumber a, SlotNumber b) {
              return Slots(page)[a - 1].offset > Slots(page)[b - 1].offset;
            });
  std::size_t end = HeaderOf(page).special;
  for (std::size_t i = 0; i < count; ++i) {
    Slot slot = Slots(page)[used[i] - 1];
    end -= Aligned(slot.length);
    if (end != slot.offset) {
      change.Move(end, slot.offset, slot.length);
      change.Put(SlotOffset(used[i]), Slot{static_cast<uint16_t>(end), slot.length});
    }
  }
  change.SetUpper(end);
}

std::string_view FindTablePageFault(const char* page) {
  const PageHeader& header = HeaderOf(page);
  if (header.kind != PageKind::kTable) {
    return "not a table page";
  }
  if (header.lower < kPageHeaderBytes || header.lower > header.upper ||
      header.upper > header.special || header.special > kPageBytes) {
    return "free space out of bounds";
  }
  if ((header.lower - kPageHeaderBytes) % sizeof(Slot) != 0 || SlotCount(page) > kMaxSlots) {
    return "wrong number of slots";
  }
  std::array<Slot, kMaxSlots> used{};
  std::size_t count = 0;
  for (SlotNumber i = 0; i < SlotCount(page); ++i) {
    const Slot& slot = Slots(page)[i];
    if (slot.offset == 0) {
      continue;
    }
    if (slot.offset % kAlignment != 0 || slot.offset < header.upper ||
        slot.length < kVersionHeaderBytes || slot.offset + slot.length > header.special) {
      return "slot out of bounds";
    }
    if (!ChainListFits(std::string_view(page + slot.offset, slot.length))) {
      return "list of chains out of bounds";
    }
    used[count++] = slot;
  }
  std::sort(used.begin(), used.begin() + static_cast<std::ptrdiff_t>(count),
            [](const Slot& a, const Slot& b) { return a.offset < b.offset; });
  for (std::size_t i = 1; i < count; ++i) {
    if (used[i - 1].offset + used[i - 1].length > used[i].offset) {
      return "versions overlap";
    }
  }
  return {};
}

}  // namespace pgquorum::fusion
