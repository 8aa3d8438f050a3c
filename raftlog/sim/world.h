// A cluster of the shipped Core and the shipped stores in a world made of one seed: virtual time, a
// network that loses, doubles, delays and cuts, disks that forget what was not synced, fail, run
// full and rot (node_disk.h), nodes that crash, pause and restart, members that come and go. Safety
// is checked after every event (checker.h), the clients' answers (linearizability.h) and liveness
// after the faults have ended.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "raftlog/core.h"
#include "raftlog/sim/checker.h"
#include "raftlog/sim/coverage.h"
#include "raftlog/sim/machine.h"
#include "raftlog/sim/linearizability.h"
#include "raftlog/sim/node_disk.h"

namespace pgquorum::raft::sim {

// Defects of the world around the core: of the runtime and of the disk.
struct WorldBugs {
  bool send_before_durable = false;  // messages_after do not wait for the disk
  DiskBugs disk;
};

// Everything that the seed decides about a run, printed with a trace.
struct Plan {
  uint32_t founders = 3;
  uint32_t loss_permille = 0;
  uint32_t duplicate_permille = 0;
  uint64_t delay_us_max = 1000;
  uint64_t sync_us_max = 2000;
  uint64_t fault_gap_us = 100'000;  // mean time between faults
  uint64_t client_gap_us = 5'000;
  uint64_t chaos_us = 3'000'000;
  uint64_t calm_us = 4'000'000;
  uint32_t late_permille = 5;  // messages that come after the world has changed
  uint64_t restart_us_max = 500'000;
  uint32_t append_entries = 100;
  uint32_t crash_permille = 0;  // at each persistence point
  uint64_t snapshot_entries = 50;
  uint64_t snapshot_bytes = 0;
  uint64_t snapshot_ticks = 0;
  bool pre_vote = true;
  bool read_heavy = false;
  bool membership = false;
  bool witness = false;
  bool lease_reads = false;
  bool pauses = false;
  bool lasting_cut = false;  // one node stays cut off, one way, through the liveness phase
  bool small_limits = false;
  bool disk_errors = false;  // writes and syncs fail: the node dies
  bool disk_damage = false;  // what was durable is damaged
  uint32_t spare_segments = 1;
};

class World {
 public:
  World(uint64_t seed, const WorldBugs& bugs, Coverage& coverage, bool trace);

  // Returns the broken promise, or nothing.
  std::string Run();
  // The search for an order that explains the clients' answers was given up.
  bool undecided() const { return undecided_; }

 private:
  struct Reading {
    uint64_t operation = 0;
    uint32_t key = 0;
    Index floor;  // when it began
    Index index;  // the answer
  };
  struct Node {
    NodeId id;
    std::unique_ptr<NodeDisk> disk;
    std::unique_ptr<Core> core;  // null: down
    Machine machine;
    uint64_t incarnation = 0;
    uint64_t tick_us = 10'000;  // its clock's idea of 10 ms
    uint64_t paused_at = 0;
    bool paused = false;
    bool syncing = false;
    bool snapshot_busy = false;
    bool refilling = false;   // as the log store was last told
    bool spoiled = false;     // its disk was damaged, and that is not made up for
    uint32_t idle_ticks = 0;  // of the disk
    uint64_t disk_stuck_until = 0;
    uint64_t piece_done_at = 0;                  // pieces of snapshots are written in order
    std::vector<std::function<void()>> backlog;  // what arrives while it is paused
    std::map<std::pair<Index, Term>, uint64_t> proposals;  // own and forwarded: operation
    std::map<uint64_t, Reading> reads;                     // by request
    std::vector<Reading> readings;          // answered, but the state machine is not there yet
    std::map<uint64_t, uint64_t> forwards;  // request: operation; 0: a session's
  };
  struct Event {
    uint64_t time;
    uint64_t sequence;
    std::function<void()> action;
    bool operator>(const Event& other) const {
      return time != other.time ? time > other.time : sequence > other.sequence;
    }
  };
  struct Client {
    SessionId session;
    uint64_t sequence = 0;  // of the command under way
    bool waiting = false;
    uint64_t since = 0;
    uint64_t operation = 0;
  };

  // world.cpp
  Plan DrawPlan();
  void At(uint64_t time, std::function<void()> action);
  // On the node, unless it has crashed meanwhile; later, when it is paused.
  void OnNode(NodeId id, uint64_t time, std::function<void(Node&)> action);
  void RunOne(Node& node, uint64_t incarnation, const std::function<void(Node&)>& action);
  void RunUntil(uint64_t time);
  Node& NodeOf(NodeId id) { return *nodes_.at(id); }
  void AddNode(NodeId id, const Bootstrap* bootstrap);
  void Start(Node& node);
  void ScheduleTick(Node& node);
  bool CheckLiveness();
  bool MajorityUsable();
  void SwitchOffRemoved();
  void CheckHistory();
  void Trace(const std::string& text);
  std::string Guarded(const std::function<void()>& body);
  Node* Leader();

  // world_io.cpp
  void Pump(Node& node);
  void HandleOutput(Node& node, Output& out);
  void Transmit(const Message& message);
  void CheckLeases(const Node& elected);
  void Apply(Node& node, const std::vector<Entry>& entries);
  bool CrashPoint(Node& node, Point point);

  // world_disk.cpp
  void QueueBatch(Node& node, Persist batch);
  void QueueJob(Node& node, DiskJob job);
  void StartSync(Node& node);
  void SyncDone(Node& node);
  bool JobDone(Node& node, DiskJob& job);
  void IdleDisk(Node& node);
  void DiskFailed(Node& node, const Status& status);
  void SpoilSome(Node* node);
  void SendSnapshot(Node& node, SnapshotSend& send);
  bool WritePiece(Node& node, const SnapshotWrite& piece);
  bool Restore(Node& node, const SnapshotMeta& meta);
  void MaybeSnapshot(Node& node);
  void Release(Node& node, const SnapshotMeta& meta);

  // world_faults.cpp
  void ScheduleFault();
  void InjectFault();
  void Crash(Node& node);
  void Down(Node& node, MemoryLoss loss);
  void Pause(Node& node);
  void Resume(Node& node);
  void CutSome();
  void Heal();
  void EndChaos();
  bool Cut(NodeId from, NodeId to) const { return cuts_.contains({from, to}); }
  Node* RandomUp();

  // world_clients.cpp
  void ScheduleClient();
  void ClientStep();
  void Propose(Node& node);
  void Read(Node& node);
  void AnswerReads(Node& node);
  void SessionStep(Node& node);
  void ChangeMembers(Node& leader);
  void OnApplied(Node& node, const Entry& entry);
  void HandleAnswers(Node& node, Output& out);
  uint64_t ClockOf(const Node& node) const;

  uint64_t seed_;
  WorldBugs bugs_;
  Coverage& coverage_;
  bool trace_;
  Random random_;
  Plan plan_;
  bool chaos_ = true;
  uint64_t now_ = 0;
  uint64_t next_event_ = 0;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  std::map<NodeId, std::unique_ptr<Node>> nodes_;
  std::set<std::pair<NodeId, NodeId>> cuts_;
  NodeId cut_off_;  // stays so through the liveness phase
  uint64_t next_value_ = 1;
  uint64_t next_request_ = 1;
  std::array<Client, 2> clients_;
  std::set<std::pair<SessionId, uint64_t>> executed_;
  Index executed_to_;
  Checker checker_;
  History history_;
  bool undecided_ = false;
};

}  // namespace pgquorum::raft::sim

#include "base/pure.h"
