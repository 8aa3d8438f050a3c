#include "cachefusion/page/table_page.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "base/random.h"

namespace pgquorum::fusion {
namespace {

std::string Version(uint64_t creator, std::size_t row_bytes, char fill) {
  VersionHeader header{};
  header.creator = creator;
  header.creator_command = 3;
  std::string bytes(reinterpret_cast<const char*>(&header), kVersionHeaderBytes);
  bytes.append(row_bytes, fill);
  return bytes;
}

std::string EmptyPage() {
  std::string page(kPageBytes, '\0');
  PageChange(page.data()).Format(PageKind::kTable);
  return page;
}

TEST(TablePage, HoldsTheLongestVersionAndNoLonger) {
  std::string page = EmptyPage();
  EXPECT_EQ(RoomFor(page.data()), kMaxVersionBytes);
  PageChange change(page.data());
  std::string longest = Version(1, kMaxVersionBytes - kVersionHeaderBytes, 'x');
  EXPECT_EQ(InsertVersion(change, longest), 1);
  EXPECT_EQ(VersionAt(page.data(), 1), longest);
  EXPECT_EQ(RoomFor(page.data()), 0u);
  EXPECT_EQ(FindTablePageFault(page.data()), "");
}

TEST(TablePage, BehavesLikeAMapUnderRandomChanges) {
  Random random(11);
  for (int round = 0; round < 60; ++round) {
    std::string page = EmptyPage();
    std::string replayed = page;
    std::map<SlotNumber, std::string> expected;
    for (int step = 0; step < 300; ++step) {
      PageChange change(page.data());
      uint64_t choice = random.Below(10);
      if (choice < 5) {
        std::string version = Version(random.Next(), random.Between(0, 400), 'a');
        if (version.size() > RoomFor(page.data())) {
          std::size_t promised = RoomAfterCompaction(page.data());
          Compact(change);
          ASSERT_EQ(RoomFor(page.data()), promised);
        } else {
          expected[InsertVersion(change, version)] = version;
        }
      } else if (!expected.empty()) {
        auto it = expected.begin();
        std::advance(it, static_cast<std::ptrdiff_t>(random.Below(expected.size())));
        if (choice < 8) {
          VersionHeader header = HeaderOfVersion(it->second);
          header.remover = random.Next();
          header.remover_command = 9;
          header.marks = 5;
          header.next = RowAddress::Of(70000, 3);
          SetRemover(change, it->first, header.remover, 9, 5, header.next);
          std::memcpy(it->second.data(), &header, kVersionHeaderBytes);
        } else {
          SlotNumber slot = it->first;
          RemoveVersions(change, {&slot, 1});
          expected.erase(it);
        }
      }
      ASSERT_TRUE(ApplyDelta(replayed.data(), change.delta()).ok());
      ASSERT_EQ(replayed, page);
      ASSERT_EQ(FindTablePageFault(page.data()), "");
    }
    for (SlotNumber slot = 0; slot <= kMaxSlots; ++slot) {
      auto it = expected.find(slot);
      EXPECT_EQ(VersionAt(page.data(), slot), it == expected.end() ? "" : it->second);
    }
  }
}

TEST(TablePage, RowAddressKeepsTheWholeBlockNumber) {
  EXPECT_EQ(RowAddress::Of(0xFFFFFFFE, 255).block(), 0xFFFFFFFE);
  EXPECT_EQ(RowAddress::Of(65536, 1).block(), 65536u);
}

TEST(TablePage, FindsFaults) {
  std::string page = EmptyPage();
  PageChange change(page.data());
  InsertVersion(change, Version(1, 10, 'x'));
  InsertVersion(change, Version(2, 10, 'y'));
  std::string overlap = page;
  std::memcpy(overlap.data() + kPageHeaderBytes, overlap.data() + kPageHeaderBytes + 4, 4);
  EXPECT_EQ(FindTablePageFault(overlap.data()), "versions overlap");
  std::string beyond = page;
  uint16_t length = 8000;
  std::memcpy(beyond.data() + kPageHeaderBytes + 2, &length, 2);
  EXPECT_EQ(FindTablePageFault(beyond.data()), "slot out of bounds");
}

}  // namespace
}  // namespace pgquorum::fusion
