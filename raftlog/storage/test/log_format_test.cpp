// The format on disk is pinned by a golden file: a program that reads version 1 reads these bytes.
#include "raftlog/storage/log_format.h"

#include <gtest/gtest.h>

#include "base/test/golden.h"
#include "raftlog/storage/errors.h"

#include "base/pure.h"

namespace pgquorum::raft {
namespace {

constexpr uint64_t kCluster = 0x0123456789ABCDEF;
constexpr NodeId kNode{42};

SegmentHeader GoldenHeader() {
  SegmentHeader header;
  header.cluster_id = kCluster;
  header.node = kNode;
  header.sequence = 3;
  header.previous_sequence = 2;
  header.previous_end = 4096;
  header.hard_state = {Term(7), NodeId(2), Index(99)};
  header.refill = {Term(6), Index(101)};
  header.last = Index(100);
  header.last_term = Term(5);
  header.snapshot = Index(50);
  header.snapshot_term = Term(4);
  return header;
}

std::string GoldenBytes() {
  uint32_t seed = SegmentSeed(kCluster, kNode, 3);
  std::string bytes = EncodeSegmentHeader(GoldenHeader());
  AppendRecord({0, Term(5), Index(100), 512, RecordType::kBatch, EntryType::kNoOp},
               EncodeBatchHead({{Term(7), NodeId(2), Index(99)}, {Term(6), Index(101)}}), seed,
               bytes);
  AppendRecord({0, Term(7), Index(101), 584, RecordType::kEntry, EntryType::kCommand}, "command",
               seed, bytes);
  AppendRecord({0, Term(7), Index(102), 624, RecordType::kEntry, EntryType::kNoOp}, "", seed,
               bytes);
  AppendRecord({0, Term(5), Index(100), 656, RecordType::kSnapshot, EntryType::kNoOp},
               EncodeSnapshotMarker({123'456, 0xDEADBEEF}), seed, bytes);
  AppendRecord({0, Term(9), Index(500), 704, RecordType::kInstall, EntryType::kNoOp},
               EncodeSnapshotMarker({1, 2}), seed, bytes);
  return bytes;
}

TEST(LogFormat, MatchesTheGoldenFile) {
  ExpectGolden("raftlog/storage/testdata/segment_v1.bin", GoldenBytes(), "RAFT_REWRITE_GOLDEN");
}

TEST(LogFormat, ReadsBackWhatItWrote) {
  std::string bytes = GoldenBytes();
  Result<SegmentHeader> header = DecodeSegmentHeader(bytes, kCluster, kNode, 3);
  ASSERT_TRUE(header.ok());
  EXPECT_EQ(header.value(), GoldenHeader());
  uint32_t seed = SegmentSeed(kCluster, kNode, 3);
  std::string_view rest = std::string_view(bytes).substr(kSegmentHeaderBytes);
  std::vector<RecordType> types;
  while (!rest.empty()) {
    std::optional<Record> record = ParseRecord(rest, seed);
    ASSERT_TRUE(record.has_value());
    types.push_back(record->header.type);
    rest.remove_prefix(record->bytes);
  }
  EXPECT_EQ(types,
            (std::vector<RecordType>{RecordType::kBatch, RecordType::kEntry, RecordType::kEntry,
                                     RecordType::kSnapshot, RecordType::kInstall}));
}

TEST(LogFormat, NoFlippedBitPasses) {
  std::string bytes = GoldenBytes();
  uint32_t seed = SegmentSeed(kCluster, kNode, 3);
  for (std::size_t bit = 0; bit < kSegmentHeaderBytes * 8; ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(DecodeSegmentHeader(flipped, kCluster, kNode, 3).ok()) << bit;
  }
  std::size_t record = kSegmentHeaderBytes + RecordBytes(kBatchPayloadBytes);
  for (std::size_t bit = 0; bit < (kRecordHeaderBytes + 7) * 8; ++bit) {
    std::string flipped = bytes.substr(record);
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(ParseRecord(flipped, seed).has_value()) << bit;
  }
}

TEST(LogFormat, RecordsOfOtherSegmentsNodesAndClustersDoNotVerify) {
  std::string record = GoldenBytes().substr(kSegmentHeaderBytes);
  EXPECT_TRUE(ParseRecord(record, SegmentSeed(kCluster, kNode, 3)).has_value());
  EXPECT_FALSE(ParseRecord(record, SegmentSeed(kCluster, kNode, 4)).has_value());
  EXPECT_FALSE(ParseRecord(record, SegmentSeed(kCluster, NodeId(43), 3)).has_value());
  EXPECT_FALSE(ParseRecord(record, SegmentSeed(kCluster + 1, kNode, 3)).has_value());
  EXPECT_EQ(DecodeSegmentHeader(GoldenBytes(), kCluster, NodeId(43), 3).status().sqlstate(),
            kErrForeign);
  EXPECT_EQ(DecodeSegmentHeader(GoldenBytes(), kCluster, kNode, 4).status().sqlstate(),
            kErrDamaged);
}

TEST(LogFormat, NamesOfSegments) {
  EXPECT_EQ(SegmentName(0x2A), "log-000000000000002a");
  EXPECT_EQ(ParseSegmentName("log-000000000000002a"), 42u);
  for (const char* name : {"log-2a", "log-000000000000002g", "log-0000000000000000", "spare-1",
                           "log-000000000000002a.partial"}) {
    EXPECT_FALSE(ParseSegmentName(name).has_value()) << name;
  }
}

}  // namespace
}  // namespace pgquorum::raft
