#include "bgworkers/replication/spool/spool_format.h"

#include <cinttypes>
#include <cstdio>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "base/storage/errors.h"

#include "base/pure.h"

namespace pgquorum::replication {
namespace {

constexpr std::size_t kChecksumBytes = 4;
constexpr std::string_view kPrefix = "spool-";

std::optional<uint64_t> ParseHex(std::string_view digits) {
  uint64_t value = 0;
  for (char digit : digits) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::size_t at = kDigits.find(digit);
    if (at == std::string_view::npos) {
      return std::nullopt;
    }
    value = (value << 4) | at;
  }
  return value;
}

}  // namespace

uint32_t SpoolSeed(const SpoolIdentity& identity, const SpoolSegment& segment) {
  ByteWriter out;
  out.U64(identity.group_id);
  out.U16(identity.site.value());
  out.U32(segment.origin.Packed());
  out.U64(segment.first);
  return Crc32c(out.data());
}

std::string EncodeSpoolHeader(const SpoolIdentity& identity, const SpoolSegment& segment) {
  ByteWriter out;
  out.U64(kSpoolMagic);
  out.U32(kSpoolFormatVersion);
  out.U32(kSpoolHeaderBytes);
  out.U64(identity.group_id);
  out.U32(identity.site.value());
  out.U32(segment.origin.Packed());
  out.U64(segment.first);
  out.Raw(std::string(kSpoolHeaderBytes - kChecksumBytes - out.size(), '\0'));
  out.U32(Crc32c(out.data(), SpoolSeed(identity, segment)));
  return std::move(out).Take();
}

Status CheckSpoolHeader(std::string_view bytes, const SpoolIdentity& identity,
                        const SpoolSegment& expected) {
  Status damaged = Status::Error(
      kErrDamaged, "spool segment " + SpoolSegmentName(expected) + " has no valid header");
  if (bytes.size() < kSpoolHeaderBytes) {
    return damaged;
  }
  ByteReader in(bytes.substr(0, kSpoolHeaderBytes));
  uint64_t magic = in.U64();
  uint32_t version = in.U32();
  in.U32();
  SpoolIdentity owner;
  owner.group_id = in.U64();
  owner.site = SiteId(static_cast<uint16_t>(in.U32()));
  SpoolSegment segment;
  segment.origin = Origin::Unpack(in.U32());
  segment.first = in.U64();
  constexpr std::size_t kChecked = kSpoolHeaderBytes - kChecksumBytes;
  uint32_t crc = ByteReader(bytes.substr(kChecked)).U32();
  if (magic != kSpoolMagic || segment != expected ||
      crc != Crc32c(bytes.substr(0, kChecked), SpoolSeed(owner, segment))) {
    return damaged;
  }
  if (version != kSpoolFormatVersion) {
    return Status::Error(kErrSpoolFormat, "the spool has format version " +
                                              std::to_string(version) + ", this program knows " +
                                              std::to_string(kSpoolFormatVersion));
  }
  if (owner.group_id != identity.group_id || owner.site != identity.site) {
    return Status::Error(kErrForeignSpool, "the spool belongs to another group or site");
  }
  return Status::Ok();
}

void AppendSpoolRecord(const SpoolRecord& record, uint32_t seed, std::string& out) {
  PGQUORUM_CHECK(record.payload.size() <= kMaxSpooledBytes);
  LogRecordHeader header;
  header.first = record.sequence;
  header.second = record.hlc.value();
  header.durable_back = record.durable_back;
  header.kind = static_cast<uint8_t>(record.kind);
  AppendLogRecord(header, record.payload, seed, out);
}

std::optional<SpoolRecord> ParseSpoolRecord(std::string_view bytes, uint32_t seed) {
  std::optional<LogRecord> framed = ParseLogRecord(bytes, seed, kMaxSpooledBytes);
  if (!framed || framed->header.kind > static_cast<uint8_t>(SpoolRecordKind::kProof)) {
    return std::nullopt;
  }
  SpoolRecord record;
  record.kind = static_cast<SpoolRecordKind>(framed->header.kind);
  record.sequence = framed->header.first;
  record.hlc = Hlc(framed->header.second);
  record.durable_back = framed->header.durable_back;
  record.payload = framed->payload;
  record.bytes = framed->bytes;
  return record;
}

std::string SpoolSegmentName(const SpoolSegment& segment) {
  char name[40];
  int length = std::snprintf(name, sizeof(name), "spool-%08" PRIx32 "-%016" PRIx64,
                             segment.origin.Packed(), segment.first);
  return std::string(name, static_cast<std::size_t>(length));
}

std::optional<SpoolSegment> ParseSpoolSegmentName(std::string_view name) {
  if (name.size() != kPrefix.size() + 8 + 1 + 16 || !name.starts_with(kPrefix) ||
      name[kPrefix.size() + 8] != '-') {
    return std::nullopt;
  }
  std::optional<uint64_t> origin = ParseHex(name.substr(kPrefix.size(), 8));
  std::optional<uint64_t> first = ParseHex(name.substr(kPrefix.size() + 9));
  if (!origin || !first || *first == 0) {
    return std::nullopt;
  }
  SpoolSegment segment{Origin::Unpack(static_cast<uint32_t>(*origin)), *first};
  return segment.origin ? std::optional(segment) : std::nullopt;
}

}  // namespace pgquorum::replication
