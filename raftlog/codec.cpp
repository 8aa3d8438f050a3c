#include "raftlog/codec.h"

#include <utility>
#include <vector>

#include "base/check.h"
#include "base/crc32c.h"
#include "raftlog/errors.h"

#include "base/pure.h"

namespace pgquorum::raft {
namespace {

// Optional parts of a message, as bits of a mask: a heartbeat must not pay for a snapshot's fields.
enum Part : uint16_t {
  kLogPosition = 1 << 0,
  kCommit = 1 << 1,
  kHint = 1 << 2,
  kContext = 1 << 3,
  kPriority = 1 << 4,
  kReject = 1 << 5,
  kForce = 1 << 6,
  kEntries = 1 << 7,
  kSnapshot = 1 << 8,
  kChunk = 1 << 9,
  kError = 1 << 10,
  kOffset = 1 << 11,
};
constexpr uint16_t kAllParts = (1 << 12) - 1;
constexpr std::size_t kTypicalMessageBytes = 128;  // all but entries and chunk
constexpr std::size_t kMinEntryBytes = 8 + 8 + 1 + 4;
constexpr std::size_t kChecksumBytes = 4;

uint16_t PartsOf(const Message& m) {
  unsigned parts = 0;
  auto add = [&parts](bool present, Part part) {
    if (present) {
      parts |= part;
    }
  };
  add(m.log_index || m.log_term, kLogPosition);
  add(static_cast<bool>(m.commit), kCommit);
  add(m.hint_index || m.hint_term, kHint);
  add(m.context != 0, kContext);
  add(m.priority != 0, kPriority);
  add(m.reject, kReject);
  add(m.force, kForce);
  add(!m.entries.empty(), kEntries);
  add(m.snapshot != SnapshotMeta{}, kSnapshot);
  add(!m.chunk.empty(), kChunk);
  add(!m.error.empty(), kError);
  add(m.offset != 0, kOffset);
  return static_cast<uint16_t>(parts);
}

void EncodeNodes(const std::vector<NodeId>& nodes, ByteWriter& out) {
  PGQUORUM_CHECK(nodes.size() <= kMaxNodesPerSet);
  out.U32(static_cast<uint32_t>(nodes.size()));
  for (NodeId id : nodes) {
    out.U64(id.value());
  }
}

std::vector<NodeId> DecodeNodes(ByteReader& in) {
  std::size_t count = in.Count(kMaxNodesPerSet, sizeof(uint64_t));
  std::vector<NodeId> nodes;
  nodes.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    NodeId id(in.U64());
    NodeId previous = nodes.empty() ? NodeId() : nodes.back();
    if (id <= previous) {
      in.Fail();
      return {};
    }
    nodes.push_back(id);
  }
  return nodes;
}

void DecodeParts(uint16_t parts, ByteReader& in, Message& m) {
  if (parts & kLogPosition) {
    m.log_index = Index(in.U64());
    m.log_term = Term(in.U64());
  }
  if (parts & kCommit) {
    m.commit = Index(in.U64());
  }
  if (parts & kHint) {
    m.hint_index = Index(in.U64());
    m.hint_term = Term(in.U64());
  }
  if (parts & kContext) {
    m.context = in.U64();
  }
  if (parts & kPriority) {
    m.priority = in.U32();
  }
  m.reject = (parts & kReject) != 0;
  m.force = (parts & kForce) != 0;
  if (parts & kEntries) {
    std::size_t count = in.Count(kMaxMessageEntries, kMinEntryBytes);
    m.entries.reserve(count);
    for (std::size_t i = 0; i < count && in.ok(); ++i) {
      m.entries.push_back(DecodeEntry(in));
    }
  }
  if (parts & kSnapshot) {
    m.snapshot = DecodeSnapshotMeta(in);
  }
  if (parts & kChunk) {
    m.chunk = in.Bytes(kMaxChunkBytes);
  }
  if (parts & kError) {
    m.error = in.Bytes(5);
  }
  if (parts & kOffset) {
    m.offset = in.U64();
  }
}

// What the core takes for granted of a decoded message: entries follow each other from
// log_index + 1, terms do not decrease and are not above the message's.
bool WellFormed(const Message& m) {
  if (!m.from || !m.to) {
    return false;
  }
  if (m.kind == MessageKind::kPropose) {
    return m.entries.size() == 1;
  }
  if (m.kind != MessageKind::kAppend && !m.entries.empty()) {
    return false;
  }
  Term term = m.log_term;
  uint64_t index = m.log_index.value();
  if (index > UINT64_MAX - kMaxMessageEntries) {
    return false;
  }
  for (const Entry& entry : m.entries) {
    if (entry.index != Index(++index) || entry.term < term || entry.term > m.term) {
      return false;
    }
    term = entry.term;
  }
  return m.chunk.empty() ||
         (m.offset <= m.snapshot.size && m.chunk.size() <= m.snapshot.size - m.offset);
}

Status Malformed(std::string_view what) {
  return Status::Error(kErrMalformed, "malformed raft message").WithDetail(std::string(what));
}

}  // namespace

void EncodeEntry(const Entry& entry, ByteWriter& out) {
  PGQUORUM_CHECK(entry.data.size() <= kMaxEntryDataBytes);
  out.U64(entry.term.value());
  out.U64(entry.index.value());
  out.U8(static_cast<uint8_t>(entry.type));
  out.Bytes(entry.data);
}

Entry DecodeEntry(ByteReader& in) {
  Entry entry;
  entry.term = Term(in.U64());
  entry.index = Index(in.U64());
  uint8_t type = in.U8();
  if (type > static_cast<uint8_t>(EntryType::kSession)) {
    in.Fail();
    return entry;
  }
  entry.type = static_cast<EntryType>(type);
  entry.data = in.Bytes(kMaxEntryDataBytes);
  return entry;
}

void EncodeHardState(const HardState& state, ByteWriter& out) {
  out.U64(state.term.value());
  out.U64(state.vote.value());
  out.U64(state.commit.value());
}

HardState DecodeHardState(ByteReader& in) {
  HardState state;
  state.term = Term(in.U64());
  state.vote = NodeId(in.U64());
  state.commit = Index(in.U64());
  return state;
}

void EncodeConfiguration(const Configuration& configuration, ByteWriter& out) {
  EncodeNodes(configuration.voters, out);
  EncodeNodes(configuration.outgoing, out);
  EncodeNodes(configuration.learners, out);
  EncodeNodes(configuration.learners_next, out);
  EncodeNodes(configuration.witnesses, out);
  out.Bool(configuration.auto_leave);
}

Configuration DecodeConfiguration(ByteReader& in) {
  Configuration configuration;
  configuration.voters = DecodeNodes(in);
  configuration.outgoing = DecodeNodes(in);
  configuration.learners = DecodeNodes(in);
  configuration.learners_next = DecodeNodes(in);
  configuration.witnesses = DecodeNodes(in);
  configuration.auto_leave = in.Bool();
  return configuration;
}

void EncodeSnapshotMeta(const SnapshotMeta& meta, ByteWriter& out) {
  out.U64(meta.index.value());
  out.U64(meta.term.value());
  EncodeConfiguration(meta.configuration, out);
  out.U64(meta.size);
  out.U32(meta.checksum);
}

SnapshotMeta DecodeSnapshotMeta(ByteReader& in) {
  SnapshotMeta meta;
  meta.index = Index(in.U64());
  meta.term = Term(in.U64());
  meta.configuration = DecodeConfiguration(in);
  meta.size = in.U64();
  meta.checksum = in.U32();
  return meta;
}

std::string EncodeConfigEntry(const ConfigEntry& entry) {
  PGQUORUM_CHECK(entry.context.size() <= kMaxConfigContextBytes);
  ByteWriter out;
  out.U8(1);
  EncodeConfiguration(entry.configuration, out);
  out.Bytes(entry.context);
  return std::move(out).Take();
}

Result<ConfigEntry> DecodeConfigEntry(std::string_view data) {
  ByteReader in(data);
  ConfigEntry entry;
  uint8_t version = in.U8();
  entry.configuration = DecodeConfiguration(in);
  entry.context = in.Bytes(kMaxConfigContextBytes);
  if (version != 1 || !in.Finished() || entry.configuration.voters.empty()) {
    return Status::Error(kErrMalformed, "malformed raft configuration entry");
  }
  return entry;
}

std::string EncodeMessage(const Message& m) {
  ByteWriter out;
  uint16_t parts = PartsOf(m);
  std::size_t bytes = kTypicalMessageBytes + m.chunk.size();
  for (const Entry& entry : m.entries) {
    bytes += kMinEntryBytes + entry.data.size();
  }
  out.Reserve(bytes);
  out.U8(kMessageVersion);
  out.U8(static_cast<uint8_t>(m.kind));
  out.U16(parts);
  out.U64(m.from.value());
  out.U64(m.to.value());
  out.U64(m.term.value());
  if (parts & kLogPosition) {
    out.U64(m.log_index.value());
    out.U64(m.log_term.value());
  }
  if (parts & kCommit) {
    out.U64(m.commit.value());
  }
  if (parts & kHint) {
    out.U64(m.hint_index.value());
    out.U64(m.hint_term.value());
  }
  if (parts & kContext) {
    out.U64(m.context);
  }
  if (parts & kPriority) {
    out.U32(m.priority);
  }
  if (parts & kEntries) {
    PGQUORUM_CHECK(m.entries.size() <= kMaxMessageEntries);
    out.U32(static_cast<uint32_t>(m.entries.size()));
    for (const Entry& entry : m.entries) {
      EncodeEntry(entry, out);
    }
  }
  if (parts & kSnapshot) {
    EncodeSnapshotMeta(m.snapshot, out);
  }
  if (parts & kChunk) {
    PGQUORUM_CHECK(m.chunk.size() <= kMaxChunkBytes);
    out.Bytes(m.chunk);
  }
  if (parts & kError) {
    out.Bytes(m.error);
  }
  if (parts & kOffset) {
    out.U64(m.offset);
  }
  out.U32(Crc32c(out.data()));
  return std::move(out).Take();
}

Result<Message> DecodeMessage(std::string_view bytes) {
  if (bytes.size() < kChecksumBytes) {
    return Malformed("too short");
  }
  std::string_view body = bytes.substr(0, bytes.size() - kChecksumBytes);
  ByteReader trailer(bytes.substr(body.size()));
  if (trailer.U32() != Crc32c(body)) {
    return Malformed("checksum mismatch");
  }
  ByteReader in(body);
  if (in.U8() != kMessageVersion) {
    return Malformed("unknown version");
  }
  Message m;
  uint8_t kind = in.U8();
  uint16_t parts = in.U16();
  if (kind == 0 || kind > kMessageKindLast || (parts & ~kAllParts) != 0) {
    return Malformed("unknown kind");
  }
  m.kind = static_cast<MessageKind>(kind);
  m.from = NodeId(in.U64());
  m.to = NodeId(in.U64());
  m.term = Term(in.U64());
  DecodeParts(parts, in, m);
  if (!in.Finished()) {
    return Malformed("field out of bounds");
  }
  if (!WellFormed(m)) {
    return Malformed("inconsistent fields");
  }
  return m;
}

}  // namespace pgquorum::raft
