// One thread writes, marks and releases; others read entries, look at the figures and make spare
// segments, as the host's threads do. On real files: those of the memory file system share a mutex,
// which would hide a race from ThreadSanitizer.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "raftlog/storage/test/store_fixture.h"

#include "base/pure.h"

namespace pgquorum::raft {
namespace {

constexpr uint64_t kEntries = 1'000;
constexpr uint64_t kKept = 100;  // behind a snapshot

std::string DataOf(uint64_t index) {
  return std::string(200 + index % 1600, static_cast<char>('a' + index % 26));
}

class LogStoreThreads : public testing::Test {
 protected:
  void SetUp() override {
    path_ = std::filesystem::temp_directory_path() /
            ("log_store_threads." + std::to_string(::getpid()));
    std::filesystem::remove_all(path_);
    Result<Store> opened = OpenStore(PosixFileSystem(), path_);
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    store_.emplace(std::move(opened).value());
  }
  void TearDown() override {
    store_.reset();
    std::filesystem::remove_all(path_);
  }

  void Write() {
    for (uint64_t i = 1; i <= kEntries; ++i) {
      ASSERT_TRUE(store_->Append({MakeEntry(i, 1, DataOf(i))}).ok());
      durable_ = i;
      if (i % 250 == 0) {
        SnapshotMeta meta = MetaOf(i, 1, "state");
        ASSERT_TRUE(store_->snapshots->Save(meta, "state").ok());
        ASSERT_TRUE(store_->log->MarkSnapshot(meta).ok());
        released_ = i - kKept;  // readers first: the core forgets before the store may
        ASSERT_TRUE(store_->log->Release(Index(i - kKept)).ok());
        ASSERT_TRUE(store_->snapshots->RemoveOlder(Index(i)).ok());
      } else if (i % 50 == 0) {
        ASSERT_TRUE(store_->log->Prove().ok());
      }
    }
  }
  // What is durable and not released reads as it was written.
  void Read(uint64_t seed) {
    Random random(seed);
    while (!done_) {
      uint64_t last = durable_;
      if (last == 0) {
        std::this_thread::yield();
        continue;
      }
      uint64_t first = random.Between(std::max<uint64_t>(released_ + 1, 1), last);
      Result<std::vector<Entry>> entries =
          store_->log->Read(Index(first), Index(last), random.Below(20'000));
      if (!entries.ok()) {
        ASSERT_LE(first, released_) << entries.status().ToString();
        continue;
      }
      for (const Entry& entry : entries.value()) {
        ASSERT_EQ(entry.data, DataOf(entry.index.value()));
      }
      ++reads_;
    }
  }
  void Look() {
    while (!done_) {
      LogStoreStats stats = store_->log->stats();
      ASSERT_GE(stats.last + 1, stats.first);
      // Later ones come from released segments: a reader may still hold such a file.
      if (stats.segments_made < 6 && store_->log->missing_spares() > 0) {
        ASSERT_TRUE(store_->log->PrepareSpare().ok());
      }
      std::this_thread::yield();
    }
  }

  std::filesystem::path path_;
  std::optional<Store> store_;
  std::atomic<uint64_t> durable_{0};
  std::atomic<uint64_t> released_{0};
  std::atomic<uint64_t> reads_{0};
  std::atomic<bool> done_{false};
};

TEST_F(LogStoreThreads, ReadersAndSparesBesideTheWriter) {
  std::vector<std::thread> others;
  others.emplace_back([this] { Read(1); });
  others.emplace_back([this] { Read(2); });
  others.emplace_back([this] { Look(); });
  Write();
  done_ = true;
  for (std::thread& thread : others) {
    thread.join();
  }
  EXPECT_GT(reads_, 0U);
  EXPECT_GT(store_->log->stats().first, Index(1));
  EXPECT_GT(store_->log->stats().segments_recycled, 0U);
  EXPECT_EQ(store_->log->stats().last, Index(kEntries));
}

}  // namespace
}  // namespace pgquorum::raft
