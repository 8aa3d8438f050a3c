// A world of several instances made of one seed: instances with their sessions, a network that
// loses, doubles and reorders, a shared storage, users of pages and locks, and a fate that crashes,
// pauses, evicts and joins. Everything that is checked is the classes that ship.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <string>
#include <vector>

#include "base/random.h"
#include "cachefusion/instance.h"
#include "cachefusion/session/session.h"
#include "cachefusion/sim/bugs.h"
#include "cachefusion/sim/checker.h"
#include "cachefusion/sim/coverage.h"
#include "cachefusion/sim/storage.h"

namespace pgquorum::fusion::sim {

class World {
 public:
  World(uint64_t seed, const WorldBugs& bugs, Coverage& coverage, bool trace);

  // What was violated; empty: nothing.
  std::string Run();
  uint64_t events() const { return executed_; }

 private:
  struct PageUse {
    PageId page;
    BlockMode mode = BlockMode::kNull;
    bool granted = false;
  };
  struct LockStep {
    ResourceId resource;
    LockMode mode = LockMode::kNl;
  };
  // A transaction (locks step by step, then releases all), or a session that keeps an NL lock and
  // uses the value block under it.
  struct LockUser {
    bool keeps = false;
    std::vector<LockStep> plan;
    std::size_t next = 0;
    WaitId wait;
    std::vector<ResourceId> held;
    int rounds = 0;
  };
  struct Node {
    InstanceId id;
    Incarnation life;
    bool paused = false;
    std::unique_ptr<Instance> core;
    std::map<InstanceId, Session> sessions;
    std::map<PageId, Content> frames;
    std::map<PageId, Content> pasts;
    std::map<PageId, Content> writing;
    std::map<uint64_t, PageUse> uses;
    std::map<LockOwner, LockUser> lock_users;
    std::vector<std::function<void(Node&)>> deferred;  // while paused
    Membership membership;
    RedoAddress next_redo{1};
    bool flushing = false;
    std::size_t master_waits = 0;
  };
  struct Event {
    uint64_t time = 0;
    uint64_t order = 0;
    std::function<void()> run;
    bool operator>(const Event& other) const {
      return std::pair(time, order) > std::pair(other.time, other.order);
    }
  };
  struct Plan {
    unsigned instances = 3;
    unsigned loss = 3;     // percent
    unsigned doubled = 2;  // percent
    uint64_t think = 30;   // between uses
    std::size_t directory = 1000;
    bool locks = true;
    bool pages = true;
  };

  // --- time ---
  void At(uint64_t delay, std::function<void()> run);
  // Only if that life is still there; put off while it is paused.
  void AtNode(Node& node, uint64_t delay, std::function<void(Node&)> run);
  Node* Find(InstanceId id, Incarnation life);
  void Trace(const Node& node, const std::string& text) const;

  // --- world_io.cpp ---
  void Apply(Node& node);
  void Do(Node& node, Action& action);
  void DoBytes(Node& node, Action& action);
  void SendTo(Node& node, const Message& message);
  void Transmit(const Datagram& datagram);
  void Arrive(const Datagram& datagram);
  void Tick(Node& node);
  Content ReadDisk(const Node& node, PageId page) const;
  void StartFlush(Node& node);
  void WriteToDisk(Node& node, PageId page, Psn psn);
  bool Refused(Node& node);
  void Scan(Node& node, Incarnation thread, uint64_t id);
  void Replay(Node& node, PageId page, uint64_t id);
  void Checkpoint(Node& node);

  // --- world_users.cpp ---
  void UsePage(Node& node);
  void PageGranted(Node& node, uint64_t waiter);
  void Touch(Node& node, uint64_t waiter);
  void StartLockUser(Node& node);
  void NextLock(Node& node, LockOwner owner);
  void LockEnded(Node& node, const Action& action);
  void ReleaseOne(Node& node, LockOwner owner);
  void FinishLocks(Node& node, LockOwner owner);
  void UseValue(Node& node, LockOwner owner);
  void CheckLocks(Node& node);

  // --- world_faults.cpp ---
  void Fate();
  void Join();
  void Crash(Node& node);
  void Pause(Node& node);
  void Resume(InstanceId id, Incarnation life);
  void Evict(InstanceId id, Incarnation life);
  void CountCrash(const Node& node);
  void Regroup();
  void GiveMembership(Node& node, const Membership& membership);

  // --- world.cpp ---
  void Background(InstanceId id, Incarnation life);
  std::string Restless() const;
  void CheckQuiescence();
  void Count(Node& node);
  std::vector<const Instance*> Living() const;
  PageId RandomPage(const Node& node);

  WorldBugs bugs_;
  Coverage& coverage_;
  bool trace_;
  Random random_;
  Plan plan_;
  bool chaos_ = true;
  uint64_t now_ = 0;
  uint64_t next_order_ = 0;
  uint64_t executed_ = 0;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  std::map<InstanceId, std::unique_ptr<Node>> nodes_;
  Storage storage_;
  Checker checker_;
  Membership membership_;
  InstanceSet members_wanted_;
  uint64_t next_life_ = 1;
  uint64_t next_id_ = 1;
};

}  // namespace pgquorum::fusion::sim

#include "base/pure.h"
