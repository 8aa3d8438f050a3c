// Names and constants of the files of a shared storage; docs/design/0006-fusion-storage.md is their
// specification. Everything is little endian and checksummed, and a version that is not known is
// refused.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "cachefusion/types.h"

namespace pgquorum::fusion {

inline constexpr std::string_view kErrForeignStorage = "RX300";  // of another server, or a copy
inline constexpr std::string_view kErrUnknownFormat = "RX301";   // written by a later version
inline constexpr std::string_view kErrStorageClosed = "RX302";   // not open, or broken by an error

// What a disk writes whole or not at all.
inline constexpr std::size_t kSectorBytes = 512;

// ---- sectors: registry and control ----------------------------------------------------------
enum class SectorKind : uint32_t {
  kStorage = 1,     // identity of the storage: first sector of the registry
  kInstance = 2,    // one instance: the registry's sectors 1 … 64
  kControl = 3,     // where recovery begins: two slots, written in turn
  kRedoFile = 4,    // first sector of a redo file
  kDoubleWrite = 5  // first sector of the double-write file
};
inline constexpr uint64_t kSectorMagic = 0x6F69737546517067;  // "gpQFusio"
// What is written. Version 2 says that pages may hold chains of overflow pages; the sectors
// themselves are as they were, so version 1 is read too. A server that knows only 1 refuses 2.
inline constexpr uint32_t kSectorVersion = 2;
inline constexpr uint32_t kOldestSectorVersion = 1;
inline constexpr std::size_t kSectorPayloadMax = kSectorBytes - 24;

// A sector of 512 bytes: magic, version, kind, payload length, payload, zeros, checksum in the last
// four bytes. `payload` is at most kSectorPayloadMax long.
std::string EncodeSector(SectorKind kind, std::string_view payload);
// The payload. kErrDamaged, kErrUnknownFormat. An error also for an empty sector.
Result<std::string> DecodeSector(SectorKind kind, std::string_view sector);

struct StorageIdentity {
  uint64_t storage_id = 0;         // drawn when the storage is made
  uint64_t system_identifier = 0;  // of the PostgreSQL cluster whose catalogs describe the tables
  uint64_t catalog_position = 0;   // a write-ahead log position that the catalogs have reached
  uint32_t catalog_timeline = 0;
};
std::string EncodeIdentity(const StorageIdentity& identity);
Result<StorageIdentity> DecodeIdentity(std::string_view sector);

// Where the recovery of one instance begins.
struct ControlState {
  uint64_t sequence = 0;  // the slot with the larger one counts
  uint64_t storage_id = 0;
  Incarnation incarnation;  // whose redo thread holds what came last
  RedoAddress checkpoint;   // replay begins here
  bool clean = false;       // stopped in good order: nothing to replay
  uint64_t next_transaction = 1;
  uint64_t next_scn = 1;
  uint64_t oldest_unresolved = 1;  // every transaction before it has its final state in its page
};
std::string EncodeControl(const ControlState& state);
Result<ControlState> DecodeControl(std::string_view sector);
inline constexpr std::size_t kControlSlotBytes = 4096;

// ---- redo -------------------------------------------------------------------------------------
// The first byte of a thread's stream of records.
inline constexpr uint64_t kFirstRedoAddress = 64;
inline constexpr std::size_t kRedoFileHeaderBytes = kSectorBytes;
inline constexpr std::size_t kDefaultRedoFileBytes = std::size_t{16} << 20;
inline constexpr std::size_t kMaxRedoRecordBytes = std::size_t{1} << 20;

std::string EncodeRedoFileHeader(uint64_t storage_id, Incarnation incarnation, uint64_t number);

// ---- double write -----------------------------------------------------------------------------
inline constexpr std::size_t kDoubleWritePages = 64;
inline constexpr std::size_t kDoubleWriteFirstPage = 4096;  // offset of the first image

// ---- names ------------------------------------------------------------------------------------
inline constexpr std::string_view kRegistryName = "registry";
inline constexpr std::string_view kLockName = "lock";
inline constexpr uint32_t kSegmentPartBlocks = 131072;  // 1 GiB a file

std::string ControlName(InstanceId instance);
std::string DoubleWriteName(InstanceId instance);
std::string RedoFileName(Incarnation incarnation, uint64_t number);
struct RedoFileId {
  Incarnation incarnation;
  uint64_t number = 0;
};
std::optional<RedoFileId> ParseRedoFileName(std::string_view name);
std::string SegmentFileName(uint64_t segment, uint32_t part);
struct SegmentFileId {
  uint64_t segment = 0;
  uint32_t part = 0;
};
std::optional<SegmentFileId> ParseSegmentFileName(std::string_view name);

}  // namespace pgquorum::fusion

#include "base/pure.h"
