// A cluster of hosts in one process over temporary directories.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/bytes.h"
#include "raftlog/runtime/host.h"
#include "raftlog/runtime/loopback.h"

namespace pgquorum::raft {

inline constexpr std::chrono::seconds kPatience{20};

// Appends each command to a list; the result is its number.
class ListMachine : public StateMachine {
 public:
  std::string Apply(const Entry& entry) override {
    std::lock_guard lock(mutex_);
    commands_.push_back(entry.data);
    changed_.notify_all();
    return std::to_string(commands_.size());
  }
  std::string Snapshot() override {
    std::lock_guard lock(mutex_);
    ByteWriter out;
    out.U32(static_cast<uint32_t>(commands_.size()));
    for (const std::string& command : commands_) {
      out.Bytes(command);
    }
    return std::move(out).Take();
  }
  Status Restore(const SnapshotMeta&, std::string_view bytes) override {
    std::lock_guard lock(mutex_);
    ByteReader in(bytes);
    commands_.resize(in.U32());
    for (std::string& command : commands_) {
      command = in.Bytes(bytes.size());
    }
    EXPECT_TRUE(in.Finished());
    ++restores_;
    changed_.notify_all();
    return Status::Ok();
  }
  std::vector<std::string> commands() const {
    std::lock_guard lock(mutex_);
    return commands_;
  }
  int restores() const {
    std::lock_guard lock(mutex_);
    return restores_;
  }
  bool WaitForCount(std::size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return commands_.size() >= count; });
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> commands_;
  int restores_ = 0;
};

// What one node's observers saw.
struct Seen {
  std::mutex mutex;
  std::condition_variable changed;
  Leadership leadership;
  Index appended;
  std::vector<Index> truncated;
  std::optional<Status> fatal;
};

class Cluster {
 public:
  explicit Cluster(uint64_t nodes) {
    static int serial = 0;
    root_ = std::filesystem::temp_directory_path() /
            ("raft_host_test." + std::to_string(::getpid()) + "." + std::to_string(++serial));
    std::filesystem::create_directories(root_);
    for (uint64_t id = 1; id <= nodes; ++id) {
      founders_.voters.push_back(NodeId(id));
    }
  }
  ~Cluster() {
    while (!nodes_.empty()) {
      Stop(nodes_.begin()->first);
    }
    std::filesystem::remove_all(root_);
  }

  std::filesystem::path DirectoryOf(NodeId id) const {
    return root_ / ("node" + std::to_string(id.value()));
  }
  HostOptions OptionsFor(NodeId id) {
    HostOptions options;
    options.raft.id = id;
    options.raft.seed = id.value() * 1000 + static_cast<uint64_t>(++starts_);
    // Generous to a busy machine, sanitizers included.
    options.raft.election_ticks = 30;
    options.raft.heartbeat_ticks = 5;
    options.stall_ticks = 60;
    options.cluster_id = 77;
    options.directory = DirectoryOf(id);
    options.log.segment_bytes = 65'536;
    options.log.spare_segments = 1;
    if (Configuration::Contains(founders_.voters, id)) {
      options.bootstrap = founders_;
    }
    return options;
  }
  void Start(NodeId id) { Start(OptionsFor(id)); }
  void Start(HostOptions options) {
    NodeId id = options.raft.id;
    Node& node = nodes_[id];
    node.machine = std::make_unique<ListMachine>();
    node.seen = std::make_unique<Seen>();
    node.host = std::make_unique<Host>(std::move(options), network.TransportOf(id), *node.machine,
                                       ObserversFor(*node.seen));
    Status started = node.host->Start();
    ASSERT_TRUE(started.ok()) << started.ToString();
    network.Attach(id, node.host.get());
  }
  void StartAll() {
    for (NodeId id : founders_.voters) {
      Start(id);
    }
  }
  void Stop(NodeId id) {
    network.Attach(id, nullptr);
    nodes_.at(id).host->Stop();
    nodes_.erase(id);
  }

  Host& host(NodeId id) { return *nodes_.at(id).host; }
  ListMachine& machine(NodeId id) { return *nodes_.at(id).machine; }
  Seen& seen(NodeId id) { return *nodes_.at(id).seen; }
  std::vector<NodeId> running() const {
    std::vector<NodeId> ids;
    for (const auto& [id, node] : nodes_) {
      ids.push_back(id);
    }
    return ids;
  }

  // The running node, not `except`, that leads with the highest term.
  NodeId WaitForLeader(NodeId except = NodeId()) {
    auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (std::chrono::steady_clock::now() < deadline) {
      for (const auto& [id, node] : nodes_) {
        if (id == except) {
          continue;
        }
        std::unique_lock lock(node.seen->mutex);
        node.seen->changed.wait_for(lock, std::chrono::milliseconds(20));
        if (node.seen->leadership.role == Role::kLeader) {
          return id;
        }
      }
    }
    ADD_FAILURE() << "no leader";
    return NodeId();
  }

  struct Answer {
    Status status;
    Index index;
    std::string result;
  };
  Answer Propose(NodeId id, std::string command) {
    auto promise = std::make_shared<std::promise<Answer>>();
    host(id).Propose(std::move(command), [promise](Status status, Index index, std::string result) {
      promise->set_value({std::move(status), index, std::move(result)});
    });
    return promise->get_future().get();
  }
  // Again until it is committed; may be executed more than once.
  Answer ProposeUntilCommitted(NodeId id, const std::string& command) {
    auto deadline = std::chrono::steady_clock::now() + kPatience;
    Answer answer;
    do {
      answer = Propose(id, command);
    } while (!answer.status.ok() && std::chrono::steady_clock::now() < deadline);
    EXPECT_TRUE(answer.status.ok()) << answer.status.ToString();
    return answer;
  }
  Status ProposeConfig(NodeId id, std::vector<ConfigChange> changes) {
    std::promise<Status> promise;
    host(id).ProposeConfig(std::move(changes), "", [&](Status status, Index, std::string) {
      promise.set_value(std::move(status));
    });
    return promise.get_future().get();
  }
  template <typename Predicate>
  bool WaitFor(NodeId id, Predicate predicate) {
    auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (std::chrono::steady_clock::now() < deadline) {
      if (predicate(host(id).GetStatus())) {
        return true;
      }
      // The status is published by ticks and nothing signals that.
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
  }

  LoopbackNetwork network;

 private:
  struct Node {
    std::unique_ptr<ListMachine> machine;
    std::unique_ptr<Seen> seen;
    std::unique_ptr<Host> host;
  };

  static HostObservers ObserversFor(Seen& seen) {
    HostObservers observers;
    observers.on_leadership_change = [&seen](const Leadership& leadership) {
      std::lock_guard lock(seen.mutex);
      seen.leadership = leadership;
      seen.changed.notify_all();
    };
    observers.on_appended = [&seen](const Entry& entry) {
      std::lock_guard lock(seen.mutex);
      seen.appended = entry.index;
    };
    observers.on_truncated = [&seen](Index from) {
      std::lock_guard lock(seen.mutex);
      seen.truncated.push_back(from);
    };
    observers.on_fatal = [&seen](const Status& status) {
      std::lock_guard lock(seen.mutex);
      seen.fatal = status;
      seen.changed.notify_all();
    };
    return observers;
  }

  std::filesystem::path root_;
  Configuration founders_;
  int starts_ = 0;
  std::map<NodeId, Node> nodes_;
};

}  // namespace pgquorum::raft
