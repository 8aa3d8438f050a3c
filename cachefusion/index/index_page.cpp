#include "cachefusion/index/index_page.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

#include "base/pure.h"

namespace pgquorum::fusion {
namespace {

struct Slot {
  uint16_t offset;  // 0: the high key of the last page of a level
  uint16_t length;  // the highest bit: kGone
};
static_assert(sizeof(Slot) == 4);
constexpr uint16_t kGone = 0x8000;

struct EntryHead {
  uint16_t key_length;
  RowAddress at;
};
static_assert(sizeof(EntryHead) == 8);

constexpr std::size_t Aligned(std::size_t length) {
  return (length + 7) / 8 * 8;
}

constexpr std::size_t PayloadOffset(std::size_t key_bytes) {
  return Aligned(sizeof(EntryHead) + key_bytes);
}

constexpr std::size_t SlotOffset(unsigned number) {
  return kPageHeaderBytes + number * sizeof(Slot);
}

const Slot* Slots(const char* page) {
  return reinterpret_cast<const Slot*>(page + kPageHeaderBytes);
}

std::size_t LengthOf(const Slot& slot) {
  return slot.length & ~kGone;
}

const Slot& SlotAt(const char* page, unsigned number) {
  PGQUORUM_CHECK(number <= EntryCount(page));
  const Slot& slot = Slots(page)[number];
  PGQUORUM_CHECK(slot.offset != 0);
  return slot;
}

template <typename T>
std::string_view BytesOf(const T& value) {
  return std::string_view(reinterpret_cast<const char*>(&value), sizeof(T));
}

bool SlotIsRight(const char* page, const Slot& slot) {
  std::size_t length = LengthOf(slot);
  if (slot.offset % 8 != 0 || slot.offset < HeaderOf(page).upper || length < sizeof(EntryHead) ||
      slot.offset + length > kIndexSpecialOffset) {
    return false;
  }
  EntryHead head;
  std::memcpy(static_cast<void*>(&head), page + slot.offset, sizeof(head));
  return PayloadOffset(head.key_length) <= length;
}

}  // namespace

static_assert(3 * (kMaxIndexEntryBytes + sizeof(Slot)) + sizeof(Slot) <= kIndexCapacity);

std::size_t IndexEntryCost(std::size_t entry_bytes) {
  return Aligned(entry_bytes) + sizeof(Slot);
}

bool IndexEntryFits(std::size_t key_bytes, std::size_t payload_bytes) {
  return key_bytes <= kMaxIndexEntryBytes && payload_bytes <= kMaxIndexEntryBytes &&
         PayloadOffset(key_bytes) + std::max<std::size_t>(8, Aligned(payload_bytes)) <=
             kMaxIndexEntryBytes;
}

std::string EncodeIndexEntry(std::string_view key, RowAddress at, std::string_view payload) {
  PGQUORUM_CHECK(IndexEntryFits(key.size(), payload.size()));
  EntryHead head{static_cast<uint16_t>(key.size()), at};
  std::string bytes(BytesOf(head));
  bytes.append(key);
  bytes.resize(PayloadOffset(key.size()));
  bytes.append(payload);
  return bytes;
}

std::string EncodeChildEntry(std::string_view key, RowAddress at, uint32_t child) {
  return EncodeIndexEntry(key, at, BytesOf(child));
}

const IndexMeta& MetaOf(const char* page) {
  return *reinterpret_cast<const IndexMeta*>(page + kPageHeaderBytes);
}

const IndexSpecial& SpecialOf(const char* page) {
  return *reinterpret_cast<const IndexSpecial*>(page + kIndexSpecialOffset);
}

unsigned EntryCount(const char* page) {
  return static_cast<unsigned>((HeaderOf(page).lower - kPageHeaderBytes) / sizeof(Slot)) - 1;
}

bool HasHighKey(const char* page) {
  return Slots(page)[0].offset != 0;
}

std::string_view EntryBytesOn(const char* page, unsigned number) {
  const Slot& slot = SlotAt(page, number);
  return std::string_view(page + slot.offset, LengthOf(slot));
}

IndexEntry ParseIndexEntry(std::string_view bytes) {
  EntryHead head;
  std::memcpy(static_cast<void*>(&head), bytes.data(), sizeof(head));
  return {bytes.substr(sizeof(head), head.key_length), head.at,
          bytes.substr(PayloadOffset(head.key_length))};
}

IndexEntry EntryOn(const char* page, unsigned number) {
  return ParseIndexEntry(EntryBytesOn(page, number));
}

bool EntryIsGone(const char* page, unsigned number) {
  return (SlotAt(page, number).length & kGone) != 0;
}

uint32_t ChildOn(const char* page, unsigned number) {
  std::string_view payload = EntryOn(page, number).payload;
  PGQUORUM_CHECK(payload.size() == sizeof(uint32_t));
  uint32_t child;
  std::memcpy(&child, payload.data(), sizeof(child));
  return child;
}

unsigned EntryOfChild(const char* page, uint32_t child) {
  for (unsigned i = 1; i <= EntryCount(page); ++i) {
    if (ChildOn(page, i) == child) {
      return i;
    }
  }
  return 0;
}

std::size_t IndexRoom(const char* page) {
  std::size_t free_bytes = std::size_t{HeaderOf(page).upper} - HeaderOf(page).lower;
  return free_bytes < sizeof(Slot) ? 0 : (free_bytes - sizeof(Slot)) / 8 * 8;
}

bool LooksLikeIndexPage(const char* page) {
  const PageHeader& header = HeaderOf(page);
  return header.kind == PageKind::kBtree && (header.flags & kIndexMeta) == 0 &&
         header.special == kIndexSpecialOffset && header.upper <= kIndexSpecialOffset &&
         header.lower <= header.upper && header.lower >= SlotOffset(1) &&
         (header.lower - kPageHeaderBytes) % sizeof(Slot) == 0 &&
         SpecialOf(page).level < kMaxIndexLevels &&
         (SpecialOf(page).level == 0 || EntryCount(page) > 0);
}

bool LooksLikeIndexMeta(const char* page) {
  const PageHeader& header = HeaderOf(page);
  return header.kind == PageKind::kBtree && header.flags == kIndexMeta &&
         MetaOf(page).level < kMaxIndexLevels;
}

std::string_view FindIndexPageFault(const char* page) {
  if (!LooksLikeIndexPage(page)) {
    return "no page of an index";
  }
  const IndexSpecial& special = SpecialOf(page);
  std::vector<Slot> used;
  for (unsigned i = 0; i <= EntryCount(page); ++i) {
    const Slot& slot = Slots(page)[i];
    if (i == 0 && slot.offset == 0 && slot.length == 0) {
      continue;
    }
    if (!SlotIsRight(page, slot)) {
      return "entry out of bounds";
    }
    std::size_t payload = EntryOn(page, i).payload.size();
    if (i == 0 ? payload != 0 : special.level > 0 && payload != sizeof(uint32_t)) {
      return "entry of a wrong form";
    }
    used.push_back(slot);
  }
  std::sort(used.begin(), used.end(),
            [](const Slot& a, const Slot& b) { return a.offset < b.offset; });
  for (std::size_t i = 1; i < used.size(); ++i) {
    if (used[i - 1].offset + LengthOf(used[i - 1]) > used[i].offset) {
      return "entries overlap";
    }
  }
  if (HasFlag(page, kIndexDeleted)) {
    return {};
  }
  if (HasHighKey(page) != (special.right != 0)) {
    return "a high key without a right neighbour, or a right neighbour without";
  }
  if (special.level > 0 && !EntryOn(page, 1).key.empty()) {
    return "a page above the leaves does not begin with everything";
  }
  return {};
}

void InsertIndexEntry(PageChange& change, unsigned number, std::string_view entry) {
  const char* page = change.page();
  PGQUORUM_CHECK(entry.size() <= IndexRoom(page) && number >= 1 && number <= EntryCount(page) + 1);
  std::size_t lower = HeaderOf(page).lower;
  std::size_t offset = HeaderOf(page).upper - Aligned(entry.size());
  std::size_t slot = SlotOffset(number);
  if (slot < lower) {
    change.Move(slot + sizeof(Slot), slot, lower - slot);
  }
  change.Write(offset, entry);
  change.Put(slot, Slot{static_cast<uint16_t>(offset), static_cast<uint16_t>(entry.size())});
  change.SetLower(lower + sizeof(Slot));
  change.SetUpper(offset);
}

void RemoveIndexEntries(PageChange& change, std::span<const unsigned> numbers) {
  const char* page = change.page();
  std::vector<Slot> kept;
  std::size_t next = 0;
  unsigned count = EntryCount(page);
  unsigned first = numbers.empty() ? count + 1 : numbers[0];
  for (unsigned i = first; i <= count; ++i) {
    if (next < numbers.size() && numbers[next] == i) {
      ++next;
    } else {
      kept.push_back(Slots(page)[i]);
    }
  }
  PGQUORUM_CHECK(next == numbers.size());
  if (!kept.empty()) {
    change.Write(SlotOffset(first),
                 {reinterpret_cast<const char*>(kept.data()), kept.size() * sizeof(Slot)});
  }
  change.SetLower(SlotOffset(first) + kept.size() * sizeof(Slot));
}

void MarkEntriesGone(PageChange& change, std::span<const unsigned> numbers) {
  for (unsigned number : numbers) {
    Slot slot = SlotAt(change.page(), number);
    slot.length |= kGone;
    change.Put(SlotOffset(number), slot);
  }
}

void SetIndexSpecial(PageChange& change, const IndexSpecial& special) {
  change.Put(kIndexSpecialOffset, special);
}

void FormatIndexMeta(PageChange& change, const IndexMeta& meta) {
  change.Format(PageKind::kBtree);
  change.SetFlags(kIndexMeta);
  SetIndexMeta(change, meta);
}

void SetIndexMeta(PageChange& change, const IndexMeta& meta) {
  change.Put(kPageHeaderBytes, meta);
}

IndexPageDraft::IndexPageDraft() : image_(kPageBytes), lower_(SlotOffset(1)) {}

void IndexPageDraft::Append(std::string_view entry) {
  upper_ -= Aligned(entry.size());
  std::memcpy(image_.data() + upper_, entry.data(), entry.size());
}

void IndexPageDraft::SetHighKey(std::string_view entry) {
  if (!entry.empty()) {
    PGQUORUM_CHECK(lower_ + Aligned(entry.size()) <= upper_);
    Append(entry);
    Slot slot{static_cast<uint16_t>(upper_), static_cast<uint16_t>(entry.size())};
    std::memcpy(image_.data() + SlotOffset(0), &slot, sizeof(slot));
  }
}

bool IndexPageDraft::HasRoomFor(std::size_t entry_bytes) const {
  return lower_ + IndexEntryCost(entry_bytes) <= upper_;
}

void IndexPageDraft::Add(std::string_view entry) {
  PGQUORUM_CHECK(HasRoomFor(entry.size()));
  Append(entry);
  Slot slot{static_cast<uint16_t>(upper_), static_cast<uint16_t>(entry.size())};
  std::memcpy(image_.data() + lower_, &slot, sizeof(slot));
  lower_ += sizeof(Slot);
}

std::size_t IndexPageDraft::used_bytes() const {
  return lower_ - kPageHeaderBytes + kIndexSpecialOffset - upper_;
}

unsigned IndexPageDraft::entries() const {
  return static_cast<unsigned>((lower_ - SlotOffset(1)) / sizeof(Slot));
}

void IndexPageDraft::WriteTo(PageChange& change, const IndexSpecial& special,
                             uint16_t flags) const {
  change.Format(PageKind::kBtree, sizeof(IndexSpecial));
  change.SetFlags(flags);
  change.Write(kPageHeaderBytes, {image_.data() + kPageHeaderBytes, lower_ - kPageHeaderBytes});
  if (upper_ < kIndexSpecialOffset) {
    change.Write(upper_, {image_.data() + upper_, kIndexSpecialOffset - upper_});
  }
  change.SetLower(lower_);
  change.SetUpper(upper_);
  SetIndexSpecial(change, special);
}

}  // namespace pgquorum::fusion
