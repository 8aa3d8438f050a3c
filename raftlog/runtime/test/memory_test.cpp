// Limits of the options are limits of memory: nothing grows beyond them, however much is asked for.
#include <gtest/gtest.h>

#include <future>

#include "raftlog/codec.h"
#include "raftlog/errors.h"
#include "raftlog/runtime/test/cluster.h"
#include "raftlog/test/heap.h"
#include "raftlog/test/testkit.h"

#include "base/pure.h"

namespace pgquorum::raft {
namespace {

using test::Heap;

constexpr int64_t kMiB = int64_t{1} << 20;

// A core whose followers are silent; what it wants to be done is dropped, but for its own disk's
// writes, which are confirmed with `disk`.
struct LonelyLeader {
  explicit LonelyLeader(bool disk, test::Cluster::Tweak tweak = nullptr)
      : cluster(3, 0, std::move(tweak)), writes(disk) {
    cluster.Elect(1);
    cluster.TickAll(10);
    cluster.Deliver();
    cluster.Isolate(1);
  }
  bool Propose(std::size_t bytes) {
    bool taken = core().Propose(EntryType::kCommand, std::string(bytes, 'x')).ok();
    Output out = core().TakeOutput();
    for (const Message& message : out.messages) {
      for (const Entry& entry : message.entries) {
        sent[message.to] += SizeOf(entry);
      }
    }
    if (out.persist && writes) {
      core().Persisted(out.persist->sequence, out.persist->term, out.persist->index);
    }
    return taken;
  }
  Core& core() { return cluster[1]; }

  test::Cluster cluster;
  bool writes;
  std::map<NodeId, uint64_t> sent;
};

TEST(Memory, AHundredThousandSmallEntriesFitInto64MiB) {
  for (bool disk : {false, true}) {
    LonelyLeader leader(disk);
    Heap heap;
    uint64_t taken = 0;
    while (leader.Propose(256)) {
      ++taken;
    }
    EXPECT_EQ(taken, Options().max_uncommitted_entries);
    EXPECT_LE(heap.grown(), 64 * kMiB);
    Heap full;
    for (int i = 0; i < 100'000; ++i) {
      ASSERT_FALSE(leader.Propose(256));
    }
    EXPECT_LE(full.grown(), 4096);
    RecordProperty(disk ? "bytes_written" : "bytes_unwritten", std::to_string(heap.grown()));
  }
}

TEST(Memory, LargeEntriesAreBoundedByBytes) {
  LonelyLeader leader(false, [](Options& options) { options.max_uncommitted_bytes = 8 << 20; });
  Heap heap;
  while (leader.Propose(100'000)) {
  }
  EXPECT_GE(heap.grown(), 7 * kMiB);
  EXPECT_LE(heap.grown(), 9 * kMiB);
}

TEST(Memory, WhatIsOnItsWayToASilentFollowerIsBounded) {
  LonelyLeader by_number(true);
  while (by_number.Propose(1000)) {
  }
  EXPECT_EQ(by_number.core().progress().at(NodeId(2)).inflights.count(),
            Options().max_inflight_appends);
  LonelyLeader by_bytes(true, [](Options& options) {
    options.max_inflight_appends = 100'000;
    options.max_inflight_bytes = 1 << 20;
  });
  while (by_bytes.Propose(1000)) {
  }
  EXPECT_GT(by_bytes.sent[NodeId(2)], (uint64_t{1} << 20) - 2000);
  EXPECT_LT(by_bytes.sent[NodeId(2)], (uint64_t{1} << 20) + 2000);
}

// The operating system's file system, whose syncs wait while it is stuck.
class StuckDisk : public FileSystem {
 public:
  class Stuck : public File {
   public:
    Stuck(StuckDisk& disk, std::unique_ptr<File> file) : disk_(disk), file_(std::move(file)) {}
    Result<std::size_t> Read(uint64_t offset, char* buffer, std::size_t size) override {
      return file_->Read(offset, buffer, size);
    }
    Status Write(uint64_t offset, std::string_view data) override {
      return file_->Write(offset, data);
    }
    Status Sync() override {
      std::unique_lock lock(disk_.mutex_);
      disk_.changed_.wait(lock, [this] { return !disk_.stuck_; });
      lock.unlock();
      return file_->Sync();
    }
    Result<uint64_t> Size() override { return file_->Size(); }

   private:
    StuckDisk& disk_;
    std::unique_ptr<File> file_;
  };

  void SetStuck(bool stuck) {
    {
      std::lock_guard lock(mutex_);
      stuck_ = stuck;
    }
    changed_.notify_all();
  }
  Result<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override {
    Result<std::unique_ptr<File>> file = posix_.Open(path, mode);
    if (!file.ok()) {
      return file.status();
    }
    return std::unique_ptr<File>(std::make_unique<Stuck>(*this, std::move(file).value()));
  }
  Status Rename(const std::string& from, const std::string& to) override {
    return posix_.Rename(from, to);
  }
  Status Remove(const std::string& path) override { return posix_.Remove(path); }
  Status SyncDirectory(const std::string& path) override { return posix_.SyncDirectory(path); }
  Result<std::vector<std::string>> List(const std::string& path) override {
    return posix_.List(path);
  }
  Status MakeDirectory(const std::string& path) override { return posix_.MakeDirectory(path); }
  Result<std::unique_ptr<FileLock>> Lock(const std::string& path) override {
    return posix_.Lock(path);
  }
  Result<uint64_t> DirectoryNumber(const std::string& path) override {
    return posix_.DirectoryNumber(path);
  }

 private:
  FileSystem& posix_ = PosixFileSystem();
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stuck_ = false;
};

HostOptions Small(Cluster& cluster, NodeId id, StuckDisk& disk) {
  HostOptions options = cluster.OptionsFor(id);
  options.fs = &disk;
  options.raft.disk_stall_ticks = 0;
  options.raft.max_uncommitted_entries = 2'000;
  options.raft.max_entry_bytes = 1 << 20;
  options.max_queued_proposals = 1'000;
  options.max_queued_message_bytes = 2 << 20;
  options.max_unwritten_bytes = 1 << 20;
  options.proposal_timeout_ms = 600'000;
  return options;
}

TEST(Memory, ALeaderWithAStuckDiskRefusesWhatItCannotHold) {
  StuckDisk disk;
  Cluster cluster(1);
  cluster.Start(Small(cluster, NodeId(1), disk));
  NodeId leader = cluster.WaitForLeader();
  cluster.ProposeUntilCommitted(leader, "first");
  disk.SetStuck(true);
  Heap heap;
  std::atomic<int> open{0};
  std::atomic<int> refused{0};
  auto propose = [&] {
    ++open;
    cluster.host(leader).Propose(std::string(1000, 'x'), [&](Status status, Index, std::string) {
      --open;
      refused += status.ok() ? 0 : 1;
    });
  };
  // The log and the queue in front of it are full, and the core's thread has perhaps a queue's
  // worth in its hands: nothing more is taken, whatever comes.
  auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (open < 3'000 && std::chrono::steady_clock::now() < deadline) {
    propose();
    std::this_thread::yield();
  }
  for (int i = 0; i < 50'000; ++i) {
    propose();
  }
  EXPECT_LE(open, 4'000 + 1);
  EXPECT_GE(open, 2'000);
  EXPECT_LE(heap.grown(), 8 * kMiB);
  EXPECT_GT(refused, 40'000);
  int failed = refused;
  disk.SetStuck(false);
  while (open > 0 && std::chrono::steady_clock::now() < deadline + kPatience) {
    std::this_thread::yield();
  }
  EXPECT_EQ(open, 0);
  EXPECT_LE(refused - failed, 2'000);  // of those before the log, when it was still full
  // Each is counted once, by the queue or by the log.
  auto counted = [&] {
    auto status = cluster.host(leader).status();
    return status->refused_proposals + status->metrics.proposals_refused;
  };
  auto all = static_cast<uint64_t>(refused.load());
  while (counted() < all && std::chrono::steady_clock::now() < deadline + kPatience) {
    std::this_thread::yield();
  }
  EXPECT_EQ(counted(), all);
}

TEST(Memory, AFollowerWithAStuckDiskDropsWhatItCannotHold) {
  StuckDisk disk;
  Cluster cluster(3);
  cluster.Start(Small(cluster, NodeId(2), disk));
  disk.SetStuck(true);
  Heap heap;
  Message append;
  append.kind = MessageKind::kAppend;
  append.from = NodeId(1);
  append.to = NodeId(2);
  append.term = Term(100);
  append.log_index = Index(1);
  append.log_term = Term(1);
  for (uint64_t i = 0; i < 4'000; ++i) {
    append.entries = {{append.term, append.log_index + 1, EntryType::kCommand,
                       std::string(16 << 10, static_cast<char>(i))}};
    cluster.host(NodeId(2)).Receive(NodeId(1), EncodeMessage(append));
    append.log_index = append.log_index + 1;
    append.log_term = append.term;
  }
  EXPECT_LE(heap.grown(), 6 * kMiB);  // of 62: what waits for the disk, twice, and the queue
  HostStatus status;
  EXPECT_TRUE(cluster.WaitFor(NodeId(2), [&](const HostStatus& seen) {
    status = seen;
    return seen.dropped_messages > 3'000;
  }));
  EXPECT_GE(status.unwritten_bytes, uint64_t{1} << 20);
  EXPECT_LE(status.unwritten_bytes, uint64_t{5} << 20);
  disk.SetStuck(false);
}

}  // namespace
}  // namespace pgquorum::raft
