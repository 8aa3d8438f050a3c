// A real process that appends and acknowledges, killed again and again: what it acknowledged is
// there. The page cache survives kill -9, so this tests the recovery of half-done work, not the
// disk; the disk is the fault-injecting file system's part.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "raftlog/storage/test/store_fixture.h"

#include "base/pure.h"

namespace pgquorum::raft {
namespace {

constexpr int kKills = 25;

std::string DataOf(uint64_t index) {
  return std::to_string(index) + std::string(index * 37 % 3000, 'd');
}

// Appends batches of growing index with the term = life, now and then a snapshot and a release, and
// writes the last durable index to the pipe. Never returns.
[[noreturn]] void Child(const std::string& path, uint64_t life, int pipe) {
  Result<Store> opened = OpenStore(PosixFileSystem(), path);
  if (!opened.ok()) {
    _exit(2);
  }
  Store& store = opened.value();
  if (!store.SetHardState(life, 7).ok()) {
    _exit(3);
  }
  uint64_t next = store.log->recovered().last.value() + 1;
  for (uint64_t round = 0;; ++round) {
    std::vector<Entry> entries;
    for (uint64_t i = 0; i <= round % 7; ++i) {
      entries.push_back(MakeEntry(next + i, life, DataOf(next + i)));
    }
    next += entries.size();
    if (!store.Append(std::move(entries)).ok()) {
      _exit(4);
    }
    uint64_t acknowledged = next - 1;
    if (::write(pipe, &acknowledged, sizeof(acknowledged)) != sizeof(acknowledged)) {
      _exit(5);
    }
    if (round % 20 == 19) {
      SnapshotMeta meta = MetaOf(acknowledged, life, "state");
      if (!store.snapshots->Save(meta, "state").ok() || !store.log->MarkSnapshot(meta).ok() ||
          !store.log->Release(Index(acknowledged)).ok() ||
          !store.snapshots->RemoveOlder(meta.index).ok()) {
        _exit(6);
      }
    }
  }
}

TEST(LogStoreKill, WhatWasAcknowledgedIsThereAfterKillNine) {
  std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("raft_kill_test." + std::to_string(::getpid()));
  uint64_t acknowledged = 0;
  Random random(static_cast<uint64_t>(::getpid()));
  for (uint64_t life = 1; life <= kKills; ++life) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::close(ends[0]);
      Child(path, life, ends[1]);
    }
    ::close(ends[1]);
    uint64_t reported = 0;
    // Killed after a random number of acknowledgements, at a random moment of the next write.
    for (uint64_t left = random.Between(1, 120); left > 0; --left) {
      ASSERT_EQ(::read(ends[0], &reported, sizeof(reported)),
                static_cast<ssize_t>(sizeof(reported)));
      acknowledged = reported;
    }
    ASSERT_EQ(::kill(child, SIGKILL), 0);
    while (::read(ends[0], &reported, sizeof(reported)) == sizeof(reported)) {
      acknowledged = reported;
    }
    ::close(ends[0]);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "exit code " << WEXITSTATUS(status);

    Result<Store> opened = OpenStore(PosixFileSystem(), path);
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    const RecoveredState& r = opened.value().log->recovered();
    ASSERT_EQ(opened.value().log->damage(), "");
    ASSERT_EQ(r.hard_state.term, Term(life));
    ASSERT_GE(r.last, Index(acknowledged));
    ASSERT_LE(r.first, r.snapshot.index + 1);
    for (const Entry& entry : opened.value().All()) {
      ASSERT_EQ(entry.data, DataOf(entry.index.value()));
    }
  }
  std::filesystem::remove_all(path);
}

}  // namespace
}  // namespace pgquorum::raft
