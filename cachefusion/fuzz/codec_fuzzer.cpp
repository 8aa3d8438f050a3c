// The decoders of cachefusion/wire against hostile bytes: no crash, no unbounded memory, and what
// decodes encodes again to the same bytes.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "cachefusion/wire/codec.h"

#include "base/pure.h"

namespace pgquorum::fusion {
namespace {

// With a right checksum, so that the fields behind it are reached.
std::string Sealed(std::string_view data) {
  ByteWriter bytes;
  bytes.Raw(data);
  bytes.U32(Crc32c(data));
  return std::move(bytes).Take();
}

void FuzzMessage(const std::string& bytes) {
  Result<Message> message = DecodeMessage(bytes);
  if (message.ok()) {
    PGQUORUM_CHECK(EncodeMessage(message.value()) == bytes);
  }
}

void FuzzDatagram(const std::string& bytes) {
  Result<Datagram> datagram = DecodeDatagram(bytes);
  if (datagram.ok()) {
    PGQUORUM_CHECK(EncodeDatagram(datagram.value()) == bytes);
  }
}

}  // namespace
}  // namespace pgquorum::fusion

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, std::size_t size) {
  using namespace pgquorum::fusion;
  if (size == 0) {
    return 0;
  }
  std::string data(bytes + 1, bytes + size);
  std::string input = (bytes[0] & 2) != 0 ? data : Sealed(data);
  if ((bytes[0] & 1) != 0) {
    FuzzMessage(input);
  } else {
    FuzzDatagram(input);
  }
  return 0;
}
