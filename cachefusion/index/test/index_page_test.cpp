#include "cachefusion/index/index_page.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/test/golden.h"
#include "base/random.h"
#include "cachefusion/index/page_copy.h"

namespace pgquorum::fusion {
namespace {

std::string Golden(const std::string& name) {
  return GoldenFile("cachefusion/index/testdata/" + name);
}

std::string Hex(const char* page) {
  return HexLines({page, kPageBytes});
}

PageCopy Sample(uint32_t level) {
  IndexPageDraft draft;
  draft.SetHighKey(EncodeIndexEntry("melon", {}, {}));
  if (level == 0) {
    draft.Add(EncodeIndexEntry("apple", RowAddress::Of(7, 1), {}));
    draft.Add(EncodeIndexEntry("apple", RowAddress::Of(0x10007, 2), "payload"));
    draft.Add(EncodeIndexEntry("lemon", RowAddress::Of(8, 3), {}));
  } else {
    draft.Add(EncodeChildEntry({}, {}, 5));
    draft.Add(EncodeChildEntry("banana", RowAddress::Of(9, 9), 6));
  }
  PageCopy page;
  std::memset(page.data(), 0, kPageBytes);
  PageChange change(page.data());
  draft.WriteTo(change, {3, 4, level, 0, 0}, level == 0 ? uint16_t{kIndexSplitting} : uint16_t{0});
  if (level == 0) {
    unsigned second = 2;
    MarkEntriesGone(change, {&second, 1});
  }
  HeaderOf(page.data()).version = kPageFormatVersion;
  return page;
}

TEST(IndexPage, FormatsStandStill) {
  EXPECT_EQ(Hex(Sample(0).data()), Golden("leaf.hex"));
  EXPECT_EQ(Hex(Sample(1).data()), Golden("upper.hex"));
  PageCopy page;
  std::memset(page.data(), 0, kPageBytes);
  PageChange change(page.data());
  FormatIndexMeta(change, {kIndexVersion, 0x11, 2, 0x33, 0x44, 0x55, 1});
  EXPECT_EQ(Hex(page.data()), Golden("meta.hex"));
}

TEST(IndexPage, EntriesComeBackAsTheyWere) {
  PageCopy page = Sample(0);
  ASSERT_EQ(FindIndexPageFault(page.data()), "");
  ASSERT_EQ(EntryCount(page.data()), 3u);
  EXPECT_EQ(EntryOn(page.data(), 0).key, "melon");
  IndexEntry entry = EntryOn(page.data(), 2);
  EXPECT_EQ(entry.key, "apple");
  EXPECT_EQ(entry.at, RowAddress::Of(0x10007, 2));
  EXPECT_EQ(entry.payload, "payload");
  EXPECT_EQ(reinterpret_cast<uintptr_t>(entry.key.data()) % 8, 0u);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(entry.payload.data()) % 8, 0u);
  EXPECT_TRUE(EntryIsGone(page.data(), 2));
  EXPECT_FALSE(EntryIsGone(page.data(), 3));
  PageCopy upper = Sample(1);
  ASSERT_EQ(FindIndexPageFault(upper.data()), "");
  EXPECT_EQ(ChildOn(upper.data(), 2), 6u);
  EXPECT_EQ(EntryOfChild(upper.data(), 5), 1u);
  EXPECT_EQ(EntryOfChild(upper.data(), 7), 0u);
}

// A page as a list of strings, and what the redo says of each change gives the same page.
TEST(IndexPage, ChangesMatchAModelAndTheirRedo) {
  Random random(11);
  for (int round = 0; round < 30; ++round) {
    PageCopy page;
    PageCopy replayed;
    std::memset(page.data(), 0, kPageBytes);
    std::memset(replayed.data(), 0, kPageBytes);
    std::vector<std::string> model;
    auto apply = [&](auto&& what) {
      PageChange change(page.data());
      what(change);
      ASSERT_TRUE(ApplyDelta(replayed.data(), change.delta()).ok());
    };
    apply([](PageChange& change) { IndexPageDraft().WriteTo(change, {1, 0, 0, 0, 0}, 0); });
    for (int step = 0; step < 150; ++step) {
      std::string entry = EncodeIndexEntry(std::string(random.Below(60), 'k'), RowAddress::Of(2, 1),
                                           std::string(random.Below(20), 'p'));
      if (random.Chance(3, 4) && entry.size() <= IndexRoom(page.data())) {
        auto at = static_cast<unsigned>(random.Below(model.size() + 1));
        apply([&](PageChange& change) { InsertIndexEntry(change, at + 1, entry); });
        model.insert(model.begin() + at, entry);
      } else if (!model.empty()) {
        std::vector<unsigned> numbers;
        std::vector<std::string> kept;
        for (unsigned i = 0; i < model.size(); ++i) {
          if (random.Chance(1, 5)) {
            numbers.push_back(i + 1);
          } else {
            kept.push_back(model[i]);
          }
        }
        apply([&](PageChange& change) { RemoveIndexEntries(change, numbers); });
        model = kept;
      }
      ASSERT_EQ(FindIndexPageFault(page.data()), "");
      ASSERT_EQ(EntryCount(page.data()), model.size());
      for (unsigned i = 0; i < model.size(); ++i) {
        ASSERT_EQ(EntryBytesOn(page.data(), i + 1), model[i]);
      }
    }
    ASSERT_EQ(std::memcmp(page.data() + kPageHeaderBytes, replayed.data() + kPageHeaderBytes,
                          kPageBytes - kPageHeaderBytes),
              0);
  }
}

TEST(IndexPage, FaultsAreFound) {
  auto spoil = [](uint32_t level, auto&& how) {
    PageCopy page = Sample(level);
    how(page.data());
    return FindIndexPageFault(page.data());
  };
  auto slot = [](char* page, unsigned number) {
    return reinterpret_cast<uint16_t*>(page + kPageHeaderBytes + 4 * number);
  };
  EXPECT_NE(spoil(0, [](char* p) { HeaderOf(p).kind = PageKind::kTable; }), "");
  EXPECT_NE(spoil(0, [](char* p) { HeaderOf(p).lower += 2; }), "");
  EXPECT_NE(spoil(0, [](char* p) { HeaderOf(p).upper = kPageBytes; }), "");
  EXPECT_NE(spoil(0, [&](char* p) { slot(p, 1)[0] += 1; }), "");
  EXPECT_NE(spoil(0, [&](char* p) { slot(p, 1)[0] = 64; }), "");
  EXPECT_NE(spoil(0, [&](char* p) { slot(p, 1)[1] = 4; }), "");
  EXPECT_NE(spoil(0, [&](char* p) { slot(p, 2)[0] = slot(p, 1)[0]; }), "");
  EXPECT_NE(spoil(0, [&](char* p) { *reinterpret_cast<uint16_t*>(p + slot(p, 3)[0]) = 5000; }), "");
  EXPECT_NE(spoil(0, [&](char* p) { slot(p, 0)[0] = slot(p, 0)[1] = 0; }), "");
  EXPECT_NE(spoil(1, [&](char* p) { slot(p, 2)[1] -= 2; }), "");
  EXPECT_NE(spoil(1, [](char* p) { HeaderOf(p).lower = kPageHeaderBytes + 4; }), "");
  EXPECT_NE(spoil(1, [&](char* p) { std::swap(slot(p, 1)[0], slot(p, 2)[0]); }), "");
}

TEST(IndexPage, AnyFlippedBitIsNoticed) {
  PageId id{0x500004007, 3};
  for (uint32_t level = 0; level < 2; ++level) {
    PageCopy page = Sample(level);
    HeaderOf(page.data()).segment = id.segment;
    HeaderOf(page.data()).block = id.block;
    SealPage(page.data());
    ASSERT_EQ(CheckPage(page.data(), id), PageCheck::kValid);
    for (std::size_t bit = 0; bit < kPageBytes * 8; bit += bit < 1024 ? 1 : 61) {
      page.data()[bit / 8] = static_cast<char>(page.data()[bit / 8] ^ (1 << bit % 8));
      ASSERT_EQ(CheckPage(page.data(), id), PageCheck::kDamaged) << bit;
      page.data()[bit / 8] = static_cast<char>(page.data()[bit / 8] ^ (1 << bit % 8));
    }
  }
}

}  // namespace
}  // namespace pgquorum::fusion
