// The simulator: the shipped agent, coordinator, lease and cluster state on every node, over a
// small Raft, a model of PostgreSQL and a network that misbehaves. One seed gives one run, always
// the same.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <queue>
#include <set>
#include <string>
#include <unordered_set>
#include <vector>

#include "base/random.h"
#include "bgworkers/failover/agent.h"
#include "bgworkers/failover/coordinator.h"
#include "bgworkers/failover/lease.h"

namespace pgquorum::failover::sim {

struct Bugs {
  AgentBugs agent;
  CoordinatorBugs coordinator;
  LeaseBugs lease;
  bool local_timelines = false;
};
// Switches on the named fault; false when there is none of that name.
bool SetBug(Bugs& bugs, const std::string& name);
std::vector<std::string> BugNames();

// What a run did, summed over runs: a campaign whose counters stay at zero tested nothing.
struct Coverage {
  std::map<std::string, uint64_t> counters;
  std::vector<uint64_t> transitions;  // rows of Agent::Transitions()
  void Count(const std::string& what) { ++counters[what]; }
  void Add(const Coverage& other);
};

// A WAL record; `row` is the number of the client's row, 0 for everything else.
struct Record {
  Timeline timeline;
  uint64_t end = 0;
  uint64_t uid = 0;
  uint64_t row = 0;
};

struct Commit {
  uint64_t row = 0;
  uint64_t lsn = 0;
  bool waiting = false;  // for the synchronous standbys
};

struct Sender {  // a walsender, at the upstream
  std::string name;
  uint64_t connection = 0;
  std::size_t sent = 0;
  uint64_t flushed = 0;
  TimeNs last_arrival = 0;  // keeps the stream in order
};

struct Pg {
  PgState state = PgState::kDown;
  uint64_t life = 0;  // grows at every stop: events of an older life are dropped
  BootId boot;
  std::vector<Record> wal;
  std::size_t durable = 0;   // records
  std::size_t replayed = 0;  // records; a primary has all of them
  uint64_t boot_end = 0;
  // Standby.
  NodeId upstream;
  Timeline upstream_timeline;
  std::string name;
  uint64_t connection = 0;  // of the running receiver, 0 without
  uint64_t receive_lsn = 0;
  Timeline receive_timeline;
  TimeNs received_at = 0;
  StreamError stream_error = StreamError::kNone;
  // Primary.
  std::map<NodeId, Sender> senders;
  SetSyncList list;
  uint64_t list_lsn = 0;
  Position marker;
  Timeline checkpointed;
  uint64_t checkpoint_tag = 0;
  std::vector<Commit> commits;
  bool disk_full = false;
  // Shared memory.
  bool gate = false;
  TimeNs deadline = 0;  // the node's own clock
  Admission admission = Admission::kAdministrators;
};

struct RaftEntry {
  uint64_t term = 0;
  std::string bytes;              // a command, or empty
  std::optional<Voters> members;  // a membership, with learners
  std::vector<NodeId> learners;
};
struct RaftMessage {
  enum Kind { kVote, kVoteReply, kAppend, kAppendReply } kind = kVote;
  NodeId from;
  uint64_t term = 0;
  uint64_t index = 0;  // last / previous / match
  uint64_t log_term = 0;
  uint64_t commit = 0;
  bool ok = false;
  std::vector<RaftEntry> entries;
};
struct Raft {
  // Durable.
  uint64_t term = 0;
  NodeId voted;
  std::vector<RaftEntry> log;  // log[0] is index 1
  // Volatile.
  enum Role { kFollower, kCandidate, kLeader } role = kFollower;
  NodeId leader;
  uint64_t commit = 0;
  uint64_t first_of_term = 0;
  TimeNs leader_since = 0;
  TimeNs election_at = 0;
  std::set<NodeId> votes;
  std::map<NodeId, uint64_t> match;
  std::map<NodeId, TimeNs> heard;
  Epoch revoked;         // highest in the log, committed or not
  bool current = false;  // applied what a leader had committed, since the start
};

struct Node {
  NodeId id;
  bool witness = false;
  bool up = false;  // the worker runs
  uint64_t life = 0;
  uint64_t worker_id = 0;
  Pg pg;
  Raft raft;
  TimeNs worker_paused_until = 0;
  TimeNs pg_paused_until = 0;
  int64_t drift_ppm = 0;
  TimeNs clock_offset = 0;
  // Durable files.
  Epoch pledge;
  uint32_t repair_attempts = 0;
  bool repair_interrupted = false;
  bool repair_running = false;
  bool restored = false;
  Timeline foreign;
  Timeline ordered;
  std::string quarantine;
  // Worker.
  std::optional<ClusterState> cluster;
  std::optional<Agent> agent;
  std::optional<Coordinator> coordinator;
  std::optional<LeaseHolder> lease;
  PeerViews peers;
  uint64_t sequence = 0;
  NodeReport report;
  bool pump_due = false;
  TimeNs wake_at = kNever;
  TimeNs last_pump = 0;
};

struct Options {
  uint64_t seed = 1;
  Bugs bugs;
  bool trace = false;
  TimeNs chaos = 12'000 * kMs;
  TimeNs patience = 60'000 * kMs;  // liveness phase
};

class World {
 public:
  World(const Options& options, Coverage& coverage);
  // The whole run: bootstrap, chaos, healing. Empty, or what went wrong.
  std::string Run();
  const std::string& settings_text() const { return settings_text_; }

  // Used by the scripted tests.
  void Bootstrap();
  bool RunUntil(TimeNs until, const std::function<bool()>& stop = {});
  Node* SettledPrimary();
  bool AllJoined();

 private:
  friend class Scenarios;
  friend class Script;

  enum class Domain : uint8_t { kWorld, kWorker, kPg };
  struct Event {
    TimeNs at;
    uint64_t order;
    NodeId node;
    Domain domain;
    uint64_t life;
    std::function<void()> run;
  };
  struct Later {
    bool operator()(const Event& a, const Event& b) const {
      return a.at != b.at ? a.at > b.at : a.order > b.order;
    }
  };

  // world.cpp
  Node& At(NodeId id) { return nodes_[id.value() - 1]; }
  void After(TimeNs delay, Node& node, Domain domain, std::function<void()> run);
  void AfterWorld(TimeNs delay, std::function<void()> run);
  bool StepEvent();
  TimeNs Clock(const Node& node) const;
  TimeNs Latency(const Node& from, const Node& to);
  bool Reaches(const Node& from, const Node& to) const;
  void Send(Node& from, Node& to, Domain domain, std::function<void()> deliver);
  void Trace(const std::string& text);
  void Fail(const std::string& what);

  // sim_raft.cpp
  void RaftStart(Node& node);
  void RaftTick(Node& node);
  void RaftCampaign(Node& node);
  void RaftReceive(Node& node, const RaftMessage& message);
  void RaftAppend(Node& node, const RaftMessage& message);
  void RaftBroadcast(Node& node);
  void RaftSendTo(Node& node, NodeId to);
  void RaftAdvance(Node& node);
  void RaftApply(Node& node);
  void RaftStepDown(Node& node, uint64_t term);
  void RaftRecompute(Node& node);
  bool RaftPropose(Node& node, RaftEntry entry);
  void ProposeFrom(Node& node, const Command& command);  // forwarded to the leader
  const RaftEntry* Membership(const Node& node, uint64_t* index = nullptr) const;
  Voters VotersOf(const Node& node) const;
  void ResetElection(Node& node);
  void CommitGlobally(uint64_t index, const RaftEntry& entry);

  // sim_pg.cpp
  void PgStop(Node& node);
  void PgStart(Node& node, TimeNs delay);
  void PgCrash(Node& node, TimeNs down);
  History PgHistory(const Node& node) const;
  uint64_t PgEnd(const Node& node) const;
  void PgConnect(Node& node);
  void PgDisconnect(Node& node);
  void PgStream(Node& upstream, NodeId standby);
  void PgReceive(Node& node, uint64_t connection, const std::vector<Record>& records,
                 std::size_t from);
  void PgFlushed(Node& upstream, NodeId standby, uint64_t connection, uint64_t lsn);
  void PgWrite(Node& node, uint64_t row);
  void PgFlush(Node& node);
  void PgRelease(Node& node);
  bool PgQuorum(const Node& node, uint64_t lsn) const;
  void PgPromote(Node& node, Timeline timeline, bool by_hand);
  void PgRepair(Node& node, NodeId source, bool rewind);
  void PgRepairEnd(Node& node, NodeId source, bool rewind);
  void ClientWrite(Node& node);

  // sim_worker.cpp
  void WorkerStart(Node& node);
  void WorkerStop(Node& node);
  void PumpSoon(Node& node);
  void Pump(Node& node);
  LocalFacts Facts(const Node& node);
  void Carry(Node& node, const Action& action);
  void SendReport(Node& node);
  void SendLease(Node& node, const LeaseRequest& request);
  void Heartbeat(Node& node);
  void NotifyReset(Node& node);
  void KillNode(Node& node, TimeNs down);

  // sim_checks.cpp
  void CheckPromotion(const Node& node, Timeline timeline);
  void CheckCommitStart(const Node& node);
  void CheckAcknowledged(const Node& node, uint64_t row);
  void CheckSettled();
  void CheckRule(const Node& node);
  std::string CheckEnd();
  bool Holds(const Node& node, uint64_t row) const;

  // sim_chaos.cpp
  void PlanChaos();
  void Chaos();
  void ChaosStaleVoter();
  void KillAppointed(Epoch epoch, int polls);
  void ChaosTrickedVoter();
  void TrickVoter(Node& primary, Node& voter, Epoch epoch, int polls);
  void Heal();
  void AddClients();
  void Join(Node& node);
  void RequestVerb(bool force, bool accept_loss);

  Options options_;
  Coverage& coverage_;
  Random rng_;
  TimeNs now_ = 1'000'000 * kMs;
  uint64_t order_ = 0;
  uint64_t unique_ = 0;
  std::priority_queue<Event, std::vector<Event>, Later> queue_;
  std::vector<Node> nodes_;
  std::set<std::pair<uint64_t, uint64_t>> cuts_;  // (from, to), one way
  std::set<uint64_t> raft_port_cut_;  // nodes whose workers reach nobody; PostgreSQL does
  std::map<std::pair<uint64_t, uint64_t>, TimeNs> slow_;  // extra latency
  std::string violation_;
  std::string settings_text_;
  bool chaos_ = false;
  bool clients_ = false;

  // What was committed, and the checks' view of it.
  std::vector<RaftEntry> committed_;
  ClusterState global_;
  std::map<uint64_t, TimeNs> revoked_at_;          // epoch number -> when it was revoked
  std::set<std::pair<uint64_t, uint32_t>> leave_;  // (boot, timeline) that may be promoted
  std::unordered_set<uint64_t> must_last_;         // rows acknowledged or read
  NodeId settled_;                                 // primary of the latest settled appointment
  bool first_ack_of_settled_ = false;
  bool ever_async_ = false;
  bool recycles_wal_ = false;
  uint64_t acked_ = 0;
  bool accepted_loss_ = false;
};

}  // namespace pgquorum::failover::sim
