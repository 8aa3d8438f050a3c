#include "cachefusion/storage/redo_record.h"

#include <cstring>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "base/storage/errors.h"
#include "cachefusion/storage/format.h"

#include "base/pure.h"

namespace pgquorum::fusion {
namespace {

constexpr std::size_t kCrcOffset = 4;
constexpr std::size_t kPlaceOffset = 8;

// Body first, so that a checksum costs no second pass over the body when the place becomes known.
uint32_t Checksum(std::string_view bytes) {
  uint32_t body = Crc32c(bytes.substr(kRedoHeaderBytes));
  return Crc32c(bytes.substr(kPlaceOffset, kRedoHeaderBytes - kPlaceOffset),
                body ^ static_cast<uint32_t>(bytes.size()));
}

Status Invalid() {
  return Status::Error(kErrDamaged, "redo record does not verify");
}

}  // namespace

std::string EncodeRecord(const RedoRecord& record) {
  PGQUORUM_CHECK(record.pages <= kMaxRedoPages);
  ByteWriter out;
  out.U32(0);
  out.U32(0);
  out.U64(0);
  out.U64(0);
  out.U64(record.transaction);
  out.U8(static_cast<uint8_t>(record.type));
  out.U8(static_cast<uint8_t>(record.pages));
  out.U16(0);
  for (std::size_t i = 0; i < record.pages; ++i) {
    out.U64(record.page[i].id.segment);
    out.U32(record.page[i].id.block);
    out.U64(record.page[i].psn_before.value());
    out.Bytes(record.page[i].delta);
  }
  if (record.type == RedoType::kRemoveSegment) {
    out.U64(record.segment);
  }
  std::string bytes = std::move(out).Take();
  PGQUORUM_CHECK(bytes.size() <= kMaxRedoRecordBytes);
  auto length = static_cast<uint32_t>(bytes.size());
  std::memcpy(bytes.data(), &length, sizeof(length));
  return bytes;
}

void SealRecord(std::string& bytes, Incarnation incarnation, RedoAddress address) {
  uint64_t place[] = {incarnation.value(), address.value()};
  std::memcpy(bytes.data() + kPlaceOffset, place, sizeof(place));
  uint32_t crc = Checksum(bytes);
  std::memcpy(bytes.data() + kCrcOffset, &crc, sizeof(crc));
}

std::size_t ClaimedLength(std::string_view bytes) {
  ByteReader in(bytes);
  std::size_t length = in.U32();
  return length < kRedoHeaderBytes || length > kMaxRedoRecordBytes ? 0 : length;
}

Result<RedoRecord> DecodeRecord(std::string_view bytes, Incarnation incarnation,
                                RedoAddress address) {
  ByteReader in(bytes);
  RedoRecord record;
  std::size_t length = in.U32();
  uint32_t crc = in.U32();
  record.incarnation = Incarnation(in.U64());
  record.address = RedoAddress(in.U64());
  record.transaction = in.U64();
  record.type = static_cast<RedoType>(in.U8());
  record.pages = in.U8();
  uint16_t zero = in.U16();
  if (!in.ok() || length != bytes.size() || crc != Checksum(bytes) ||
      record.incarnation != incarnation || record.address != address || zero != 0 ||
      record.pages > kMaxRedoPages) {
    return Invalid();
  }
  for (std::size_t i = 0; i < record.pages; ++i) {
    RedoPage& page = record.page[i];
    page.id.segment = in.U64();
    page.id.block = in.U32();
    page.psn_before = Psn(in.U64());
    page.delta = in.Bytes(kMaxRedoRecordBytes);
  }
  if (record.type == RedoType::kRemoveSegment) {
    record.segment = in.U64();
  } else if (record.type != RedoType::kPages) {
    return Invalid();
  }
  return in.Finished() ? Result<RedoRecord>(record) : Invalid();
}

}  // namespace pgquorum::fusion
