// Nodes on the loopback address, and what their owners saw.
#pragma once

#include <condition_variable>
#include <functional>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "bgworkers/transport/pki.h"
#include "bgworkers/transport/transport.h"
#include "base/test/scratch.h"

namespace pgquorum::transport {

inline constexpr uint64_t kTestCluster = 0xC1A5;

// Certificates of one cluster: a directory a node, all of one CA.
class TestPki {
 public:
  explicit TestPki(const std::string& cluster = "test")
      : authority_(CreateAuthority(cluster).value()) {}

  // The directory of a new certificate.
  std::string Make(const std::string& node, uint64_t cluster_id = kTestCluster,
                   int days = kDefaultNodeDays) {
    NodeKey key = CreateNodeKey(node).value();
    JoinResponse response;
    response.ca_certificate = authority_.certificate;
    response.ca_key = authority_.key;
    response.node_certificate =
        SignNode(authority_, key.certificate_signing_request, node, cluster_id, days).value();
    std::string directory = scratch_.path() + "/" + std::to_string(++made_) + node;
    std::filesystem::create_directory(directory);
    // Not WriteJoinedPki(): it refuses what some tests need.
    for (const auto& [name, text] :
         {std::pair<const char*, std::string>{"ca.crt", response.ca_certificate},
          {"ca.key", response.ca_key},
          {"node.crt", response.node_certificate},
          {"node.key", key.key}}) {
      Status written = WritePemFile(directory + "/" + name, text);
      PGQUORUM_CHECK(written.ok());
    }
    return directory;
  }
  const Authority& authority() const { return authority_; }

 private:
  ScratchDirectory scratch_;
  Authority authority_;
  int made_ = 0;
};

// A transport and everything that it told its owner.
class TestNode {
 public:
  struct Frame {
    uint64_t from = 0;
    Channel channel = Channel::kRaft;
    std::string payload;
  };

  explicit TestNode(TransportOptions options, TransportCallbacks callbacks = {})
      : id_(options.node_id) {
    callbacks.on_frame = [this](uint64_t from, Channel channel, Urgency, std::string payload) {
      std::lock_guard lock(mutex_);
      frames_.push_back({from, channel, std::move(payload)});
      changed_.notify_all();
    };
    callbacks.on_peer_event = [this](const PeerEvent& event) {
      std::lock_guard lock(mutex_);
      events_.push_back(event);
      changed_.notify_all();
    };
    transport_ = std::make_unique<Transport>(std::move(options), std::move(callbacks));
  }
  ~TestNode() { transport_.reset(); }

  Transport& operator*() { return *transport_; }
  Transport* operator->() { return transport_.get(); }
  uint64_t id() const { return id_; }

  std::vector<Frame> frames() {
    std::lock_guard lock(mutex_);
    return frames_;
  }
  std::vector<PeerEvent> events() {
    std::lock_guard lock(mutex_);
    return events_;
  }
  void Forget() {
    std::lock_guard lock(mutex_);
    frames_.clear();
    events_.clear();
  }

  // Until the condition, looked at after every frame and event, holds.
  bool Await(
      const std::function<bool(const std::vector<Frame>&, const std::vector<PeerEvent>&)>& holds,
      int timeout_ms = 10'000) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::milliseconds(timeout_ms),
                             [&] { return holds(frames_, events_); });
  }
  bool AwaitEvent(uint64_t peer, PeerEventKind kind, int timeout_ms = 10'000) {
    return Await(
        [&](const auto&, const std::vector<PeerEvent>& events) {
          for (const PeerEvent& event : events) {
            if (event.peer == peer && event.kind == kind) {
              return true;
            }
          }
          return false;
        },
        timeout_ms);
  }
  bool AwaitFrames(std::size_t count, int timeout_ms = 10'000) {
    return Await(
        [&](const std::vector<Frame>& frames, const auto&) { return frames.size() >= count; },
        timeout_ms);
  }

 private:
  uint64_t id_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Frame> frames_;
  std::vector<PeerEvent> events_;
  std::unique_ptr<Transport> transport_;
};

inline TransportOptions OptionsOf(uint64_t id, const std::string& pki_directory) {
  TransportOptions options;
  options.cluster_id = kTestCluster;
  options.node_id = id;
  options.node_name = "node" + std::to_string(id);
  options.listen_host = "127.0.0.1";
  options.advertise_host = "127.0.0.1";
  options.pki_directory = pki_directory;
  options.reconnect_max_ms = 200;
  return options;
}

inline Peer PeerOf(uint64_t id, uint16_t port) {
  return {id, "node" + std::to_string(id), "127.0.0.1", port};
}

}  // namespace pgquorum::transport
