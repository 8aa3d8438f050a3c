#include "cachefusion/page/page.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "base/random.h"
#include "base/storage/errors.h"
#include "cachefusion/page/page_change.h"

namespace pgquorum::fusion {
namespace {

constexpr PageId kPage{0x500004001, 7};

std::string NewPage(PageKind kind = PageKind::kTable) {
  std::string page(kPageBytes, '\0');
  PageHeader& header = HeaderOf(page.data());
  header.version = kPageFormatVersion;
  header.segment = kPage.segment;
  header.block = kPage.block;
  PageChange(page.data()).Format(kind);
  return page;
}

TEST(Page, KnowsEmptyValidAndDamaged) {
  std::string page(kPageBytes, '\0');
  EXPECT_EQ(CheckPage(page.data(), kPage), PageCheck::kEmpty);
  page[5000] = 1;
  EXPECT_EQ(CheckPage(page.data(), kPage), PageCheck::kDamaged);

  page = NewPage();
  SealPage(page.data());
  EXPECT_EQ(CheckPage(page.data(), kPage), PageCheck::kValid);
  EXPECT_EQ(CheckPage(page.data(), {kPage.segment, 8}), PageCheck::kDamaged);
  EXPECT_EQ(CheckPage(page.data(), {kPage.segment + 1, 7}), PageCheck::kDamaged);
  for (std::size_t at : {0u, 4u, 9u, 4096u, 8191u}) {
    std::string rotten = page;
    rotten[at] = static_cast<char>(rotten[at] ^ 0x10);
    EXPECT_EQ(CheckPage(rotten.data(), kPage), PageCheck::kDamaged) << at;
  }
}

// Offsets of the header on disk: a change of this text is a change of the format.
TEST(Page, HeaderBytesAreTheSpecifiedOnes) {
  std::string page = NewPage();
  PageHeader& header = HeaderOf(page.data());
  header.psn = 0x0102030405060708;
  header.redo_incarnation = 3;
  header.redo_address = 0x1122334455;
  SealPage(page.data());
  std::string hex;
  for (std::size_t i = 0; i < kPageHeaderBytes; ++i) {
    char two[3];
    snprintf(two, sizeof(two), "%02x", static_cast<unsigned char>(page[i]));
    hex += two;
  }
  EXPECT_EQ(hex,
            "bba4680202020000"
            "0807060504030201"
            "0300000000000000"
            "5544332211000000"
            "0140000005000000"
            "0700000038000020"
            "0020000000000000");
}

TEST(PageChange, DeltaRepeatsWhatWasDone) {
  Random random(7);
  for (int round = 0; round < 300; ++round) {
    std::string page = NewPage();
    for (std::size_t i = kPageHeaderBytes; i < kPageBytes; ++i) {
      page[i] = static_cast<char>(random.Next());
    }
    std::string before = page;
    PageChange change(page.data());
    for (uint64_t n = random.Between(1, 12); n > 0; --n) {
      std::size_t length = random.Between(0, 500);
      std::size_t at = random.Between(kPageHeaderBytes, kPageBytes - length);
      switch (random.Below(5)) {
        case 0:
          change.Write(at, std::string(length, static_cast<char>(random.Next())));
          break;
        case 1:
          change.Move(at, random.Between(kPageHeaderBytes, kPageBytes - length), length);
          break;
        case 2:
          change.Zero(at, length);
          break;
        case 3:
          change.SetFlags(static_cast<uint16_t>(random.Next()));
          break;
        default:
          if (random.Chance(1, 8)) {
            change.Format(PageKind::kBtree, random.Below(100));
          }
          break;
      }
    }
    ASSERT_TRUE(ApplyDelta(before.data(), change.delta()).ok());
    ASSERT_EQ(before, page);
  }
}

TEST(PageChange, RefusesDeltasThatNobodyWrote) {
  std::string page = NewPage();
  PageChange change(page.data());
  change.Write(100, "hello");
  change.Move(200, 100, 5);
  const std::string good = change.delta();
  for (std::size_t cut = 1; cut < good.size(); ++cut) {
    std::string copy = page;
    Status status = ApplyDelta(copy.data(), good.substr(0, cut));
    // The first operation alone is 10 bytes long.
    EXPECT_EQ(status.ok(), cut == 10) << cut;
  }
  // Into the header's fixed part, and beyond the page.
  for (std::string bad : {std::string("\x03\x08\x00\x04\x00", 5),
                          std::string("\x03\xff\x1f\x02\x00", 5), std::string("\x09", 1)}) {
    EXPECT_EQ(ApplyDelta(page.data(), bad).sqlstate(), kErrDamaged);
  }
  Random random(3);
  for (int i = 0; i < 20000; ++i) {
    std::string bytes = good;
    bytes[random.Below(bytes.size())] = static_cast<char>(random.Next());
    std::string copy = page;
    (void)ApplyDelta(copy.data(), bytes);  // the sanitizers look
  }
}

}  // namespace
}  // namespace pgquorum::fusion
