// Bytes of the types of raftlog/types.h, for the wire and for log records. Little endian, every
// length bounded by the input and by the limits below, so hostile input costs nothing and yields an
// error. Messages start with a version and end with the CRC32C of all before it; the other
// encodings carry neither: their container (log record, snapshot file) does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/status.h"
#include "raftlog/types.h"

namespace pgquorum::raft {

inline constexpr uint8_t kMessageVersion = 1;
// Limits that both sides enforce: the encoder by PGQUORUM_CHECK, the decoder by an error.
inline constexpr std::size_t kMaxEntryDataBytes = std::size_t{16} << 20;
inline constexpr std::size_t kMaxMessageEntries = 10'000;
inline constexpr std::size_t kMaxNodesPerSet = 1'000;
inline constexpr std::size_t kMaxChunkBytes = std::size_t{4} << 20;
inline constexpr std::size_t kMaxConfigContextBytes = std::size_t{1} << 20;

std::string EncodeMessage(const Message& message);
// kErrMalformed on a foreign version, a bad checksum, or any field out of bounds.
Result<Message> DecodeMessage(std::string_view bytes);

void EncodeEntry(const Entry& entry, ByteWriter& out);
// Like all of the readers below: on malformed input the reader's ok() turns false and the value is
// unspecified.
Entry DecodeEntry(ByteReader& in);

void EncodeHardState(const HardState& state, ByteWriter& out);
HardState DecodeHardState(ByteReader& in);

void EncodeConfiguration(const Configuration& configuration, ByteWriter& out);
// Refuses sets that are not sorted or hold none or a duplicate, besides the bounds.
Configuration DecodeConfiguration(ByteReader& in);

void EncodeSnapshotMeta(const SnapshotMeta& meta, ByteWriter& out);
SnapshotMeta DecodeSnapshotMeta(ByteReader& in);

// The data of an EntryType::kConfig entry: the configuration that holds from this entry on, and
// bytes that the proposer adds for the application (names, addresses).
struct ConfigEntry {
  Configuration configuration;
  std::string context;

  bool operator==(const ConfigEntry&) const = default;
};
std::string EncodeConfigEntry(const ConfigEntry& entry);
Result<ConfigEntry> DecodeConfigEntry(std::string_view data);

}  // namespace pgquorum::raft

#include "base/pure.h"
