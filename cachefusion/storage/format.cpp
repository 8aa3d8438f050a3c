#include "cachefusion/storage/format.h"

#include <cstdio>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "base/storage/errors.h"

#include "base/pure.h"

namespace pgquorum::fusion {
namespace {

template <typename... Numbers>
std::string Format(const char* pattern, Numbers... numbers) {
  char text[64];
  snprintf(text, sizeof(text), pattern, static_cast<unsigned long long>(numbers)...);
  return text;
}

// Digits of a fixed number of places, so that each file has one name only.
std::optional<uint64_t> ParseHex(std::string_view text) {
  uint64_t value = 0;
  for (char c : text) {
    if (c >= '0' && c <= '9') {
      value = value << 4 | static_cast<uint64_t>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      value = value << 4 | static_cast<uint64_t>(c - 'a' + 10);
    } else {
      return std::nullopt;
    }
  }
  return value;
}

Status Malformed(const char* what) {
  return Status::Error(kErrDamaged, std::string("the ") + what + " sector is malformed");
}

}  // namespace

std::string EncodeSector(SectorKind kind, std::string_view payload) {
  PGQUORUM_CHECK(payload.size() <= kSectorPayloadMax);
  ByteWriter out;
  out.U64(kSectorMagic);
  out.U32(kSectorVersion);
  out.U32(static_cast<uint32_t>(kind));
  out.Bytes(payload);
  out.Raw(std::string(kSectorBytes - sizeof(uint32_t) - out.size(), '\0'));
  out.U32(Crc32c(out.data()));
  return std::move(out).Take();
}

Result<std::string> DecodeSector(SectorKind kind, std::string_view sector) {
  ByteReader in(sector);
  bool magic = in.U64() == kSectorMagic;
  uint32_t version = in.U32();
  uint32_t found_kind = in.U32();
  std::string_view payload = in.Bytes(kSectorPayloadMax);
  if (sector.size() != kSectorBytes || !in.ok() || !magic) {
    return Status::Error(kErrDamaged, "not a sector of a fusion storage");
  }
  ByteReader crc(sector.substr(kSectorBytes - sizeof(uint32_t)));
  if (crc.U32() != Crc32c(sector.substr(0, kSectorBytes - sizeof(uint32_t)))) {
    return Status::Error(kErrDamaged, "checksum of a sector does not fit");
  }
  if (version < kOldestSectorVersion || version > kSectorVersion) {
    return Status::Error(kErrUnknownFormat,
                         "sector of the unknown version " + std::to_string(version));
  }
  if (found_kind != static_cast<uint32_t>(kind)) {
    return Status::Error(kErrDamaged, "sector of another kind than expected");
  }
  return std::string(payload);
}

std::string EncodeIdentity(const StorageIdentity& identity) {
  ByteWriter out;
  out.U64(identity.storage_id);
  out.U64(identity.system_identifier);
  out.U64(identity.catalog_position);
  out.U32(identity.catalog_timeline);
  return EncodeSector(SectorKind::kStorage, out.data());
}

Result<StorageIdentity> DecodeIdentity(std::string_view sector) {
  Result<std::string> payload = DecodeSector(SectorKind::kStorage, sector);
  if (!payload.ok()) {
    return payload.status();
  }
  ByteReader in(payload.value());
  StorageIdentity identity;
  identity.storage_id = in.U64();
  identity.system_identifier = in.U64();
  identity.catalog_position = in.U64();
  identity.catalog_timeline = in.U32();
  return in.Finished() ? Result<StorageIdentity>(identity) : Malformed("identity");
}

std::string EncodeControl(const ControlState& state) {
  ByteWriter out;
  out.U64(state.sequence);
  out.U64(state.storage_id);
  out.U64(state.incarnation.value());
  out.U64(state.checkpoint.value());
  out.Bool(state.clean);
  out.U64(state.next_transaction);
  out.U64(state.next_scn);
  out.U64(state.oldest_unresolved);
  return EncodeSector(SectorKind::kControl, out.data());
}

Result<ControlState> DecodeControl(std::string_view sector) {
  Result<std::string> payload = DecodeSector(SectorKind::kControl, sector);
  if (!payload.ok()) {
    return payload.status();
  }
  ByteReader in(payload.value());
  ControlState state;
  state.sequence = in.U64();
  state.storage_id = in.U64();
  state.incarnation = Incarnation(in.U64());
  state.checkpoint = RedoAddress(in.U64());
  state.clean = in.Bool();
  state.next_transaction = in.U64();
  state.next_scn = in.U64();
  state.oldest_unresolved = in.U64();
  return in.Finished() ? Result<ControlState>(state) : Malformed("control");
}

std::string EncodeRedoFileHeader(uint64_t storage_id, Incarnation incarnation, uint64_t number) {
  ByteWriter out;
  out.U64(storage_id);
  out.U64(incarnation.value());
  out.U64(number);
  return EncodeSector(SectorKind::kRedoFile, out.data());
}

std::string ControlName(InstanceId instance) {
  return Format("control-%02llu", instance.value());
}

std::string DoubleWriteName(InstanceId instance) {
  return Format("double-write-%02llu", instance.value());
}

std::string RedoFileName(Incarnation incarnation, uint64_t number) {
  return Format("redo-%08llx-%08llx", incarnation.value(), number);
}

std::optional<RedoFileId> ParseRedoFileName(std::string_view name) {
  if (name.size() != 22 || !name.starts_with("redo-") || name[13] != '-') {
    return std::nullopt;
  }
  std::optional<uint64_t> incarnation = ParseHex(name.substr(5, 8));
  std::optional<uint64_t> number = ParseHex(name.substr(14));
  if (!incarnation || !number) {
    return std::nullopt;
  }
  return RedoFileId{Incarnation(*incarnation), *number};
}

std::string SegmentFileName(uint64_t segment, uint32_t part) {
  return Format("segment-%016llx-%04llx", segment, part);
}

std::optional<SegmentFileId> ParseSegmentFileName(std::string_view name) {
  if (name.size() != 29 || !name.starts_with("segment-") || name[24] != '-') {
    return std::nullopt;
  }
  std::optional<uint64_t> segment = ParseHex(name.substr(8, 16));
  std::optional<uint64_t> part = ParseHex(name.substr(25));
  if (!segment || !part) {
    return std::nullopt;
  }
  return SegmentFileId{*segment, static_cast<uint32_t>(*part)};
}

}  // namespace pgquorum::fusion
