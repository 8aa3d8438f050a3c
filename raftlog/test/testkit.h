// Several cores in one thread under full manual control: messages wait until they are delivered,
// disks write at once or when told to. For unit tests and scenario scripts.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "raftlog/core.h"
#include "raftlog/test/model_disk.h"

namespace pgquorum::raft::test {

struct TestNode {
  Options options;
  ModelDisk disk;
  std::unique_ptr<Core> core;
  bool hold_disk = false;  // batches stay queued until Cluster::Sync
  std::vector<Entry> applied;
  std::vector<ReadResult> reads;
  std::vector<ForwardResult> forwards;
  std::vector<Leadership> leaderships;
  uint64_t restores = 0;
  uint64_t now_ns = 1'000'000'000;
};

class Cluster {
 public:
  using Tweak = std::function<void(Options&)>;

  // Nodes 1 … voters found the cluster; `joiners` more have empty disks and are in no
  // configuration.
  explicit Cluster(uint64_t voters, uint64_t joiners = 0, Tweak tweak = nullptr);
  Cluster(const Configuration& founding, uint64_t nodes, Tweak tweak);

  TestNode& Node(uint64_t id) { return *nodes_.at(NodeId(id)); }
  Core& operator[](uint64_t id) { return *Node(id).core; }
  const std::map<NodeId, std::unique_ptr<TestNode>>& nodes() const { return nodes_; }

  // Carries out what the core asks for. Called by everything below; after direct calls of a core's
  // inputs, call it yourself.
  void Pump(uint64_t id);
  void Tick(uint64_t id, uint64_t ticks = 1);
  void TickAll(uint64_t ticks);

  // Messages under way, oldest first. Messages over a cut link vanish when they are sent.
  std::deque<Message>& wire() { return wire_; }
  bool DeliverOne();
  // Until nothing is under way; disks that are not held sync in between.
  void Deliver();
  void CutLink(uint64_t from, uint64_t to) { cuts_.insert({NodeId(from), NodeId(to)}); }
  void Isolate(uint64_t id);
  void Heal() { cuts_.clear(); }
  // Drops messages under way that match.
  void Drop(const std::function<bool(const Message&)>& match);

  // Everything queued on the node's disk becomes durable.
  void Sync(uint64_t id);
  // Only the oldest batch.
  void SyncOne(uint64_t id);
  // Loses what was not synced, and comes back.
  void Crash(uint64_t id);
  void Restart(uint64_t id);
  // Comes back with a damaged disk: what it had durably from entry `from` on is lost.
  void Damage(uint64_t id, uint64_t from);

  // Ticks `id` until it campaigns, and delivers: afterwards it leads.
  void Elect(uint64_t id);
  // Proposes on `id` and delivers.
  LogPosition Commit(uint64_t id, std::string data);
  // The state machine of `id` takes a snapshot and the log before it goes.
  void Snapshot(uint64_t id, uint64_t keep = 0);

 private:
  void Start(TestNode& node);
  void Release(Persist batch, TestNode& node);
  void Post(const Message& message);

  std::map<NodeId, std::unique_ptr<TestNode>> nodes_;
  std::deque<Message> wire_;
  std::set<std::pair<NodeId, NodeId>> cuts_;
};

Configuration Voters(std::initializer_list<uint64_t> ids);

}  // namespace pgquorum::raft::test

#include "base/pure.h"
