// A log store over the file system that loses power, with the directory and snapshots it needs.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "raftlog/storage/log_store.h"
#include "base/storage/memory_file.h"

namespace pgquorum::raft {

inline const char* const kDir = "raft";
inline constexpr uint64_t kCluster = 0xC1057E12;
inline const NodeId kNode{7};

inline Entry MakeEntry(uint64_t index, uint64_t term, std::string data,
                       EntryType type = EntryType::kCommand) {
  return {Term(term), Index(index), type, std::move(data)};
}

struct Store {
  std::unique_ptr<StateDirectory> directory;
  std::unique_ptr<SnapshotStore> snapshots;
  std::unique_ptr<LogStore> log;

  Status Write(Persist persist) {
    const Persist* batch = &persist;
    return log->Write({&batch, 1});
  }
  Status Append(std::vector<Entry> entries) {
    Persist persist;
    persist.entries = std::move(entries);
    return Write(std::move(persist));
  }
  Status SetHardState(uint64_t term, uint64_t vote) {
    Persist persist;
    persist.hard_state = HardState{Term(term), NodeId(vote), Index()};
    return Write(std::move(persist));
  }
  std::vector<Entry> All() {
    LogStoreStats stats = log->stats();
    if (stats.last + 1 == stats.first) {
      return {};
    }
    Result<std::vector<Entry>> entries = log->Read(stats.first, stats.last, UINT64_MAX);
    EXPECT_TRUE(entries.ok()) << entries.status().ToString();
    return entries.ok() ? entries.value() : std::vector<Entry>();
  }
};

inline LogStoreOptions SmallSegments() {
  LogStoreOptions options;
  options.segment_bytes = 65'536;
  options.spare_segments = 1;
  return options;
}

inline Result<Store> OpenStore(FileSystem& fs, const std::string& path = kDir,
                               NodeId node = kNode) {
  Store store;
  Result<std::unique_ptr<StateDirectory>> directory =
      StateDirectory::Open(fs, path, {kCluster, node}, false);
  if (!directory.ok()) {
    return directory.status();
  }
  store.directory = std::move(directory).value();
  Result<std::unique_ptr<SnapshotStore>> snapshots = SnapshotStore::Open(fs, path, kCluster);
  if (!snapshots.ok()) {
    return snapshots.status();
  }
  store.snapshots = std::move(snapshots).value();
  Result<std::unique_ptr<LogStore>> log =
      LogStore::Open(*store.directory, *store.snapshots, SmallSegments());
  if (!log.ok()) {
    return log.status();
  }
  store.log = std::move(log).value();
  return store;
}

inline SnapshotMeta MetaOf(uint64_t index, uint64_t term, const std::string& data) {
  SnapshotMeta meta;
  meta.index = Index(index);
  meta.term = Term(term);
  meta.configuration.voters = {NodeId(7)};
  SnapshotStore::Describe(data, meta);
  return meta;
}

}  // namespace pgquorum::raft

#include "base/pure.h"
