// The floor: what any replicated log with this disk and network must pay, and nothing else. Batch
// what waits, send it to both followers and write + fdatasync it here at once, committed when two
// of three have it. No terms, no elections, no checks.
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <thread>

#include "base/check.h"
#include "raftlog/bench/net.h"
#include "raftlog/runtime/threads.h"
#include "base/storage/file.h"

#include "base/pure.h"

namespace pgquorum::raft::bench {
namespace {

constexpr uint64_t kFileBytes = uint64_t{32} << 20;

// Appends into a zero-filled file and starts again at its end.
class Journal {
 public:
  explicit Journal(const std::string& path) {
    PGQUORUM_CHECK(CreateZeroFilled(PosixFileSystem(), path, kFileBytes).ok());
    Result<std::unique_ptr<File>> file = PosixFileSystem().Open(path, OpenMode::kReadWrite);
    PGQUORUM_CHECK(file.ok());
    file_ = std::move(file).value();
  }
  void Append(std::string_view bytes) {
    if (at_ + bytes.size() > kFileBytes) {
      at_ = 0;
    }
    PGQUORUM_CHECK(file_->Write(at_, bytes).ok() && file_->Sync().ok());
    at_ += bytes.size();
  }

 private:
  std::unique_ptr<File> file_;
  uint64_t at_ = 0;
};

[[noreturn]] void Follower(int fd, const std::string& path) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  Journal journal(path);
  std::string frame;
  std::string out;
  while (ReadFrame(fd, frame)) {
    journal.Append(frame);
    out.clear();
    AppendFrame(std::string_view(frame).substr(0, sizeof(uint64_t)), out);
    WriteAll(fd, out);
  }
  ::_exit(0);
}

class Leader {
 public:
  Leader(std::vector<int> followers, const std::string& path, int clients)
      : followers_(std::move(followers)), journal_(path), done_(static_cast<std::size_t>(clients)) {
    durable_.assign(1 + followers_.size(), 0);
    threads_.push_back(StartThread("floor batch", [this] { Batch(); }));
    for (std::size_t i = 0; i < followers_.size(); ++i) {
      threads_.push_back(StartThread("floor acks", [this, i] { Acks(i); }));
    }
  }
  void Stop() {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    threads_.front().join();
    for (int fd : followers_) {
      ::shutdown(fd, SHUT_RDWR);  // ends the readers here and the followers there
    }
    for (std::size_t i = 1; i < threads_.size(); ++i) {
      threads_[i].join();
      ::close(followers_[i - 1]);
    }
  }
  void Commit(int client, const std::string& data) {
    std::atomic<uint32_t>& done = done_[static_cast<std::size_t>(client)];
    uint32_t before = done.load();
    {
      std::lock_guard lock(mutex_);
      waiting_.push_back({client, data});
    }
    wake_.notify_one();
    done.wait(before);
  }

 private:
  struct Proposal {
    int client;
    std::string data;
  };
  struct Sent {
    uint64_t sequence;
    std::vector<int> clients;
  };

  void Batch() {
    uint64_t sequence = 0;
    std::vector<Proposal> batch;
    while (true) {
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [this] { return stop_ || !waiting_.empty(); });
        if (stop_) {
          return;
        }
        batch.clear();
        batch.swap(waiting_);
        Sent sent{++sequence, {}};
        for (const Proposal& proposal : batch) {
          sent.clients.push_back(proposal.client);
        }
        sent_.push_back(std::move(sent));
      }
      std::string bytes(reinterpret_cast<const char*>(&sequence), sizeof(sequence));
      for (const Proposal& proposal : batch) {
        bytes += proposal.data;
      }
      std::string frame;
      AppendFrame(bytes, frame);
      for (int fd : followers_) {
        WriteAll(fd, frame);
      }
      journal_.Append(bytes);
      Durable(0, sequence);
    }
  }
  void Acks(std::size_t follower) {
    std::string frame;
    while (ReadFrame(followers_[follower], frame)) {
      uint64_t sequence;
      std::memcpy(&sequence, frame.data(), sizeof(sequence));
      Durable(follower + 1, sequence);
    }
  }
  void Durable(std::size_t node, uint64_t sequence) {
    std::vector<Sent> committed;
    {
      std::lock_guard lock(mutex_);
      durable_[node] = sequence;
      std::vector<uint64_t> sorted = durable_;
      std::sort(sorted.begin(), sorted.end());
      while (!sent_.empty() && sent_.front().sequence <= sorted[1]) {
        committed.push_back(std::move(sent_.front()));
        sent_.erase(sent_.begin());
      }
    }
    for (const Sent& sent : committed) {
      for (int client : sent.clients) {
        std::atomic<uint32_t>& done = done_[static_cast<std::size_t>(client)];
        done.fetch_add(1);
        done.notify_one();
      }
    }
  }

  std::vector<int> followers_;
  Journal journal_;
  std::vector<std::atomic<uint32_t>> done_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Proposal> waiting_;
  std::vector<Sent> sent_;
  std::vector<uint64_t> durable_;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace

Measured MeasureFloor(const std::string& directory, int clients, double seconds,
                      std::size_t payload) {
  Mesh mesh = Connect();
  std::vector<pid_t> children;
  for (int node = 1; node < kNodes; ++node) {
    pid_t child = ::fork();
    PGQUORUM_CHECK(child >= 0);
    if (child == 0) {
      CloseOthers(mesh, node);
      Follower(mesh[static_cast<std::size_t>(node)][0],
               directory + "/floor" + std::to_string(node));
    }
    children.push_back(child);
  }
  CloseOthers(mesh, 0);
  Measured measured;
  {
    Leader leader({mesh[0][1], mesh[0][2]}, directory + "/floor0", clients);
    measured = Drive(clients, seconds, payload, children,
                     [&](int client, const std::string& data) { leader.Commit(client, data); });
    leader.Stop();
    for (pid_t child : children) {
      ::waitpid(child, nullptr, 0);
    }
  }
  for (int node = 0; node < kNodes; ++node) {
    std::filesystem::remove(directory + "/floor" + std::to_string(node));
  }
  return measured;
}

}  // namespace pgquorum::raft::bench
