// Three real processes that are killed and whose disks fail (strace's fault injection), and a
// checker: what was acknowledged is applied by all, nothing twice, in one order everywhere.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "base/random.h"

namespace pgquorum {
namespace {

constexpr std::chrono::seconds kPatience{60};
constexpr int kNodes = 3;

// What all nodes' processes have said, over all their lives.
struct Heard {
  std::mutex mutex;
  std::condition_variable changed;
  std::set<int> committed;
  std::set<int> answered;
  std::map<int, bool> ready;
  std::map<int, std::string> fatal;
  std::map<int, std::string> have;
};

class NodeProcess {
 public:
  NodeProcess(int id, const std::string& directory, const std::vector<std::string>& wrapper,
              Heard& heard)
      : id_(id), heard_(heard) {
    std::array<int, 2> in{}, out{};
    EXPECT_EQ(pipe(in.data()), 0);
    EXPECT_EQ(pipe(out.data()), 0);
    child_ = fork();
    if (child_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      setpgid(0, 0);
      dup2(in[0], 0);
      dup2(out[1], 1);
      for (int fd : {in[0], in[1], out[0], out[1]}) {
        close(fd);
      }
      // LeakSanitizer cannot work under strace.
      setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
      std::vector<std::string> words = wrapper;
      words.insert(words.end(), {PGQUORUM_RAFT_TEST_NODE, std::to_string(id), directory});
      std::vector<char*> arguments;
      for (std::string& word : words) {
        arguments.push_back(word.data());
      }
      arguments.push_back(nullptr);
      execvp(arguments[0], arguments.data());
      _exit(127);
    }
    close(in[0]);
    close(out[1]);
    in_ = in[1];
    {
      std::lock_guard lock(heard_.mutex);
      heard_.ready[id] = false;
      heard_.fatal.erase(id);
    }
    reader_ = std::thread([this, fd = out[0]] { Listen(fd); });
  }
  ~NodeProcess() {
    kill(-child_, SIGKILL);
    kill(child_, SIGKILL);
    reader_.join();
    waitpid(child_, nullptr, 0);
    close(in_);
  }
  void Tell(const std::string& line) {
    std::string text = line + "\n";
    (void)!write(in_, text.data(), text.size());  // to a dead one: it will not answer
  }

 private:
  void Listen(int fd) {
    FILE* file = fdopen(fd, "r");
    char* line = nullptr;
    std::size_t room = 0;
    while (getline(&line, &room, file) > 0) {
      std::istringstream words(line);
      std::string what, text;
      int number = 0;
      words >> what;
      std::lock_guard lock(heard_.mutex);
      if (what == "ready") {
        heard_.ready[id_] = true;
      } else if (what == "fatal") {
        words >> heard_.fatal[id_];
      } else if (what == "have") {
        std::getline(words, heard_.have[id_]);
      } else if (words >> number) {
        heard_.answered.insert(number);
        if (what == "ok") {
          heard_.committed.insert(number);
        }
      }
      heard_.changed.notify_all();
    }
    free(line);
    fclose(file);
  }

  int id_;
  Heard& heard_;
  pid_t child_ = -1;
  int in_ = -1;
  std::thread reader_;
};

class RaftProcesses : public testing::Test {
 protected:
  void SetUp() override {
    signal(SIGPIPE, SIG_IGN);
    directory_ = std::filesystem::temp_directory_path() / ("raftp." + std::to_string(getpid()));
    std::filesystem::create_directories(directory_);
    for (int id = 1; id <= kNodes; ++id) {
      Start(id);
    }
  }
  void TearDown() override {
    nodes_.clear();
    std::filesystem::remove_all(directory_);
  }
  void Start(int id, const std::vector<std::string>& wrapper = {}) {
    nodes_[id] = std::make_unique<NodeProcess>(id, directory_, wrapper, heard_);
  }
  template <typename Predicate>
  bool Await(Predicate predicate) {
    std::unique_lock lock(heard_.mutex);
    return heard_.changed.wait_for(lock, kPatience, predicate);
  }
  int ProposeTo(int id) {
    nodes_[id]->Tell(std::to_string(++proposed_));
    return proposed_;
  }
  // Proposals to any of `ids` until `count` were committed.
  void Commit(std::size_t count, const std::vector<int>& ids) {
    std::size_t before = Committed();
    auto end = std::chrono::steady_clock::now() + kPatience;
    while (Committed() < before + count && std::chrono::steady_clock::now() < end) {
      int number = ProposeTo(ids[random_.Below(ids.size())]);
      if (random_.Chance(1, 3)) {  // the others stay open: several at a time
        std::unique_lock lock(heard_.mutex);
        heard_.changed.wait_for(lock, std::chrono::seconds(4),
                                [&] { return heard_.answered.contains(number); });
      }
    }
    ASSERT_GE(Committed(), before + count);
  }
  std::size_t Committed() {
    std::lock_guard lock(heard_.mutex);
    return heard_.committed.size();
  }
  // All three have applied the same, with everything acknowledged in it, once.
  void Check() {
    Commit(1, {1, 2, 3});
    auto end = std::chrono::steady_clock::now() + kPatience;
    bool same = false;
    while (!same && std::chrono::steady_clock::now() < end) {
      {
        std::lock_guard lock(heard_.mutex);
        heard_.have.clear();
      }
      for (auto& [id, node] : nodes_) {
        node->Tell("?");
      }
      ASSERT_TRUE(Await([&] { return heard_.have.size() == kNodes; }));
      std::lock_guard lock(heard_.mutex);
      same = heard_.have[1] == heard_.have[2] && heard_.have[1] == heard_.have[3];
    }
    ASSERT_TRUE(same);
    std::lock_guard lock(heard_.mutex);
    std::istringstream words(heard_.have[1]);
    std::set<int> applied;
    for (int number = 0; words >> number;) {
      EXPECT_TRUE(applied.insert(number).second) << number << " was applied twice";
    }
    for (int number : heard_.committed) {
      EXPECT_TRUE(applied.contains(number)) << number << " was acknowledged and is lost";
    }
  }
  // A disk that fails with `fault` from its n-th use on: the node says so and ends, the others go
  // on, and it comes back.
  void FailDisk(const std::string& fault, const std::string& sqlstate) {
    std::string calls = fault.substr(0, fault.find(':'));
    nodes_.erase(2);
    Start(2, {"strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=" + calls, "-e",
              "inject=" + fault});
    auto end = std::chrono::steady_clock::now() + kPatience;
    auto dead = [&] {
      std::lock_guard lock(heard_.mutex);
      return heard_.fatal.contains(2);
    };
    while (!dead() && std::chrono::steady_clock::now() < end) {
      Commit(1, {1, 3});
    }
    ASSERT_TRUE(dead()) << "the node did not notice";
    {
      std::lock_guard lock(heard_.mutex);
      EXPECT_EQ(heard_.fatal[2], sqlstate);
    }
    Commit(5, {1, 3});
    nodes_.erase(2);
    Start(2);
    Check();
  }
  static bool CanTrace() {
    return std::system("strace -qq -o /dev/null true >/dev/null 2>&1") == 0;
  }

  std::filesystem::path directory_;
  Heard heard_;
  std::map<int, std::unique_ptr<NodeProcess>> nodes_;
  int proposed_ = 0;
  Random random_{static_cast<uint64_t>(getpid())};
};

TEST_F(RaftProcesses, WhatWasAcknowledgedSurvivesKillNine) {
  const char* wanted = std::getenv("PGQUORUM_RAFT_KILLS");
  int kills = wanted != nullptr ? std::atoi(wanted) : 8;
  for (int round = 0; round < kills; ++round) {
    Commit(random_.Between(1, 40), {1, 2, 3});
    // One, now and then all of them; while proposals are under way.
    bool all = random_.Chance(1, 4);
    int victim = static_cast<int>(random_.Between(1, kNodes));
    for (int id = 1; id <= kNodes; ++id) {
      ProposeTo(id);
      if (all || id == victim) {
        nodes_.erase(id);
      }
      if (!nodes_.contains(id) && (all || random_.Chance(1, 2))) {
        Start(id);
      }
    }
    if (!nodes_.contains(victim)) {
      std::vector<int> rest;
      for (const auto& [id, node] : nodes_) {
        rest.push_back(id);
      }
      Commit(random_.Between(1, 80), rest);
      Start(victim);
    }
    if (HasFatalFailure()) {
      return;
    }
  }
  Check();
}

TEST_F(RaftProcesses, AFailedSyncEndsTheNodeAndLosesNothing) {
  if (!CanTrace()) {
    GTEST_SKIP() << "strace may not trace here";
  }
  FailDisk("fdatasync:error=EIO:when=15+", "58030");
}

TEST_F(RaftProcesses, AFailedWriteEndsTheNodeAndLosesNothing) {
  if (!CanTrace()) {
    GTEST_SKIP() << "strace may not trace here";
  }
  FailDisk("pwrite64:error=EIO:when=15+", "58030");
}

TEST_F(RaftProcesses, AFullDiskUnderTheLogEndsTheNodeAndLosesNothing) {
  if (!CanTrace()) {
    GTEST_SKIP() << "strace may not trace here";
  }
  FailDisk("pwrite64:error=ENOSPC:when=15+", "53100");
}

}  // namespace
}  // namespace pgquorum
