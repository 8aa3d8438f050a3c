#include "cachefusion/wire/codec.h"

#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "cachefusion/wire/parts.h"

#include "base/pure.h"

namespace pgquorum::fusion {
namespace {

constexpr uint16_t kDirty = 1, kUnsaved = 2, kPast = 4, kRecoverFlag = 8, kLast = 16, kDeaths = 32;
constexpr uint16_t kAllFlags = 63;

constexpr uint16_t kLockBit = 1, kData = 2, kFrames = 4, kLocks = 8, kMarksBit = 16, kEdgesBit = 32,
                   kEntries = 64, kResources = 128;
constexpr uint16_t kAllParts = 255;

uint16_t FlagsOf(const Message& m) {
  unsigned flags = (m.dirty ? kDirty : 0U) | (m.unsaved ? kUnsaved : 0U) | (m.past ? kPast : 0U) |
                   (m.recover ? kRecoverFlag : 0U) | (m.last ? kLast : 0U) |
                   (m.deaths ? kDeaths : 0U);
  return static_cast<uint16_t>(flags);
}

uint16_t PartsOf(const Message& m) {
  unsigned parts = (m.lock == LockPart() ? 0U : kLockBit) | (m.data.empty() ? 0U : kData) |
                   (m.frames.empty() ? 0U : kFrames) | (m.locks.empty() ? 0U : kLocks) |
                   (m.marks.empty() ? 0U : kMarksBit) | (m.edges.empty() ? 0U : kEdgesBit) |
                   (m.entries.empty() ? 0U : kEntries) | (m.resources.empty() ? 0U : kResources);
  return static_cast<uint16_t>(parts);
}

bool KnownType(uint8_t type) {
  return (type >= 1 && type <= 15) || (type >= 20 && type <= 28) || (type >= 30 && type <= 38) ||
         type == 40 || type == 41;
}

template <typename T>
void WriteList(const std::vector<T>& list, ByteWriter& out) {
  PGQUORUM_CHECK(list.size() <= kMaxListed);
  out.U32(static_cast<uint32_t>(list.size()));
  for (const T& item : list) {
    WritePart(item, out);
  }
}

template <typename T>
void ReadList(ByteReader& in, std::vector<T>& list) {
  std::size_t count = in.Count(kMaxListed, kLeastBytes<T>);
  list.reserve(count);
  for (std::size_t i = 0; i < count && in.ok(); ++i) {
    list.push_back(ReadPart<T>(in));
  }
}

Status Malformed() {
  return Status::Error(kErrMalformedMessage, "malformed cache fusion message");
}

// The bytes before a right checksum; empty: it is wrong.
std::string_view Checked(std::string_view bytes) {
  if (bytes.size() < sizeof(uint32_t)) {
    return {};
  }
  std::string_view body = bytes.substr(0, bytes.size() - sizeof(uint32_t));
  ByteReader tail(bytes.substr(body.size()));
  return tail.U32() == Crc32c(body) ? body : std::string_view();
}

std::string Seal(ByteWriter&& out) {
  uint32_t crc = Crc32c(out.data());
  out.U32(crc);
  return std::move(out).Take();
}

void ReadParts(uint16_t parts, ByteReader& in, Message& m) {
  if ((parts & kLockBit) != 0) {
    m.lock = ReadPart<LockPart>(in);
  }
  if ((parts & kData) != 0) {
    m.data = in.Bytes(kMaxPageBytes);
  }
  if ((parts & kFrames) != 0) {
    ReadList(in, m.frames);
  }
  if ((parts & kLocks) != 0) {
    ReadList(in, m.locks);
  }
  if ((parts & kMarksBit) != 0) {
    ReadList(in, m.marks);
  }
  if ((parts & kEdgesBit) != 0) {
    ReadList(in, m.edges);
  }
  if ((parts & kEntries) != 0) {
    ReadList(in, m.entries);
  }
  if ((parts & kResources) != 0) {
    ReadList(in, m.resources);
  }
}

}  // namespace

std::string EncodeMessage(const Message& m) {
  PGQUORUM_CHECK(m.data.size() <= kMaxPageBytes);
  uint16_t parts = PartsOf(m);
  ByteWriter out;
  out.U8(kWireVersion);
  out.U8(static_cast<uint8_t>(m.type));
  out.U8(m.from.value());
  out.U8(m.to.value());
  out.U64(m.epoch.value());
  out.U16(FlagsOf(m));
  out.U16(parts);
  out.U16(m.bucket);
  WritePart(m.page, out);
  out.U8(static_cast<uint8_t>(m.mode));
  out.U8(static_cast<uint8_t>(m.have));
  out.U64(m.psn.value());
  out.U8(m.peer.value());
  out.U64(m.conversion);
  if ((parts & kLockBit) != 0) {
    WritePart(m.lock, out);
  }
  if ((parts & kData) != 0) {
    out.Bytes(m.data);
  }
  auto list = [&](uint16_t part, const auto& items) {
    if ((parts & part) != 0) {
      WriteList(items, out);
    }
  };
  list(kFrames, m.frames);
  list(kLocks, m.locks);
  list(kMarksBit, m.marks);
  list(kEdgesBit, m.edges);
  list(kEntries, m.entries);
  list(kResources, m.resources);
  return Seal(std::move(out));
}

Result<Message> DecodeMessage(std::string_view bytes) {
  ByteReader in(Checked(bytes));
  uint8_t version = in.U8();
  uint8_t type = in.U8();
  if (version != kWireVersion || !KnownType(type)) {
    return Malformed();
  }
  Message m;
  m.type = static_cast<MessageType>(type);
  m.from = ReadPart<InstanceId>(in);
  m.to = ReadPart<InstanceId>(in);
  m.epoch = Epoch(in.U64());
  uint16_t flags = in.U16();
  uint16_t parts = in.U16();
  m.bucket = in.U16();
  m.page = ReadPart<PageId>(in);
  m.mode = ReadPart<BlockMode>(in);
  m.have = ReadPart<BlockMode>(in);
  m.psn = Psn(in.U64());
  m.peer = ReadPart<InstanceId>(in);
  m.conversion = in.U64();
  m.dirty = (flags & kDirty) != 0;
  m.unsaved = (flags & kUnsaved) != 0;
  m.past = (flags & kPast) != 0;
  m.recover = (flags & kRecoverFlag) != 0;
  m.last = (flags & kLast) != 0;
  m.deaths = (flags & kDeaths) != 0;
  ReadParts(parts, in, m);
  bool known = flags <= kAllFlags && parts <= kAllParts && PartsOf(m) == parts;
  if (!in.Finished() || !known) {
    return Malformed();
  }
  return m;
}

std::string EncodeDatagram(const Datagram& datagram) {
  PGQUORUM_CHECK(datagram.payload.size() <= kMaxPayloadBytes);
  ByteWriter out;
  out.U8(kWireVersion);
  out.U8(datagram.from.value());
  out.U8(datagram.to.value());
  out.U8(0);
  out.U64(datagram.from_life.value());
  out.U64(datagram.to_life.value());
  out.U64(datagram.sequence);
  out.U64(datagram.acknowledged);
  out.Bytes(datagram.payload);
  return Seal(std::move(out));
}

Result<Datagram> DecodeDatagram(std::string_view bytes) {
  ByteReader in(Checked(bytes));
  if (in.U8() != kWireVersion) {
    return Malformed();
  }
  Datagram datagram;
  datagram.from = ReadPart<InstanceId>(in);
  datagram.to = ReadPart<InstanceId>(in);
  uint8_t zero = in.U8();
  datagram.from_life = Incarnation(in.U64());
  datagram.to_life = Incarnation(in.U64());
  datagram.sequence = in.U64();
  datagram.acknowledged = in.U64();
  datagram.payload = in.Bytes(kMaxPayloadBytes);
  if (!in.Finished() || zero != 0) {
    return Malformed();
  }
  return datagram;
}

}  // namespace pgquorum::fusion
