// Pages of an index against hostile bytes: what FindIndexPageFault lets pass can be searched and
// changed without leaving the page, and stays without fault.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "base/check.h"
#include "cachefusion/index/key_order.h"
#include "cachefusion/index/page_copy.h"

#include "base/pure.h"

namespace pgquorum::fusion {
namespace {

class ByteOrder : public KeyOrder {
 public:
  int Compare(std::string_view search, std::string_view stored) override {
    return search.compare(stored);
  }
};

// A sound page that the input then spoils: random bytes alone would hardly ever be one.
void MakeSound(PageChange& change, uint32_t level) {
  IndexPageDraft draft;
  draft.SetHighKey(EncodeIndexEntry("melon", {}, {}));
  for (uint32_t i = 0; i < 12; ++i) {
    std::string key = i == 0 && level > 0 ? "" : std::string(1 + i * 3, static_cast<char>('a' + i));
    draft.Add(level > 0 ? EncodeChildEntry(key, RowAddress::Of(i, 1), i + 7)
                        : EncodeIndexEntry(key, RowAddress::Of(i, 1), key));
  }
  draft.WriteTo(change, {3, 4, level, 0, 0}, 0);
}

void Use(char* page) {
  ByteOrder order;
  KeyPosition position = KeyPosition::AtRow("dddddddddd", RowAddress::Of(3, 1));
  LiesBeyond(order, page, position);
  if (SpecialOf(page).level > 0) {
    EntryOfChild(page, 0);
    ChildOn(page, ChildEntryFor(order, page, position));
  } else {
    FirstNotBefore(order, page, position);
  }
  std::size_t bytes = 0;
  for (unsigned i = 1; i <= EntryCount(page); ++i) {
    bytes += EntryOn(page, i).key.size() + (EntryIsGone(page, i) ? 1 : 0);
  }
  PGQUORUM_CHECK(bytes <= kPageBytes);
  PageChange change(page);
  unsigned last = EntryCount(page);
  bool upper = SpecialOf(page).level > 0;
  if (last > 1) {
    RemoveIndexEntries(change, {&last, 1});
    PGQUORUM_CHECK(FindIndexPageFault(page).empty());
  }
  std::string entry = upper ? EncodeChildEntry("zz", {}, 5) : EncodeIndexEntry("zz", {}, "p");
  if (entry.size() <= IndexRoom(page)) {
    InsertIndexEntry(change, EntryCount(page) + 1, entry);
    PGQUORUM_CHECK(FindIndexPageFault(page).empty());
  }
}

}  // namespace
}  // namespace pgquorum::fusion

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, std::size_t size) {
  using namespace pgquorum::fusion;
  PageCopy page;
  std::memset(page.data(), 0, kPageBytes);
  if (size == 0) {
    return 0;
  }
  if ((bytes[0] & 1) != 0) {
    std::memcpy(page.data(), bytes, size < kPageBytes ? size : kPageBytes);
  } else {
    PageChange change(page.data());
    MakeSound(change, bytes[0] / 2 % 3);
    // Triples: where, and what to put there. Places near the header are likelier.
    for (std::size_t at = 1; at + 3 <= size; at += 3) {
      std::size_t place = static_cast<std::size_t>(bytes[at]) << 8 | bytes[at + 1];
      place = place < 0x8000 ? 4 + place % 160 : place % kPageBytes;
      page.data()[place] = static_cast<char>(bytes[at + 2]);
    }
  }
  if (FindIndexPageFault(page.data()).empty()) {
    Use(page.data());
  }
  return 0;
}
