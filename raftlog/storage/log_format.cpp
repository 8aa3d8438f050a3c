#include "raftlog/storage/log_format.h"

#include <array>
#include <charconv>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "raftlog/storage/errors.h"

#include "base/pure.h"

namespace pgquorum::raft {
namespace {

constexpr std::size_t kChecksumBytes = 4;
constexpr std::string_view kSegmentPrefix = "log-";
constexpr std::size_t kSequenceDigits = 16;

}  // namespace

uint32_t SegmentSeed(uint64_t cluster_id, NodeId node, uint64_t sequence) {
  ByteWriter identity;
  identity.U64(cluster_id);
  identity.U64(node.value());
  identity.U64(sequence);
  return Crc32c(identity.data());
}

std::string EncodeSegmentHeader(const SegmentHeader& header) {
  ByteWriter out;
  out.U64(kSegmentMagic);
  out.U32(kLogFormatVersion);
  out.U32(kSegmentHeaderBytes);
  out.U64(header.cluster_id);
  out.U64(header.node.value());
  out.U64(header.sequence);
  out.U64(header.previous_sequence);
  out.U64(header.previous_end);
  out.U64(header.hard_state.term.value());
  out.U64(header.hard_state.vote.value());
  out.U64(header.hard_state.commit.value());
  out.U64(header.refill.term.value());
  out.U64(header.refill.index.value());
  out.U64(header.last.value());
  out.U64(header.last_term.value());
  out.U64(header.snapshot.value());
  out.U64(header.snapshot_term.value());
  out.Raw(std::string(kSegmentHeaderBytes - kChecksumBytes - out.size(), '\0'));
  out.U32(Crc32c(out.data(), SegmentSeed(header.cluster_id, header.node, header.sequence)));
  return std::move(out).Take();
}

Result<SegmentHeader> DecodeSegmentHeader(std::string_view bytes, uint64_t cluster_id, NodeId node,
                                          uint64_t expected_sequence) {
  Status damaged = Status::Error(kErrDamaged, "segment " + SegmentName(expected_sequence) +
                                                  " of the Raft log has no valid header");
  if (bytes.size() < kSegmentHeaderBytes) {
    return damaged;
  }
  bytes = bytes.substr(0, kSegmentHeaderBytes);
  ByteReader in(bytes);
  SegmentHeader h;
  uint64_t magic = in.U64();
  uint32_t version = in.U32();
  in.U32();
  h.cluster_id = in.U64();
  h.node = NodeId(in.U64());
  h.sequence = in.U64();
  h.previous_sequence = in.U64();
  h.previous_end = in.U64();
  h.hard_state.term = Term(in.U64());
  h.hard_state.vote = NodeId(in.U64());
  h.hard_state.commit = Index(in.U64());
  h.refill.term = Term(in.U64());
  h.refill.index = Index(in.U64());
  h.last = Index(in.U64());
  h.last_term = Term(in.U64());
  h.snapshot = Index(in.U64());
  h.snapshot_term = Term(in.U64());
  uint32_t crc = ByteReader(bytes.substr(kSegmentHeaderBytes - kChecksumBytes)).U32();
  uint32_t seed = SegmentSeed(h.cluster_id, h.node, h.sequence);
  if (magic != kSegmentMagic || h.sequence != expected_sequence ||
      crc != Crc32c(bytes.substr(0, kSegmentHeaderBytes - kChecksumBytes), seed)) {
    return damaged;
  }
  if (version != kLogFormatVersion) {
    return Status::Error(kErrFormat, "the Raft log has format version " + std::to_string(version) +
                                         ", this program knows " +
                                         std::to_string(kLogFormatVersion));
  }
  if (h.cluster_id != cluster_id || h.node != node) {
    return Status::Error(kErrForeign, "the Raft log belongs to another cluster or node");
  }
  return h;
}

void AppendRecord(const RecordHeader& header, std::string_view payload, uint32_t seed,
                  std::string& out) {
  PGQUORUM_CHECK(payload.size() <= kMaxRecordPayloadBytes);
  LogRecordHeader framed;
  framed.first = header.term.value();
  framed.second = header.index.value();
  framed.durable_back = header.durable_back;
  framed.kind = static_cast<uint8_t>(header.type);
  framed.tag = static_cast<uint8_t>(header.entry_type);
  AppendLogRecord(framed, payload, seed, out);
}

std::optional<Record> ParseRecord(std::string_view bytes, uint32_t seed) {
  std::optional<LogRecord> framed = ParseLogRecord(bytes, seed, kMaxRecordPayloadBytes);
  if (!framed || framed->header.kind > kRecordTypeLast) {
    return std::nullopt;
  }
  Record record;
  record.header.length = framed->header.length;
  record.header.term = Term(framed->header.first);
  record.header.index = Index(framed->header.second);
  record.header.durable_back = framed->header.durable_back;
  record.header.type = static_cast<RecordType>(framed->header.kind);
  record.header.entry_type = static_cast<EntryType>(framed->header.tag);
  record.payload = framed->payload;
  record.bytes = framed->bytes;
  return record;
}

std::string EncodeBatchHead(const BatchHead& head) {
  ByteWriter out;
  out.U64(head.hard_state.term.value());
  out.U64(head.hard_state.vote.value());
  out.U64(head.hard_state.commit.value());
  out.U64(head.refill.term.value());
  out.U64(head.refill.index.value());
  PGQUORUM_CHECK(out.size() == kBatchPayloadBytes);
  return std::move(out).Take();
}

std::optional<BatchHead> DecodeBatchHead(std::string_view payload) {
  ByteReader in(payload);
  BatchHead head;
  head.hard_state.term = Term(in.U64());
  head.hard_state.vote = NodeId(in.U64());
  head.hard_state.commit = Index(in.U64());
  head.refill.term = Term(in.U64());
  head.refill.index = Index(in.U64());
  return in.Finished() ? std::optional(head) : std::nullopt;
}

std::string EncodeSnapshotMarker(const SnapshotMarker& marker) {
  ByteWriter out;
  out.U64(marker.size);
  out.U32(marker.checksum);
  out.U32(0);
  PGQUORUM_CHECK(out.size() == kMarkerPayloadBytes);
  return std::move(out).Take();
}

std::optional<SnapshotMarker> DecodeSnapshotMarker(std::string_view payload) {
  ByteReader in(payload);
  SnapshotMarker marker;
  marker.size = in.U64();
  marker.checksum = in.U32();
  in.U32();
  return in.Finished() ? std::optional(marker) : std::nullopt;
}

std::string SegmentName(uint64_t sequence) {
  std::array<char, kSequenceDigits> digits;
  digits.fill('0');
  for (std::size_t i = kSequenceDigits; i > 0 && sequence != 0; --i, sequence >>= 4) {
    digits[i - 1] = "0123456789abcdef"[sequence & 15];
  }
  return std::string(kSegmentPrefix) + std::string(digits.data(), digits.size());
}

std::optional<uint64_t> ParseSegmentName(std::string_view name) {
  if (name.size() != kSegmentPrefix.size() + kSequenceDigits || !name.starts_with(kSegmentPrefix)) {
    return std::nullopt;
  }
  name.remove_prefix(kSegmentPrefix.size());
  uint64_t sequence = 0;
  auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), sequence, 16);
  if (error != std::errc() || end != name.data() + name.size() || sequence == 0) {
    return std::nullopt;
  }
  return sequence;
}

}  // namespace pgquorum::raft
