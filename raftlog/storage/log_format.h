// The bytes of the log on disk. The format is described in prose in FORMAT.md; a golden file in
// testdata/ pins it. Everything here is pure: no file is touched.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "base/storage/log_record.h"
#include "raftlog/types.h"

namespace pgquorum::raft {

inline constexpr uint32_t kLogFormatVersion = 1;
inline constexpr uint64_t kSegmentMagic = 0x31474F4C52515047;  // "GPQRLOG1" in file order
inline constexpr std::size_t kSegmentHeaderBytes = 512;        // one sector: never torn
inline constexpr std::size_t kRecordHeaderBytes = kLogRecordHeaderBytes;
inline constexpr std::size_t kRecordAlignment = kLogRecordAlignment;
inline constexpr std::size_t kBatchPayloadBytes = 40;
inline constexpr std::size_t kMarkerPayloadBytes = 16;
// Longest payload that a reader accepts: an entry's data at its limit.
inline constexpr std::size_t kMaxRecordPayloadBytes = std::size_t{16} << 20;

// Values are part of the disk format: never renumber. 0 is not a type: zeroes are no record.
enum class RecordType : uint8_t {
  kBatch = 1,     // opens every write; index/term: the log's end before it; payload: BatchHead
  kEntry = 2,     // payload: the entry's data
  kSnapshot = 3,  // the snapshot of (index, term) is durable; the log may be released up to it
  kInstall = 4,   // the same for a received one: it replaces the whole log, which restarts after it
};
inline constexpr uint8_t kRecordTypeLast = 4;

// A position in the log of entries that is known to have been durable and was lost: the node
// neither votes nor campaigns before its log is that up-to-date again. Zero: none.
struct Refill {
  Term term;
  Index index;

  bool operator==(const Refill&) const = default;
};

// What the checksums of one segment start from. Bytes of another cluster, node or segment (a
// recycled file's earlier life) never verify.
uint32_t SegmentSeed(uint64_t cluster_id, NodeId node, uint64_t sequence);

// The first sector of a segment: enough to go on from when all earlier segments are gone.
struct SegmentHeader {
  uint64_t cluster_id = 0;
  NodeId node;
  uint64_t sequence = 0;  // from 1; never reused
  // The log before this segment ends in that one at that offset, which was durable when this header
  // was written (the watermark). What lies behind it there, and in segments between, is abandoned.
  // 0: nothing precedes.
  uint64_t previous_sequence = 0;
  uint64_t previous_end = 0;
  HardState hard_state;
  Refill refill;
  Index last;      // the log's end before this segment
  Term last_term;  // of the entry there, or of the snapshot
  Index snapshot;  // the latest marker; 0: none
  Term snapshot_term;

  bool operator==(const SegmentHeader&) const = default;
};

std::string EncodeSegmentHeader(const SegmentHeader& header);  // kSegmentHeaderBytes long
// `expected_sequence` is the file name's. kErrDamaged: not (yet) a header; kErrFormat: a later
// format version; kErrForeign: intact, but of another cluster or node.
Result<SegmentHeader> DecodeSegmentHeader(std::string_view bytes, uint64_t cluster_id, NodeId node,
                                          uint64_t expected_sequence);

struct RecordHeader {
  uint32_t length = 0;  // of the payload
  Term term;
  Index index;
  // Everything in this segment up to this many bytes before the record's start was durable when it
  // was written.
  uint32_t durable_back = 0;
  RecordType type = RecordType::kBatch;
  EntryType entry_type = EntryType::kNoOp;  // kEntry only

  bool operator==(const RecordHeader&) const = default;
};

inline std::size_t RecordBytes(std::size_t payload) {
  return LogRecordBytes(payload);
}

void AppendRecord(const RecordHeader& header, std::string_view payload, uint32_t seed,
                  std::string& out);

struct Record {
  RecordHeader header;
  std::string_view payload;  // into the input
  std::size_t bytes = 0;     // with padding: the next record's distance
};
// The record at the start of `bytes`, or nothing if there is none that verifies.
std::optional<Record> ParseRecord(std::string_view bytes, uint32_t seed);

// State repeated at the head of every write, so that no vote or term depends on a single record.
struct BatchHead {
  HardState hard_state;
  Refill refill;

  bool operator==(const BatchHead&) const = default;
};
std::string EncodeBatchHead(const BatchHead& head);
std::optional<BatchHead> DecodeBatchHead(std::string_view payload);

// Payload of kSnapshot and kInstall: ties the marker to one snapshot file.
struct SnapshotMarker {
  uint64_t size = 0;
  uint32_t checksum = 0;

  bool operator==(const SnapshotMarker&) const = default;
};
std::string EncodeSnapshotMarker(const SnapshotMarker& marker);
std::optional<SnapshotMarker> DecodeSnapshotMarker(std::string_view payload);

// "log-000000000000002a"; nothing for other names.
std::string SegmentName(uint64_t sequence);
std::optional<uint64_t> ParseSegmentName(std::string_view name);

}  // namespace pgquorum::raft

#include "base/pure.h"
