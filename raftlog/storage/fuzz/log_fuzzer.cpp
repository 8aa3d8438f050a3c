// Arbitrary bytes as a record, and as the content of a whole directory's only segment: no input may
// crash the reader or make it report entries that it cannot read back.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/check.h"
#include "raftlog/storage/log_store.h"
#include "base/storage/memory_file.h"

#include "base/pure.h"

using namespace pgquorum;
using namespace pgquorum::raft;

namespace {

constexpr uint64_t kCluster = 5;
constexpr NodeId kNode{1};

// Valid checksums over fuzzed fields, which random bytes alone would never reach: the input is a
// list of (type, entry type, term, index, durable_back, length) with the payload left zero.
std::string Build(std::string_view input) {
  uint32_t seed = SegmentSeed(kCluster, kNode, 1);
  SegmentHeader header;
  header.cluster_id = kCluster;
  header.node = kNode;
  header.sequence = 1;
  std::string content = EncodeSegmentHeader(header);
  while (input.size() >= 6) {
    auto byte = [&](std::size_t i) { return static_cast<unsigned char>(input[i]); };
    RecordHeader record;
    record.type = static_cast<RecordType>(1 + byte(0) % 5);  // 0 is no record
    record.entry_type = static_cast<EntryType>(byte(1) % 4);
    record.term = Term(byte(2));
    record.index = Index(byte(3));
    record.durable_back = byte(4) * 8u;
    AppendRecord(record, std::string(byte(5) % 64, '\0'), seed, content);
    input.remove_prefix(6);
  }
  content.resize(std::max<std::size_t>(65'536, content.size()), '\0');
  return content;
}

void OpenAndRead(const std::string& content) {
  MemoryFileSystem fs;
  auto directory = StateDirectory::Open(fs, "d", {kCluster, kNode}, false);
  PGQUORUM_CHECK(directory.ok());
  PGQUORUM_CHECK(directory.value()->NoteLogCreated().ok());
  {
    auto file = fs.Open("d/" + SegmentName(1), OpenMode::kCreate);
    PGQUORUM_CHECK(file.ok() && file.value()->Write(0, content).ok());
  }
  auto snapshots = SnapshotStore::Open(fs, "d", kCluster);
  PGQUORUM_CHECK(snapshots.ok());
  LogStoreOptions options;
  options.segment_bytes = 65'536;
  options.spare_segments = 0;
  auto log = LogStore::Open(*directory.value(), *snapshots.value(), options);
  if (!log.ok()) {
    return;
  }
  const RecoveredState& r = log.value()->recovered();
  if (r.first <= r.last) {
    auto entries = log.value()->Read(r.first, r.last, UINT64_MAX);
    PGQUORUM_CHECK(entries.ok() && entries.value().size() == r.last - r.first + 1);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size);
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  (void)ParseRecord(input, 0);
  (void)DecodeSegmentHeader(input, kCluster, kNode, 1);
  if (!input.empty() && input.size() <= 16'384) {
    bool raw = input.front() == 0;
    input.remove_prefix(1);
    OpenAndRead(raw ? std::string(input) : Build(input));
  }
  return 0;
}
