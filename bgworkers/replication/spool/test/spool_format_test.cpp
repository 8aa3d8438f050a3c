// The format on disk is pinned by a golden file: a program that reads version 1 reads these bytes.
#include "bgworkers/replication/spool/spool_format.h"

#include <gtest/gtest.h>

#include "base/test/golden.h"
#include "base/storage/errors.h"

#include "base/pure.h"

namespace pgquorum::replication {
namespace {

const SpoolIdentity kIdentity{0x0123456789ABCDEF, SiteId(7)};
const SpoolSegment kSegment{{SiteId(3), 2}, 0x2A};

std::string GoldenBytes() {
  std::string bytes = EncodeSpoolHeader(kIdentity, kSegment);
  uint32_t seed = SpoolSeed(kIdentity, kSegment);
  SpoolRecord record;
  record.sequence = 0x2A;
  record.hlc = Hlc(812'345'678'901'234);
  record.durable_back = 0;
  record.payload = "a transaction";
  AppendSpoolRecord(record, seed, bytes);
  record.sequence = 0x2B;
  record.hlc = record.hlc + 1;
  record.durable_back = 48;
  record.payload = "";
  AppendSpoolRecord(record, seed, bytes);
  record.kind = SpoolRecordKind::kProof;
  record.hlc = Hlc();
  record.durable_back = 0;
  AppendSpoolRecord(record, seed, bytes);
  return bytes;
}

TEST(SpoolFormat, MatchesTheGoldenFile) {
  ExpectGolden("bgworkers/replication/spool/testdata/segment_v1.bin", GoldenBytes(),
               "SPOOL_REWRITE_GOLDEN");
}

TEST(SpoolFormat, ReadsBackWhatItWrote) {
  std::string bytes = GoldenBytes();
  EXPECT_TRUE(CheckSpoolHeader(bytes, kIdentity, kSegment).ok());
  uint32_t seed = SpoolSeed(kIdentity, kSegment);
  std::string_view rest = std::string_view(bytes).substr(kSpoolHeaderBytes);
  std::optional<SpoolRecord> record = ParseSpoolRecord(rest, seed);
  ASSERT_TRUE(record);
  EXPECT_EQ(record->sequence, 0x2AU);
  EXPECT_EQ(record->hlc, Hlc(812'345'678'901'234));
  EXPECT_EQ(record->payload, "a transaction");
  rest.remove_prefix(record->bytes);
  record = ParseSpoolRecord(rest, seed);
  ASSERT_TRUE(record);
  EXPECT_EQ(record->durable_back, 48U);
  rest.remove_prefix(record->bytes);
  record = ParseSpoolRecord(rest, seed);
  ASSERT_TRUE(record);
  EXPECT_EQ(record->kind, SpoolRecordKind::kProof);
  EXPECT_EQ(record->bytes, rest.size());
}

TEST(SpoolFormat, NoFlippedBitPasses) {
  std::string bytes = GoldenBytes();
  for (std::size_t bit = 0; bit < kSpoolHeaderBytes * 8; ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(CheckSpoolHeader(flipped, kIdentity, kSegment).ok()) << bit;
  }
  for (std::size_t bit = 0; bit < (kLogRecordHeaderBytes + 13) * 8; ++bit) {
    std::string flipped = bytes.substr(kSpoolHeaderBytes);
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(ParseSpoolRecord(flipped, SpoolSeed(kIdentity, kSegment))) << bit;
  }
}

TEST(SpoolFormat, NothingOfAnotherSegmentSiteOrGroupVerifies) {
  std::string bytes = GoldenBytes();
  std::string_view record = std::string_view(bytes).substr(kSpoolHeaderBytes);
  EXPECT_TRUE(ParseSpoolRecord(record, SpoolSeed(kIdentity, kSegment)));
  EXPECT_FALSE(ParseSpoolRecord(record, SpoolSeed({kIdentity.group_id, SiteId(8)}, kSegment)));
  EXPECT_FALSE(ParseSpoolRecord(record, SpoolSeed({1, kIdentity.site}, kSegment)));
  EXPECT_FALSE(ParseSpoolRecord(record, SpoolSeed(kIdentity, {kSegment.origin, 0x2B})));
  EXPECT_FALSE(ParseSpoolRecord(record, SpoolSeed(kIdentity, {{SiteId(3), 3}, 0x2A})));
  EXPECT_EQ(CheckSpoolHeader(bytes, {1, kIdentity.site}, kSegment).sqlstate(), kErrForeignSpool);
  EXPECT_EQ(CheckSpoolHeader(bytes, kIdentity, {kSegment.origin, 1}).sqlstate(), kErrDamaged);
}

TEST(SpoolFormat, NamesOfSegments) {
  EXPECT_EQ(SpoolSegmentName(kSegment), "spool-00030002-000000000000002a");
  EXPECT_EQ(ParseSpoolSegmentName("spool-00030002-000000000000002a"), kSegment);
  for (const char* name :
       {"spool-00030002-2a", "spool-00030002-000000000000002A", "spool-00030002_000000000000002a",
        "spool-00030002-0000000000000000", "spool-00000002-000000000000002a",
        "spool-00030002-000000000000002a.damaged", "lock"}) {
    EXPECT_FALSE(ParseSpoolSegmentName(name)) << name;
  }
}

}  // namespace
}  // namespace pgquorum::replication
