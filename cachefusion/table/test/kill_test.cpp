// Real processes over shared memory and real files, all killed at once, again and again: every
// transfer that one of them acknowledged is there, and the sum is right. The page cache survives
// kill -9, so this tests the recovery of half-done work by several writers; the disk is the other
// tests' part.
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <new>
#include <vector>

#include "cachefusion/table/test/bank.h"

namespace pgquorum::fusion {
namespace {

constexpr std::size_t kProcesses = kCounters;
constexpr int kLives = 15;
constexpr uint64_t kAcknowledgements = 60;  // in each life

class ProcessLatches : public Latches {
 public:
  ProcessLatches(void* memory, uint32_t count) : locks_(static_cast<pthread_rwlock_t*>(memory)) {
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
    pthread_rwlockattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    for (uint32_t i = 0; i < count; ++i) {
      pthread_rwlock_init(&locks_[i], &attributes);
    }
  }
  void Acquire(LatchId latch, LatchMode mode) override {
    int result = mode == LatchMode::kShared ? pthread_rwlock_rdlock(&locks_[latch])
                                            : pthread_rwlock_wrlock(&locks_[latch]);
    PGQUORUM_CHECK(result == 0);
  }
  bool TryAcquire(LatchId latch, LatchMode mode) override {
    return (mode == LatchMode::kShared ? pthread_rwlock_tryrdlock(&locks_[latch])
                                       : pthread_rwlock_trywrlock(&locks_[latch])) == 0;
  }
  void Release(LatchId latch) override {
    PGQUORUM_CHECK(pthread_rwlock_unlock(&locks_[latch]) == 0);
  }
  bool AcquireOrWait(LatchId latch) override {
    if (TryAcquire(latch, LatchMode::kExclusive)) {
      return true;
    }
    Acquire(latch, LatchMode::kExclusive);
    Release(latch);
    return false;
  }

 private:
  pthread_rwlock_t* locks_;
};

// Shared by a parent and its children; gone with the life.
class SharedBytes {
 public:
  explicit SharedBytes(std::size_t size) : size_(size) {
    bytes_ = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    PGQUORUM_CHECK(bytes_ != MAP_FAILED);
  }
  ~SharedBytes() { ::munmap(bytes_, size_); }
  SharedBytes(const SharedBytes&) = delete;
  SharedBytes& operator=(const SharedBytes&) = delete;
  void* get() { return bytes_; }

 private:
  void* bytes_;
  std::size_t size_;
};

struct Acknowledgement {
  uint64_t process;
  uint64_t number;
};

struct World {
  explicit World(const std::string& path)
      : directory(path),
        memory(sizes.MemoryBytes()),
        latch_memory(sizes.LatchCount() * sizeof(pthread_rwlock_t)),
        slot_memory(kProcesses * sizeof(TxSlot)),
        latches(latch_memory.get(), sizes.LatchCount()) {}

  std::span<TxSlot> slots() { return {static_cast<TxSlot*>(slot_memory.get()), kProcesses}; }

  std::string directory;
  StorageSizes sizes = SmallSizes();
  SharedBytes memory;
  SharedBytes latch_memory;
  SharedBytes slot_memory;
  ProcessLatches latches;
};

[[noreturn]] void Child(World& world, std::size_t mine, uint64_t number, uint64_t seed, int pipe) {
  Storage storage(PosixFileSystem(), world.directory, kInstance, world.sizes, world.memory.get(),
                  world.latches);
  TableSession session(storage, world.slots(), mine);
  Random random(seed * kProcesses + mine + 1);
  for (uint64_t turn = 0;; ++turn) {
    Result<bool> moved = Transfer(session, random, number + 1, mine);
    if (!moved.ok()) {
      fprintf(stderr, "process %zu: %s\n", mine, moved.status().ToString().c_str());
      _exit(2);
    }
    if (moved.value()) {
      ++number;
      Acknowledgement done{mine, number};
      if (::write(pipe, &done, sizeof(done)) != sizeof(done)) {
        _exit(3);
      }
    }
    if (mine == 0 && turn % 11 == 10 && !session.Vacuum().ok()) {
      _exit(4);
    }
    if (mine == 1 && turn % 7 == 6 &&
        !storage.Checkpoint(session.transactions.OldestUnresolved()).ok()) {
      _exit(5);
    }
  }
}

// One life: recovers, checks against what was acknowledged in earlier ones, lets the children work
// and kills them.
void RunLife(const std::string& path, int life, std::array<uint64_t, kProcesses>& acknowledged) {
  World world(path);
  Storage storage(PosixFileSystem(), path, kInstance, world.sizes, world.memory.get(),
                  world.latches);
  RecoveryOptions options;
  options.redo_file_bytes = world.sizes.redo_file_bytes;
  Result<RecoveryReport> report = Recover(PosixFileSystem(), path, kInstance, options);
  ASSERT_TRUE(report.ok()) << report.status().ToString();
  ASSERT_TRUE(storage.Open(report.value().control).ok());
  if (life == 0) {
    ASSERT_TRUE(Fund(storage, world.slots()).ok());
  }
  TableSession session(storage, world.slots(), 0);
  ASSERT_TRUE(session.transactions
                  .Resolve(report.value().control.oldest_unresolved,
                           [](uint64_t) -> Result<bool> { return false; })
                  .ok());
  session.Begin();
  Result<std::map<uint64_t, FoundRow>> accounts = Look(session);
  ASSERT_TRUE(accounts.ok()) << accounts.status().ToString() << "; life " << life;
  for (std::size_t i = 0; i < kProcesses; ++i) {
    uint64_t last = Parse(accounts.value().at(kRows + i).row).last;
    ASSERT_GE(last, acknowledged[i]) << "process " << i << ", life " << life;
    ASSERT_LE(last, acknowledged[i] + 1) << "process " << i << ", life " << life;
    acknowledged[i] = last;
  }
  session.End();

  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  std::vector<pid_t> children;
  for (std::size_t i = 0; i < kProcesses; ++i) {
    pid_t pid = ::fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) {
      ::close(pipe[0]);
      Child(world, i, acknowledged[i], static_cast<uint64_t>(life), pipe[1]);
    }
    children.push_back(pid);
  }
  ::close(pipe[1]);
  Acknowledgement done{};
  uint64_t read = 0;
  bool killed = false;
  // After the kill: what was still in the pipe counts as well.
  while (::read(pipe[0], &done, sizeof(done)) == sizeof(done)) {
    acknowledged[done.process] = done.number;
    if (++read >= kAcknowledgements && !killed) {
      killed = true;
      for (pid_t pid : children) {
        ::kill(pid, SIGKILL);
      }
    }
  }
  ::close(pipe[0]);
  for (pid_t pid : children) {
    int status = 0;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    ASSERT_TRUE(WIFSIGNALED(status)) << "a process gave up: " << WEXITSTATUS(status);
  }
  ASSERT_TRUE(killed);
}

TEST(BankKill, NothingAcknowledgedIsLostWhenAllProcessesAreKilled) {
  char path[] = "/tmp/pgquorum-fusion-XXXXXX";
  ASSERT_NE(::mkdtemp(path), nullptr);
  StorageIdentity identity;
  identity.storage_id = 1;
  ASSERT_TRUE(CreateStorage(PosixFileSystem(), path, identity, kInstance).ok());
  std::array<uint64_t, kProcesses> acknowledged{};
  for (int life = 0; life < kLives && !HasFatalFailure(); ++life) {
    RunLife(path, life, acknowledged);
  }
  uint64_t total = 0;
  for (uint64_t number : acknowledged) {
    total += number;
  }
  EXPECT_GE(total, kLives * kAcknowledgements);
  std::filesystem::remove_all(path);
}

}  // namespace
}  // namespace pgquorum::fusion
