#include "cachefusion/page/overflow_page.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "base/test/golden.h"
#include "cachefusion/page/table_page.h"

namespace pgquorum::fusion {
namespace {

constexpr PageId kPlace{0x500004001, 7};

struct Page {
  Page() : bytes(kPageBytes) {}
  char* data() { return bytes.data(); }
  // What a Mutation sets.
  void Place() {
    HeaderOf(data()).version = kPageFormatVersion;
    HeaderOf(data()).segment = kPlace.segment;
    HeaderOf(data()).block = kPlace.block;
    HeaderOf(data()).psn = 3;
    SealPage(data());
  }
  std::vector<char> bytes;
};

std::string Golden(const std::string& name) {
  return GoldenFile("cachefusion/page/testdata/" + name);
}

std::string Hex(const std::vector<char>& bytes) {
  return HexLines({bytes.data(), bytes.size()});
}

void MakeOverflow(Page& page) {
  PageChange change(page.data());
  FormatOverflow(change, {0x0100000000000009, 2, 7, 11, 20000, 13}, "a large value");
  page.Place();
}

void MakeRow(Page& page) {
  PageChange change(page.data());
  change.Format(PageKind::kTable);
  VersionHeader header{};
  header.creator = 0x0100000000000009;
  header.creator_command = 4;
  header.marks = kVersionHasChains;
  std::string version(reinterpret_cast<const char*>(&header), kVersionHeaderBytes);
  ChainLink links[] = {{2, 7, 36, 0}, {5, 9, 54, kChainBorrowed}};
  version += "the row" + ChainList(links);
  SlotNumber slot = InsertVersion(change, version);
  SetRemover(change, slot, 0x010000000000000A, 1, 3, RowAddress::Of(7, 2));
  SetChainFlags(change, slot, 1, kChainBorrowed | kChainPassedOn);
  page.Place();
}

TEST(OverflowPage, GoldenBytes) {
  Page overflow;
  MakeOverflow(overflow);
  EXPECT_EQ(Hex(overflow.bytes), Golden("overflow.hex"));
  Page row;
  MakeRow(row);
  EXPECT_EQ(Hex(row.bytes), Golden("row_with_chains.hex"));
}

TEST(OverflowPage, ReadsBackWhatItWrote) {
  Page page;
  MakeOverflow(page);
  EXPECT_EQ(CheckPage(page.data(), kPlace), PageCheck::kValid);
  EXPECT_EQ(FindOverflowFault(page.data()), "");
  EXPECT_EQ(OverflowData(page.data()), "a large value");
  EXPECT_EQ(OverflowOn(page.data()).next, 11u);
  EXPECT_TRUE(IsOfChain(page.data(), 7, 2));
  EXPECT_FALSE(IsOfChain(page.data(), 7, 3));
  EXPECT_FALSE(IsOfChain(page.data(), 8, 2));
  PageChange change(page.data());
  SetOverflowNext(change, 12);
  EXPECT_EQ(OverflowOn(page.data()).next, 12u);
  EXPECT_EQ(OverflowData(page.data()), "a large value");
}

TEST(OverflowPage, TheListOfChainsSurvivesChangesOfTheVersion) {
  Page page;
  MakeRow(page);
  EXPECT_EQ(FindTablePageFault(page.data()), "");
  std::string_view version = VersionAt(page.data(), 1);
  EXPECT_EQ(HeaderOfVersion(version).marks, 3 | kVersionHasChains);
  std::vector<ChainLink> links = ChainsOf(version);
  ASSERT_EQ(links.size(), 2u);
  EXPECT_EQ(links[0].serial, 2u);
  EXPECT_EQ(links[0].head, 7u);
  EXPECT_EQ(links[0].place, 36u);
  EXPECT_EQ(links[0].flags, 0u);
  EXPECT_EQ(links[1].flags, kChainBorrowed | kChainPassedOn);
  EXPECT_EQ(version.substr(kVersionHeaderBytes, 7), "the row");
}

TEST(OverflowPage, AListOfChainsBeyondItsVersionIsAFault) {
  Page page;
  MakeRow(page);
  std::string_view version = VersionAt(page.data(), 1);
  std::size_t count = static_cast<std::size_t>(version.data() - page.data()) + version.size() - 2;
  for (uint16_t wrong : {uint16_t{0}, uint16_t{3}, uint16_t{65535}}) {
    std::memcpy(page.data() + count, &wrong, sizeof(wrong));
    EXPECT_EQ(FindTablePageFault(page.data()), "list of chains out of bounds") << wrong;
  }
}

TEST(OverflowPage, PagesOfVersionOneAreRead) {
  Page page;
  MakeOverflow(page);
  HeaderOf(page.data()).version = kOldestPageFormatVersion;
  SealPage(page.data());
  EXPECT_EQ(CheckPage(page.data(), kPlace), PageCheck::kValid);
  HeaderOf(page.data()).version = kPageFormatVersion + 1;
  SealPage(page.data());
  EXPECT_EQ(CheckPage(page.data(), kPlace), PageCheck::kDamaged);
}

}  // namespace
}  // namespace pgquorum::fusion
