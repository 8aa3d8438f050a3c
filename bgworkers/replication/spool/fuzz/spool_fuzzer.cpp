// Arbitrary bytes as a record, as a header, and as the content of a directory's segments: no input
// may crash the reader or make it report transactions that it cannot read back.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/storage/memory_file.h"
#include "bgworkers/replication/spool/spool.h"

#include "base/pure.h"

using namespace pgquorum;
using namespace pgquorum::replication;

namespace {

const Origin kOwn{SiteId(1), 1};
const Origin kOther{SiteId(2), 1};
const SpoolIdentity kIdentity{5, SiteId(1)};

// Valid checksums over fuzzed fields, which random bytes alone would never reach: the input is a
// list of (kind, sequence, durable_back, length) with zeroes as payload.
std::string Build(std::string_view input, const SpoolSegment& segment) {
  uint32_t seed = SpoolSeed(kIdentity, segment);
  std::string content = EncodeSpoolHeader(kIdentity, segment);
  while (input.size() >= 4) {
    auto byte = [&](std::size_t i) { return static_cast<unsigned char>(input[i]); };
    std::string payload(byte(3), '\0');
    SpoolRecord record;
    record.kind = byte(0) % 4 == 3 ? SpoolRecordKind::kProof : SpoolRecordKind::kTransaction;
    record.sequence = byte(1) % 16;
    record.durable_back = byte(2) * 8U;
    record.payload = payload;
    AppendSpoolRecord(record, seed, content);
    input.remove_prefix(4);
  }
  return content;
}

void OpenAndRead(std::string_view first, std::string_view second, uint64_t begin) {
  MemoryFileSystem fs;
  PGQUORUM_CHECK(fs.MakeDirectory("d").ok());
  auto put = [&](uint64_t sequence, std::string_view content) {
    auto file = fs.Open(JoinPath("d", SpoolSegmentName({kOther, sequence})), OpenMode::kCreate);
    PGQUORUM_CHECK(file.ok() && file.value()->Write(0, content).ok());
  };
  put(1, first);
  if (begin > 1) {
    put(begin, second);
  }
  for (int start = 0; start < 2; ++start) {
    auto spool = Spool::Open(fs, "d", kIdentity.group_id, kOwn, SpoolOptions(), {});
    if (!spool.ok()) {
      return;
    }
    PGQUORUM_CHECK(start == 0 || spool.value()->damage().empty());
    uint64_t durable = spool.value()->index().Of(kOther).durable;
    SpoolReader reader = spool.value()->Read(kOther, 1);
    while (reader.next() <= durable) {
      PGQUORUM_CHECK(reader.Read(durable, 100).ok());
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size);
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  (void)ParseSpoolRecord(input, 0);
  (void)CheckSpoolHeader(input, kIdentity, {kOther, 1});
  if (input.size() < 2 || input.size() > 16'384) {
    return 0;
  }
  bool raw = input[0] == 0;
  uint64_t begin = static_cast<unsigned char>(input[1]) % 8;
  input.remove_prefix(2);
  std::string_view half = input.substr(0, input.size() / 2);
  std::string_view rest = input.substr(input.size() / 2);
  if (raw) {
    OpenAndRead(input, input, begin);
  } else {
    OpenAndRead(Build(half, {kOther, 1}), Build(rest, {kOther, begin}), begin);
  }
  return 0;
}
