#include "bgworkers/consensus/postgres_wal.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "base/test/scratch.h"

namespace pgquorum::consensus {
namespace {

constexpr uint32_t kSize = 16 << 20;

TEST(PostgresWal, SegmentNumbersFromNames) {
  EXPECT_EQ(SegmentOfName("000000010000000000000001", kSize), 1u);
  EXPECT_EQ(SegmentOfName("0000000A00000002000000FF", kSize), 2u * 256 + 255);
  EXPECT_EQ(SegmentOfName("000000010000000200000003", 1 << 30), 2u * 4 + 3);
  for (const char* other :
       {"00000001000000000000000G", "000000010000000000000100", "00000002.history",
        "000000010000000000000001.partial", "archive_status", ""}) {
    EXPECT_EQ(SegmentOfName(other, kSize), std::nullopt) << other;
  }
}

TEST(PostgresWal, OldestIsTheStartOfTheUnbrokenRow) {
  ScratchDirectory scratch;
  const std::string& root = scratch.path();
  EXPECT_EQ(OldestSegment(root, 5, kSize).status().sqlstate(), "58030");
  std::filesystem::create_directory(root + "/pg_wal");
  EXPECT_EQ(OldestSegment(root, 5, kSize).value(), 6u);
  // 1 is a leftover beyond a gap; 4 is of the timeline before; 9 is made ready for later.
  for (const char* name :
       {"000000010000000000000001", "000000010000000000000003", "000000020000000000000004",
        "000000020000000000000005", "000000010000000000000009", "00000002.history"}) {
    std::ofstream(root + "/pg_wal/" + name) << "x";
  }
  EXPECT_EQ(OldestSegment(root, 5, kSize).value(), 3u);
  EXPECT_EQ(OldestSegment(root, 6, kSize).value(), 3u) << "not made yet";
  EXPECT_EQ(OldestSegment(root, 7, kSize).value(), 8u);
  EXPECT_EQ(OldestSegment(root, 1, kSize).value(), 1u);
}

}  // namespace
}  // namespace pgquorum::consensus
