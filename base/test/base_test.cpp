#include <gtest/gtest.h>

#include <string>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/histogram.h"
#include "base/random.h"
#include "base/status.h"
#include "base/strong_id.h"

namespace pgquorum {
namespace {

using NodeTag = StrongId<struct NodeTagTag>;

TEST(Status, CarriesWhatEreportNeeds) {
  Status s = Status::Error("55000", "node is fenced").WithDetail("epoch 3").WithHint("wait");
  EXPECT_FALSE(s.ok());
  EXPECT_EQ(s.sqlstate(), "55000");
  EXPECT_EQ(s.ToString(), "55000: node is fenced (epoch 3)");
  EXPECT_EQ(s.hint(), "wait");
  EXPECT_TRUE(Status::Ok().ok());
}

TEST(Result, HoldsValueOrError) {
  Result<int> good = 7;
  Result<int> bad = Status::Error("22023", "no");
  EXPECT_EQ(good.value(), 7);
  EXPECT_EQ(bad.status().message(), "no");
}

TEST(Bytes, RoundTrip) {
  ByteWriter w;
  w.U8(1);
  w.U16(0x1234);
  w.U32(0xDEADBEEF);
  w.U64(0x0123456789ABCDEFULL);
  w.I64(-5);
  w.Bool(true);
  w.Bytes("hello");
  ByteReader r(w.data());
  EXPECT_EQ(r.U8(), 1);
  EXPECT_EQ(r.U16(), 0x1234);
  EXPECT_EQ(r.U32(), 0xDEADBEEFU);
  EXPECT_EQ(r.U64(), 0x0123456789ABCDEFULL);
  EXPECT_EQ(r.I64(), -5);
  EXPECT_TRUE(r.Bool());
  EXPECT_EQ(r.Bytes(5), "hello");
  EXPECT_TRUE(r.Finished());
}

TEST(Bytes, EveryTruncationIsDetected) {
  ByteWriter w;
  w.U32(7);
  w.Bytes("payload");
  w.U64(1);
  for (std::size_t cut = 0; cut < w.size(); ++cut) {
    ByteReader r(std::string_view(w.data()).substr(0, cut));
    r.U32();
    r.Bytes(100);
    r.U64();
    EXPECT_FALSE(r.Finished()) << cut;
  }
}

TEST(Bytes, HostileLengthsAreRefused) {
  ByteWriter w;
  w.U32(0xFFFFFFFF);
  EXPECT_EQ(ByteReader(w.data()).Bytes(10), "");
  ByteReader count(w.data());
  EXPECT_EQ(count.Count(0xFFFFFFFF, 8), 0U);
  EXPECT_FALSE(count.ok());
  ByteReader flag("\x02");
  flag.Bool();
  EXPECT_FALSE(flag.ok());
}

TEST(Crc32c, KnownVectorsAndChaining) {
  EXPECT_EQ(Crc32c("123456789"), 0xE3069283U);  // RFC 3720, appendix B.4
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8A9136AAU);
  std::string text = "the quick brown fox jumps over the lazy dog";
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    EXPECT_EQ(Crc32c(text.substr(cut), Crc32c(text.substr(0, cut))), Crc32c(text));
  }
}

TEST(StrongId, OrdersAndMeasuresDistance) {
  NodeTag a(3);
  NodeTag b = a + 4;
  EXPECT_LT(a, b);
  EXPECT_EQ(b - a, 4U);
  EXPECT_FALSE(NodeTag());
}

TEST(Random, IsReproducibleAndForksApart) {
  Random a(42);
  Random b(42);
  EXPECT_EQ(a.Next(), b.Next());
  Random fork = a.Fork();
  EXPECT_NE(fork.Next(), a.Next());
  for (int i = 0; i < 1000; ++i) {
    uint64_t v = a.Between(5, 9);
    EXPECT_GE(v, 5U);
    EXPECT_LE(v, 9U);
  }
}

TEST(Histogram, QuantilesAreWithinABucket) {
  Histogram h;
  for (uint64_t i = 1; i <= 10000; ++i) {
    h.Record(i);
  }
  EXPECT_EQ(h.count(), 10000U);
  EXPECT_EQ(h.max(), 10000U);
  EXPECT_NEAR(static_cast<double>(h.Quantile(0.5)), 5000.0, 5000.0 * 0.13);
  EXPECT_NEAR(static_cast<double>(h.Quantile(0.99)), 9900.0, 9900.0 * 0.13);
  EXPECT_EQ(Histogram().Quantile(0.5), 0U);
}

TEST(Histogram, CountsWhatIsBelowAPowerOfTwo) {
  Histogram h;
  for (uint64_t value : {0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 1000, 1023, 1024}) {
    h.Record(value);
  }
  h.Record(UINT64_MAX);
  uint64_t expected[] = {1, 2, 4, 6, 9, 10, 10, 10, 10, 10, 12, 13};
  for (unsigned exponent = 0; exponent < std::size(expected); ++exponent) {
    EXPECT_EQ(h.CountBelow(exponent), expected[exponent]) << exponent;
  }
  EXPECT_EQ(h.CountBelow(63), 13U);
  EXPECT_EQ(h.CountBelow(64), 14U);
}

TEST(CheckDeathTest, StopsTheProcess) {
  EXPECT_DEATH(PGQUORUM_CHECK(1 == 2), "invariant violated at .*1 == 2");
}

}  // namespace
}  // namespace pgquorum
