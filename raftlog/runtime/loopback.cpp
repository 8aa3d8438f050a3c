#include "raftlog/runtime/loopback.h"

#include "base/pure.h"

namespace pgquorum::raft {
namespace {

constexpr std::size_t kMaxQueued = 20'000;  // then a message is lost, as on a real network

}  // namespace

class LoopbackNetwork::Port : public Transport {
 public:
  Port(LoopbackNetwork& network, NodeId node) : network_(network), node_(node) {}
  void Send(NodeId to, std::string bytes) override { network_.Carry(node_, to, std::move(bytes)); }

 private:
  LoopbackNetwork& network_;
  NodeId node_;
};

LoopbackNetwork::LoopbackNetwork() = default;

LoopbackNetwork::~LoopbackNetwork() {
  for (auto& [node, target] : targets_) {
    target->thread.Stop();
  }
}

Transport& LoopbackNetwork::TransportOf(NodeId node) {
  std::lock_guard lock(mutex_);
  auto& port = ports_[node];
  if (!port) {
    port = std::make_unique<Port>(*this, node);
  }
  return *port;
}

LoopbackNetwork::Target& LoopbackNetwork::TargetOf(NodeId node) {
  std::lock_guard lock(mutex_);
  auto& target = targets_[node];
  if (!target) {
    target = std::make_unique<Target>();
    target->thread.Start("raft loopback");
  }
  return *target;
}

void LoopbackNetwork::Attach(NodeId node, Host* host) {
  Target& target = TargetOf(node);
  std::lock_guard lock(target.mutex);
  target.host = host;
}

void LoopbackNetwork::Cut(NodeId from, NodeId to, bool cut) {
  std::lock_guard lock(mutex_);
  if (cut) {
    cuts_.insert({from, to});
  } else {
    cuts_.erase({from, to});
  }
}

void LoopbackNetwork::Isolate(NodeId node, bool isolated) {
  std::lock_guard lock(mutex_);
  if (isolated) {
    isolated_.insert(node);
  } else {
    isolated_.erase(node);
  }
}

void LoopbackNetwork::SetFilter(
    std::function<bool(NodeId from, NodeId to, const std::string& bytes)> drop) {
  std::lock_guard lock(mutex_);
  drop_ = std::move(drop);
}

void LoopbackNetwork::Carry(NodeId from, NodeId to, std::string bytes) {
  {
    std::lock_guard lock(mutex_);
    if (cuts_.contains({from, to}) || isolated_.contains(from) || isolated_.contains(to) ||
        (drop_ && drop_(from, to, bytes))) {
      return;
    }
  }
  Target& target = TargetOf(to);
  if (target.thread.queued() >= kMaxQueued) {
    return;
  }
  target.thread.Submit([&target, from, bytes = std::move(bytes)] {
    std::lock_guard lock(target.mutex);
    if (target.host != nullptr) {
      target.host->Receive(from, bytes);
    }
  });
}

}  // namespace pgquorum::raft
