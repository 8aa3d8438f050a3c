// The library under the same clients: three processes with a raft::Host each, over loopback TCP.
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <condition_variable>
#include <filesystem>
#include <memory>
#include <mutex>
#include <thread>

#include "base/check.h"
#include "raftlog/bench/net.h"
#include "raftlog/runtime/host.h"
#include "raftlog/runtime/threads.h"

#include "base/pure.h"

namespace pgquorum::raft::bench {
namespace {

constexpr uint32_t kSpareSegments = 3;

class NullMachine : public StateMachine {
 public:
  std::string Apply(const Entry&) override { return {}; }
  std::string Snapshot() override { return {}; }
  Status Restore(const SnapshotMeta&, std::string_view) override { return Status::Ok(); }
};

// Sends on the caller's thread as long as the socket takes it, the rest on a thread of its own.
class Peer {
 public:
  explicit Peer(int fd) : fd_(fd) {
    sender_ = StartThread("bench send", [this] { Drain(); });
  }
  void Send(std::string_view bytes) {
    std::lock_guard lock(mutex_);
    std::string frame;
    AppendFrame(bytes, frame);
    std::string_view rest = frame;
    if (pending_.empty()) {
      ssize_t n = ::send(fd_, rest.data(), rest.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      rest.remove_prefix(n > 0 ? static_cast<std::size_t>(n) : 0);
    }
    if (!rest.empty()) {
      pending_ += rest;
      wake_.notify_one();
    }
  }
  void Receive(NodeId from, Host& host) {
    receiver_ = StartThread("bench receive", [this, from, &host] {
      std::string frame;
      while (ReadFrame(fd_, frame)) {
        host.Receive(from, frame);
      }
    });
  }
  // Ends both threads; the host may still send into nothing.
  void Stop() {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wake_.notify_one();
    ::shutdown(fd_, SHUT_RDWR);
    sender_.join();
    receiver_.join();
  }
  // Until the other end is gone.
  void Wait() { receiver_.join(); }

 private:
  void Drain() {
    std::unique_lock lock(mutex_);
    while (true) {
      wake_.wait(lock, [this] { return stop_ || !pending_.empty(); });
      if (stop_) {
        return;
      }
      ssize_t n = ::send(fd_, pending_.data(), pending_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (n > 0) {
        pending_.erase(0, static_cast<std::size_t>(n));
        continue;
      }
      lock.unlock();
      pollfd wait{fd_, POLLOUT, 0};
      ::poll(&wait, 1, 100);
      lock.lock();
    }
  }

  int fd_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::string pending_;
  bool stop_ = false;
  std::thread sender_;
  std::thread receiver_;
};

class MeshTransport : public Transport {
 public:
  MeshTransport(const Mesh& mesh, int self) : self_(self) {
    for (int node = 0; node < kNodes; ++node) {
      peers_.push_back(
          node == self ? nullptr
                       : std::make_unique<Peer>(
                             mesh[static_cast<std::size_t>(self)][static_cast<std::size_t>(node)]));
    }
  }
  void Send(NodeId to, std::string bytes) override { peers_[to.value() - 1]->Send(bytes); }
  void Attach(Host& host) {
    for (std::size_t node = 0; node < kNodes; ++node) {
      if (peers_[node]) {
        peers_[node]->Receive(NodeId(node + 1), host);
      }
    }
  }
  void WaitFor(int node) { peers_[static_cast<std::size_t>(node)]->Wait(); }
  void Stop() {
    for (auto& peer : peers_) {
      if (peer) {
        peer->Stop();
      }
    }
  }

 private:
  int self_;
  std::vector<std::unique_ptr<Peer>> peers_;
};

HostOptions OptionsFor(const std::string& directory, int node) {
  HostOptions options;
  options.raft.id = NodeId(static_cast<uint64_t>(node) + 1);
  options.raft.seed = options.raft.id.value();
  // Nobody but the first node may campaign, however busy the machine is.
  options.raft.election_ticks = node == 0 ? 100 : 2000;
  options.raft.heartbeat_ticks = 10;
  options.stall_ticks = 1000;
  options.cluster_id = 1;
  options.directory = directory + "/raft" + std::to_string(node);
  options.bootstrap = Configuration();
  options.bootstrap->voters = {NodeId(1), NodeId(2), NodeId(3)};
  options.log.spare_segments = kSpareSegments;
  return options;
}

[[noreturn]] void Follower(const Mesh& mesh, const std::string& directory, int node) {
  NullMachine machine;
  MeshTransport transport(mesh, node);
  Host host(OptionsFor(directory, node), transport, machine, {});
  PGQUORUM_CHECK(host.Start().ok());
  transport.Attach(host);
  transport.WaitFor(0);
  ::_exit(0);
}

}  // namespace

Measured MeasureLibrary(const std::string& directory, int clients, double seconds,
                        std::size_t payload, bool gather) {
  Mesh mesh = Connect();
  std::vector<pid_t> children;
  for (int node = 1; node < kNodes; ++node) {
    pid_t child = ::fork();
    PGQUORUM_CHECK(child >= 0);
    if (child == 0) {
      CloseOthers(mesh, node);
      Follower(mesh, directory, node);
    }
    children.push_back(child);
  }
  CloseOthers(mesh, 0);
  NullMachine machine;
  MeshTransport transport(mesh, 0);
  HostOptions options = OptionsFor(directory, 0);
  options.gather_proposals = gather;
  Host host(std::move(options), transport, machine, {});
  PGQUORUM_CHECK(host.Start().ok());
  transport.Attach(host);
  std::vector<std::atomic<uint32_t>> done(static_cast<std::size_t>(clients));
  auto commit = [&](int client, const std::string& data) {
    std::atomic<uint32_t>& mine = done[static_cast<std::size_t>(client)];
    uint32_t before = mine.load();
    host.Propose(data, [&mine](Status status, Index, std::string) {
      PGQUORUM_CHECK(status.ok());
      mine.fetch_add(1);
      mine.notify_one();
    });
    mine.wait(before);
  };
  host.Campaign();
  // And until the spare segments are made, which is start-up work and as much disk as many commits.
  // The followers began before this node.
  auto ready = [&host] {
    HostStatus status = host.GetStatus();
    return status.role == Role::kLeader && status.log.segments_made > kSpareSegments;
  };
  while (!ready()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));  // published by ticks only
  }
  Measured measured = Drive(clients, seconds, payload, commit);
  transport.Stop();
  host.Stop();
  for (pid_t child : children) {
    ::waitpid(child, nullptr, 0);
  }
  for (int node = 0; node < kNodes; ++node) {
    std::filesystem::remove_all(OptionsFor(directory, node).directory);
  }
  return measured;
}

double MeasureOpen(const std::string& directory) {
  std::string path = directory + "/open";
  double seconds = 0;
  for (bool writing : {true, false}) {
    Clock::time_point start = Clock::now();
    auto state = StateDirectory::Open(PosixFileSystem(), path, {1, NodeId(1)}, false);
    PGQUORUM_CHECK(state.ok());
    auto snapshots = SnapshotStore::Open(PosixFileSystem(), path, 1);
    PGQUORUM_CHECK(snapshots.ok());
    auto log = LogStore::Open(*state.value(), *snapshots.value(), LogStoreOptions());
    PGQUORUM_CHECK(log.ok());
    seconds = std::chrono::duration<double>(Clock::now() - start).count();
    uint64_t next = 1;
    while (writing && log.value()->stats().bytes < uint64_t{1} << 30) {
      Persist persist;
      for (int i = 0; i < 10'000; ++i) {
        persist.entries.push_back(
            {Term(1), Index(next++), EntryType::kCommand, std::string(256, 'o')});
      }
      const Persist* batch = &persist;
      PGQUORUM_CHECK(log.value()->Write({&batch, 1}).ok());
    }
  }
  std::filesystem::remove_all(path);
  return seconds;
}

}  // namespace pgquorum::raft::bench
