// Every decoder of raftlog/codec.h and raftlog/sessions.h against hostile bytes: no crash, no
// unbounded memory, and what decodes encodes again to something that decodes to the same.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/crc32c.h"
#include "raftlog/codec.h"
#include "raftlog/sessions.h"

#include "base/pure.h"

namespace pgquorum::raft {
namespace {

void FuzzMessage(std::string_view data) {
  // A right checksum, so that the fields behind it are reached.
  ByteWriter bytes;
  bytes.Raw(data);
  bytes.U32(Crc32c(data));
  Result<Message> message = DecodeMessage(bytes.data());
  if (message.ok()) {
    Result<Message> again = DecodeMessage(EncodeMessage(message.value()));
    PGQUORUM_CHECK(again.ok() && again.value() == message.value());
  }
  (void)DecodeMessage(data).ok();
}

void FuzzConfigEntry(std::string_view data) {
  Result<ConfigEntry> entry = DecodeConfigEntry(data);
  if (entry.ok()) {
    PGQUORUM_CHECK(EncodeConfigEntry(entry.value()) == data);
  }
}

void FuzzSnapshotMeta(std::string_view data) {
  ByteReader in(data);
  SnapshotMeta meta = DecodeSnapshotMeta(in);
  if (in.Finished()) {
    ByteWriter out;
    EncodeSnapshotMeta(meta, out);
    PGQUORUM_CHECK(out.data() == data);
  }
}

void FuzzEntry(std::string_view data) {
  ByteReader in(data);
  Entry entry = DecodeEntry(in);
  if (in.Finished()) {
    ByteWriter out;
    EncodeEntry(entry, out);
    PGQUORUM_CHECK(out.data() == data);
  }
}

void FuzzSessions(std::string_view data) {
  Result<SessionCommand> command = DecodeSessionCommand(data);
  if (command.ok()) {
    PGQUORUM_CHECK(EncodeSessionCommand(command.value()) == data);
  }
  SessionTable table;
  if (table.Decode(data).ok()) {
    SessionTable again;
    PGQUORUM_CHECK(again.Decode(table.Encode()).ok() && again.Encode() == table.Encode());
  }
}

}  // namespace
}  // namespace pgquorum::raft

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, std::size_t size) {
  using namespace pgquorum::raft;
  if (size == 0) {
    return 0;
  }
  std::string data(bytes + 1, bytes + size);
  switch (bytes[0] % 5) {
    case 0:
      FuzzMessage(data);
      break;
    case 1:
      FuzzConfigEntry(data);
      break;
    case 2:
      FuzzSnapshotMeta(data);
      break;
    case 3:
      FuzzEntry(data);
      break;
    default:
      FuzzSessions(data);
      break;
  }
  return 0;
}
