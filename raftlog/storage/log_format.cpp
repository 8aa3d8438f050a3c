#include "raftlog/storage/log_format.h"

#include <array>
#include <charconv>
#include <cstring>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "raftlog/storage/errors.h"

#include "base/pure.h"

namespace pgquorum::raft {
namespace {

constexpr std::size_t kChecksumBytes = 4;
constexpr std::size_t kCheckedHeaderBytes =
    26;  // of a record: after the checksum, before the check
constexpr std::string_view kSegmentPrefix = "log-";
constexpr std::size_t kSequenceDigits = 16;

template <typename T>
void Put(char* to, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    to[i] = static_cast<char>(static_cast<uint64_t>(value) >> (8 * i));
  }
}

template <typename T>
T Get(const char* from) {
  uint64_t value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    value |= uint64_t{static_cast<unsigned char>(from[i])} << (8 * i);
  }
  return static_cast<T>(value);
}

// Tells a header from arbitrary bytes before its length is believed, so that a search for records
// in a damaged region does not compute a checksum of megabytes at every position.
uint16_t HeaderCheck(const char* record, uint32_t seed) {
  return static_cast<uint16_t>(Crc32c({record + kChecksumBytes, kCheckedHeaderBytes}, ~seed));
}

}  // namespace

uint32_t SegmentSeed(uint64_t cluster_id, NodeId node, uint64_t sequence) {
  std::array<char, 24> identity;
  Put<uint64_t>(identity.data(), cluster_id);
  Put<uint64_t>(identity.data() + 8, node.value());
  Put<uint64_t>(identity.data() + 16, sequence);
  return Crc32c({identity.data(), identity.size()});
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
  std::string bytes = std::move(out).Take();
  bytes.resize(kSegmentHeaderBytes - kChecksumBytes, '\0');
  uint32_t seed = SegmentSeed(header.cluster_id, header.node, header.sequence);
  std::array<char, kChecksumBytes> crc;
  Put<uint32_t>(crc.data(), Crc32c(bytes, seed));
  bytes.append(crc.data(), crc.size());
  return bytes;
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
  uint32_t crc = Get<uint32_t>(bytes.data() + kSegmentHeaderBytes - kChecksumBytes);
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
  std::size_t start = out.size();
  std::size_t total = RecordBytes(payload.size());
  out.resize(start + kRecordHeaderBytes);
  char* p = out.data() + start;
  Put<uint32_t>(p + 4, static_cast<uint32_t>(payload.size()));
  Put<uint64_t>(p + 8, header.term.value());
  Put<uint64_t>(p + 16, header.index.value());
  Put<uint32_t>(p + 24, header.durable_back);
  Put<uint8_t>(p + 28, static_cast<uint8_t>(header.type));
  Put<uint8_t>(p + 29, static_cast<uint8_t>(header.entry_type));
  Put<uint16_t>(p + 30, HeaderCheck(p, seed));
  uint32_t crc = Crc32c({p + kChecksumBytes, kRecordHeaderBytes - kChecksumBytes}, seed);
  Put<uint32_t>(p, Crc32c(payload, crc));
  out.append(payload);
  out.resize(start + total, '\0');
}

std::optional<Record> ParseRecord(std::string_view bytes, uint32_t seed) {
  if (bytes.size() < kRecordHeaderBytes) {
    return std::nullopt;
  }
  const char* p = bytes.data();
  auto type = Get<uint8_t>(p + 28);
  auto entry_type = Get<uint8_t>(p + 29);
  Record record;
  record.header.length = Get<uint32_t>(p + 4);
  std::size_t total = RecordBytes(record.header.length);
  if (type == 0 || type > kRecordTypeLast || record.header.length > kMaxRecordPayloadBytes ||
      total > bytes.size() || Get<uint16_t>(p + 30) != HeaderCheck(p, seed)) {
    return std::nullopt;
  }
  record.payload = bytes.substr(kRecordHeaderBytes, record.header.length);
  uint32_t crc = Crc32c({p + kChecksumBytes, kRecordHeaderBytes - kChecksumBytes}, seed);
  if (Get<uint32_t>(p) != Crc32c(record.payload, crc)) {
    return std::nullopt;
  }
  record.header.term = Term(Get<uint64_t>(p + 8));
  record.header.index = Index(Get<uint64_t>(p + 16));
  record.header.durable_back = Get<uint32_t>(p + 24);
  record.header.type = static_cast<RecordType>(type);
  record.header.entry_type = static_cast<EntryType>(entry_type);
  record.bytes = total;
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
