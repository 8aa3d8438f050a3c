// A snapshot file of arbitrary bytes, and a valid one with bytes changed: it is loaded as it was
// saved or refused.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/storage/memory_file.h"
#include "raftlog/storage/snapshot_store.h"

#include "base/pure.h"

using namespace pgquorum;
using namespace pgquorum::raft;

namespace {

constexpr uint64_t kCluster = 5;
constexpr Index kIndex{7};
constexpr Term kTerm{3};
const std::string kPath = "d/" + SnapshotStore::Name(kIndex, kTerm);

void Load(MemoryFileSystem& fs, const std::string* expected) {
  auto store = SnapshotStore::Open(fs, "d", kCluster);
  PGQUORUM_CHECK(store.ok());
  Result<SnapshotMeta> meta = store.value()->Verify(kIndex, kTerm);
  if (!meta.ok()) {
    return;
  }
  Result<std::string> data = store.value()->Load(meta.value());
  PGQUORUM_CHECK(data.ok() && data.value().size() == meta.value().size);
  PGQUORUM_CHECK(expected == nullptr || data.value() == *expected);
}

void Replace(MemoryFileSystem& fs, uint64_t offset, std::string_view bytes, OpenMode mode) {
  auto file = fs.Open(kPath, mode);
  PGQUORUM_CHECK(file.ok() && file.value()->Write(offset, bytes).ok());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size);
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  MemoryFileSystem fs;
  PGQUORUM_CHECK(fs.MakeDirectory("d").ok());
  if (!input.empty()) {
    Replace(fs, 0, input, OpenMode::kCreate);
    Load(fs, nullptr);
  }
  if (input.size() < 2) {
    return 0;
  }
  // Saved, then changed at a place that the input names.
  std::string content(input.substr(2));
  SnapshotMeta meta;
  meta.index = kIndex;
  meta.term = kTerm;
  meta.configuration.voters = {NodeId(1), NodeId(2)};
  SnapshotStore::Describe(content, meta);
  auto store = SnapshotStore::Open(fs, "d", kCluster);
  PGQUORUM_CHECK(store.ok() && store.value()->Save(meta, content).ok());
  auto file = fs.Open(kPath, OpenMode::kRead);
  PGQUORUM_CHECK(file.ok());
  uint64_t length = file.value()->Size().value();
  Replace(fs, (data[0] * 256u + data[1]) % length, input.substr(0, 1), OpenMode::kReadWrite);
  Load(fs, &content);
  return 0;
}
