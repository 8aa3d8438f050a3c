#include "cachefusion/storage/format.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/test/golden.h"
#include "base/crc32c.h"
#include "base/random.h"
#include "base/storage/errors.h"
#include "cachefusion/storage/redo_record.h"

namespace pgquorum::fusion {
namespace {

std::string Golden(const std::string& name) {
  return GoldenFile("cachefusion/storage/testdata/" + name);
}

std::string Hex(std::string_view bytes) {
  std::string text;
  std::size_t end = bytes.size();
  // A sector's zeros between payload and checksum are not shown.
  for (std::size_t i = 0; i < end; ++i) {
    if (i + 8 < end && bytes.substr(i, end - i - 4).find_first_not_of('\0') == std::string::npos) {
      text += "... ";
      i = end - 4;
    }
    char two[3];
    snprintf(two, sizeof(two), "%02x", static_cast<unsigned char>(bytes[i]));
    text += two;
    text += i + 1 == end || i % 16 == 15 ? "\n" : " ";
  }
  return text;
}

ControlState SampleControl() {
  ControlState state;
  state.sequence = 5;
  state.storage_id = 0x1122334455667788;
  state.incarnation = Incarnation(3);
  state.checkpoint = RedoAddress(0xABCDEF);
  state.clean = true;
  state.next_transaction = 1000;
  state.next_scn = 2000;
  state.oldest_unresolved = 900;
  return state;
}

RedoRecord SampleRecord() {
  RedoRecord record;
  record.transaction = 0x0100000000000007;
  record.pages = 2;
  record.page[0] = {{0x500004001, 7}, Psn(3), "delta"};
  record.page[1] = {{0x500004001, 8}, Psn(0), ""};
  return record;
}

TEST(Format, GoldenBytes) {
  StorageIdentity identity{0x1122334455667788, 7000000000000000001, 0x16B3740, 2};
  EXPECT_EQ(Hex(EncodeIdentity(identity)), Golden("identity.hex"));
  EXPECT_EQ(Hex(EncodeControl(SampleControl())), Golden("control.hex"));
  EXPECT_EQ(Hex(EncodeRedoFileHeader(0x1122334455667788, Incarnation(3), 9)),
            Golden("redo_file.hex"));
  std::string record = EncodeRecord(SampleRecord());
  SealRecord(record, Incarnation(3), RedoAddress(4096));
  EXPECT_EQ(Hex(record), Golden("record_pages.hex"));
  RedoRecord removal;
  removal.type = RedoType::kRemoveSegment;
  removal.segment = 0x500004001;
  record = EncodeRecord(removal);
  SealRecord(record, Incarnation(3), RedoAddress(4096));
  EXPECT_EQ(Hex(record), Golden("record_removal.hex"));
}

TEST(Format, ReadsBackWhatItWrote) {
  Result<ControlState> control = DecodeControl(EncodeControl(SampleControl()));
  ASSERT_TRUE(control.ok());
  EXPECT_EQ(EncodeControl(control.value()), EncodeControl(SampleControl()));
  StorageIdentity identity{1, 2, 3, 4};
  Result<StorageIdentity> again = DecodeIdentity(EncodeIdentity(identity));
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again.value().catalog_timeline, 4u);

  std::string bytes = EncodeRecord(SampleRecord());
  SealRecord(bytes, Incarnation(3), RedoAddress(4096));
  EXPECT_EQ(ClaimedLength(bytes), bytes.size());
  Result<RedoRecord> record = DecodeRecord(bytes, Incarnation(3), RedoAddress(4096));
  ASSERT_TRUE(record.ok());
  EXPECT_EQ(record.value().page[0].delta, "delta");
  EXPECT_EQ(record.value().page[1].id.block, 8u);
  // Of another thread, or at another place: bytes of an earlier use of the file.
  EXPECT_FALSE(DecodeRecord(bytes, Incarnation(4), RedoAddress(4096)).ok());
  EXPECT_FALSE(DecodeRecord(bytes, Incarnation(3), RedoAddress(4097)).ok());
}

TEST(Format, EveryFlippedBitIsNoticed) {
  std::string sector = EncodeControl(SampleControl());
  std::string bytes = EncodeRecord(SampleRecord());
  SealRecord(bytes, Incarnation(3), RedoAddress(4096));
  for (std::size_t bit = 0; bit < sector.size() * 8; ++bit) {
    std::string flipped = sector;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(DecodeControl(flipped).ok()) << bit;
  }
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(DecodeRecord(flipped, Incarnation(3), RedoAddress(4096)).ok()) << bit;
  }
}

// The sector as another version would have written it.
std::string OfVersion(std::string sector, uint32_t version) {
  std::memcpy(sector.data() + sizeof(kSectorMagic), &version, sizeof(version));
  std::size_t covered = kSectorBytes - sizeof(uint32_t);
  uint32_t crc = Crc32c(std::string_view(sector).substr(0, covered));
  std::memcpy(sector.data() + covered, &crc, sizeof(crc));
  return sector;
}

TEST(Format, ReadsVersionOne) {
  Result<ControlState> control = DecodeControl(OfVersion(EncodeControl(SampleControl()), 1));
  ASSERT_TRUE(control.ok()) << control.status().ToString();
  EXPECT_EQ(EncodeControl(control.value()), EncodeControl(SampleControl()));
}

TEST(Format, RefusesLaterVersionsByName) {
  for (uint32_t version : {uint32_t{0}, kSectorVersion + 1, UINT32_MAX}) {
    EXPECT_EQ(DecodeControl(OfVersion(EncodeControl({}), version)).status().sqlstate(),
              kErrUnknownFormat);
  }
  EXPECT_EQ(DecodeSector(SectorKind::kControl, std::string(kSectorBytes, '\0')).status().sqlstate(),
            kErrDamaged);
  EXPECT_EQ(DecodeSector(SectorKind::kStorage, EncodeControl({})).status().sqlstate(), kErrDamaged);
}

TEST(Format, FileNamesGoBothWays) {
  EXPECT_EQ(SegmentFileName(0x500004001, 2), "segment-0000000500004001-0002");
  std::optional<SegmentFileId> id = ParseSegmentFileName("segment-0000000500004001-0002");
  ASSERT_TRUE(id);
  EXPECT_EQ(id->segment, 0x500004001u);
  EXPECT_EQ(id->part, 2u);
  EXPECT_FALSE(ParseSegmentFileName("segment-00000005000040g1-0002"));
  std::optional<RedoFileId> redo = ParseRedoFileName(RedoFileName(Incarnation(77), 12));
  ASSERT_TRUE(redo);
  EXPECT_EQ(redo->incarnation, Incarnation(77));
  EXPECT_EQ(redo->number, 12u);
  EXPECT_FALSE(ParseRedoFileName("redo-0000004d-0000000c.partial"));
}

}  // namespace
}  // namespace pgquorum::fusion
