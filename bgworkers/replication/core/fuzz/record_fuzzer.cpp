// The decoder of change records against hostile bytes: no crash, no memory beyond the input; what
// is accepted is exactly what would be written again. The checksum is put right, so that it hides
// nothing behind it.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "bgworkers/replication/core/change/record.h"

#include "base/pure.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  using namespace pgquorum;
  std::string_view input(reinterpret_cast<const char*>(data), size);
  for (bool with_checksum : {false, true}) {
    ByteWriter bytes;
    bytes.Raw(input);
    if (with_checksum) {
      bytes.U32(Crc32c(input));
    }
    Result<replication::Record> record = replication::DecodeRecord(bytes.data());
    if (record.ok()) {
      std::string again;
      replication::EncodeRecord(record.value(), again);
      PGQUORUM_CHECK(again == bytes.data());
    }
  }
  return 0;
}
