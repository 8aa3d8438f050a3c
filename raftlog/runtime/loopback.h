// Several hosts in one process, connected by a network that a test controls. Each destination has a
// thread of its own, as a real transport has.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>

#include "raftlog/runtime/host.h"
#include "raftlog/runtime/task_thread.h"

namespace pgquorum::raft {

class LoopbackNetwork {
 public:
  LoopbackNetwork();
  ~LoopbackNetwork();

  // The transport of `node`; lives as long as the network.
  Transport& TransportOf(NodeId node);
  // Messages for `node` go to this host from now on; null: nowhere. Returns when no delivery to the
  // previous one is under way. Not from a host's callback.
  void Attach(NodeId node, Host* host);

  // One direction; heal with `cut` false.
  void Cut(NodeId from, NodeId to, bool cut);
  // Both directions between `node` and everybody else.
  void Isolate(NodeId node, bool isolated);
  // True drops the message. Called on the sender's thread, must be thread-safe.
  void SetFilter(std::function<bool(NodeId from, NodeId to, const std::string& bytes)> drop);

 private:
  class Port;
  struct Target {
    std::mutex mutex;  // held during delivery
    Host* host = nullptr;
    TaskThread thread;
  };

  void Carry(NodeId from, NodeId to, std::string bytes);
  Target& TargetOf(NodeId node);

  std::mutex mutex_;
  std::map<NodeId, std::unique_ptr<Port>> ports_;
  std::map<NodeId, std::unique_ptr<Target>> targets_;
  std::set<std::pair<NodeId, NodeId>> cuts_;
  std::set<NodeId> isolated_;
  std::function<bool(NodeId, NodeId, const std::string&)> drop_;
};

}  // namespace pgquorum::raft

#include "base/pure.h"
