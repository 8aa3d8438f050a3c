#include "bgworkers/replication/core/change/record.h"

#include <gtest/gtest.h>

#include <string>

#include "base/bytes.h"
#include "base/crc32c.h"

#include "base/pure.h"

namespace pgquorum::replication {
namespace {

const Stamp kStamp{Hlc(800'000'000'000'001), {SiteId(2), 1}};

Knowledge EverythingKnown() {
  Stamp other{Hlc(5), {SiteId(3), 1}};
  Knowledge known{other, Stamp{Hlc(4), {SiteId(1), 1}}, {}, {kStamp, other}};
  known.seen.Raise({SiteId(3), 1}, 5);
  return known;
}

std::vector<Record> Samples() {
  RowRecord update{Operation::kUpdate, 7, {Stamp{Hlc(5), {SiteId(3), 1}}, Stamp(), {}, {}}, {}};
  update.image = {Value::Of("1"), Value::Null(), Value::Unchanged(), Value::Of("")};
  return {BeginRecord{kStamp, 0x16B3748},
          RelationRecord{7, "public", "orders", {{"id", true}, {"note", false}}},
          RowRecord{Operation::kInsert, 7, {}, {Value::Of("1"), Value::Of("hä")}},
          update,
          RowRecord{Operation::kDelete, 7, {}, {Value::Of("1"), Value::Null()}},
          CommitRecord{0x16B3778, 3},
          RowRecord{Operation::kUpdate, 7, EverythingKnown(), {Value::Of("1"), Value::Null()}}};
}

std::string Encoded(const Record& record) {
  std::string bytes;
  EncodeRecord(record, bytes);
  return bytes;
}

std::string Hex(std::string_view bytes) {
  std::string text;
  for (char c : bytes) {
    constexpr char kDigits[] = "0123456789abcdef";
    text += kDigits[static_cast<unsigned char>(c) >> 4];
    text += kDigits[static_cast<unsigned char>(c) & 15];
  }
  return text;
}

TEST(ChangeRecord, ComesBackAsItWas) {
  for (const Record& record : Samples()) {
    Result<Record> back = DecodeRecord(Encoded(record));
    ASSERT_TRUE(back.ok()) << back.status().ToString();
    EXPECT_EQ(back.value(), record);
  }
}

// Other versions are out there: these bytes must never change.
TEST(ChangeRecord, GoldenBytes) {
  const char* golden[] = {
      "02010002d79883d200010002000148376b0100000000c4cd1c6a",
      "020207000000060000007075626c6963060000006f72646572730200000002000000696401040000006e6f746500"
      "70450011",
      "0203070000000002000000010100000031010300000068c3a4764fbd6d",
      "0204070000000100000000000000050003000104000000010100000031000201000000002d803555",
      "020507000000000200000001010000003100ee8a40d8",
      "020678376b010000000003000000fe69be1a",
      "0204070000000f000000000000000500030001000000000000000400010001010000000100030005000000000000"
      "00020000000002d79883d20001000200010000000000000005000300010200000001010000003100bc140b91",
  };
  std::vector<Record> samples = Samples();
  for (std::size_t i = 0; i < samples.size(); ++i) {
    EXPECT_EQ(Hex(Encoded(samples[i])), golden[i]) << i;
  }
}

TEST(ChangeRecord, EveryTruncationAndEveryFlippedBitIsRefused) {
  for (const Record& record : Samples()) {
    std::string bytes = Encoded(record);
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      EXPECT_FALSE(DecodeRecord(std::string_view(bytes).substr(0, i)).ok());
      for (int bit = 0; bit < 8; ++bit) {
        std::string damaged = bytes;
        damaged[i] = static_cast<char>(damaged[i] ^ (1 << bit));
        EXPECT_EQ(DecodeRecord(damaged).status().sqlstate(), kErrMalformedChange);
      }
    }
  }
}

std::string WithChecksum(std::string_view body) {
  ByteWriter out;
  out.Raw(body);
  out.U32(Crc32c(body));
  return out.data();
}

TEST(ChangeRecord, BoundsHoldBehindTheChecksum) {
  using namespace std::string_view_literals;
  // A count of values, and a length, that the input does not back.
  std::string_view hostile[] = {
      "\x02\x03\x07\0\0\0\0\xff\xff\xff\xff"sv,
      "\x02\x03\x07\0\0\0\0\x01\0\0\0\x01\xff\xff\xff\x7f"sv,
      "\x02\x03\x07\0\0\0\0\0\0\0\0"sv,                // no value
      "\x02\x03\x07\0\0\0\0\x01\0\0\0\x03"sv,          // unknown kind of value
      "\x02\x03\x07\0\0\0\x10\x01\0\0\0\0"sv,          // a flag that is none
      "\x02\x03\x07\0\0\0\x04\0\0\0\0\x01\0\0\0\0"sv,  // seen, and nothing seen
      "\x02\x03\x07\0\0\0\x08\0\0\0\0\x01\0\0\0\0"sv,  // marks, and none
      "\x02\x06\x01\0\0\0\0\0\0\0\0\0\0\0\0"sv,        // something behind the end
      "\x02\x06\0\0\0\0\0\0\0\0\0\0\0\0"sv,            // no position
      "\x02\x07"sv,                                    // unknown kind of record
  };
  for (std::string_view body : hostile) {
    Result<Record> record = DecodeRecord(WithChecksum(body));
    EXPECT_EQ(record.status().sqlstate(), kErrMalformedChange) << Hex(body);
  }
  EXPECT_EQ(DecodeRecord(WithChecksum("\x01\x06"sv)).status().detail(),
            "It has version 1, this site reads version 2.");
}

TEST(RowNote, ComesBackAndIsResolved) {
  Origin self{SiteId(2), 1};
  RowNote note{7, 0xABCDEF, true, EverythingKnown()};
  note.known.life = PendingStamp(self);
  note.known.seen.Raise(self, kPendingTime);
  note.known.marks[0] = PendingStamp(self);
  std::string bytes;
  EncodeNote(note, bytes);
  Result<RowNote> back = DecodeNote(bytes);
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back.value(), note);
  Resolve(back.value().known, kStamp);
  EXPECT_EQ(back.value().known.life, kStamp);
  EXPECT_EQ(back.value().known.seen.Of(self), kStamp.hlc.value());
  EXPECT_EQ(back.value().known.marks[0], kStamp);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    EXPECT_FALSE(DecodeNote(std::string_view(bytes).substr(0, i)).ok());
  }
  EXPECT_FALSE(DecodeNote(bytes + "x").ok());
  // What is pending stays on the server that it is pending on.
  RowRecord row{Operation::kUpdate, 7, note.known, {Value::Of("1"), Value::Null()}};
  EXPECT_FALSE(DecodeRecord(Encoded(row)).ok());
}

}  // namespace
}  // namespace pgquorum::replication
