// The simulator: the shipped agent, coordinator, lease, state machine and Raft core on every node,
// over a model of PostgreSQL and of a disk, and a network that misbehaves. One seed gives one run,
// always the same.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <set>
#include <span>
#include <string>
#include <unordered_set>
#include <vector>

#include "base/random.h"
#include "bgworkers/consensus/cluster_machine.h"
#include "bgworkers/failover/agent.h"
#include "bgworkers/failover/coordinator.h"
#include "bgworkers/failover/lease.h"
#include "bgworkers/failover/sim/coverage.h"
#include "raftlog/core.h"
#include "raftlog/test/model_disk.h"

namespace pgquorum::failover::sim {

inline constexpr TimeNs kChaos = 12'000 * kMs;     // faults happen
inline constexpr TimeNs kPatience = 60'000 * kMs;  // until then everything must have healed

// Deliberate defects of the world, that is, of what the worker has to do around the policies.
struct WorldBugs {
  bool pledge_not_durable = false;  // a restart forgets it
  bool foreign_forgotten = false;   // nobody remembers a promotion by hand
  bool no_mark = false;             // a directory put back from a copy is taken for the own one
  // No defect: whether outages are measured too. A defect is to be caught by what it breaks.
  bool figures = true;
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
  std::vector<Record> backup;    // as it was before the last repair
  std::size_t recycled = 0;      // records that it does not have any more
  TimeNs replay_held_until = 0;  // paused, or stopped by a conflict
  // Shared memory.
  bool gate = false;
  TimeNs deadline = 0;  // the node's own clock
  Admission admission = Admission::kAdministrators;
};

// The shipped Raft core of a node, and the shipped state machine.
struct RaftNode {
  std::unique_ptr<raft::test::ModelDisk> disk;  // survives everything
  // The rest is of one life of the worker.
  std::unique_ptr<consensus::ClusterMachine> machine;
  std::unique_ptr<raft::Core> core;
  bool syncing = false;
  TimeNs last_tick = 0;
  TimeNs leader_since = 0;
  uint64_t applied = 0;
  // Applied what a leader had committed, since the start.
  bool current = false;
  TimeNs read_again = 0;
  std::optional<uint64_t> read_index;
};

struct Node {
  NodeId id;
  bool witness = false;
  bool up = false;  // the worker runs
  uint64_t life = 0;
  uint64_t worker_id = 0;
  Pg pg;
  RaftNode raft;
  bool delayed = false;      // a standby that applies late on purpose, never a voter
  TimeNs promotes_from = 0;  // until then a promotion does not begin
  bool left = false;         // the cluster has forgotten it
  TimeNs stalled = 0;        // the last pause of the worker, and when it ended
  TimeNs stalled_at = 0;
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
  bool mark_compared = false;  // in this start: from then on a restored directory is known as one
  Timeline foreign;
  Timeline ordered;
  std::string quarantine;
  // Worker.
  std::shared_ptr<const ClusterState> cluster;  // what the policies look at
  std::optional<Agent> agent;
  std::optional<Coordinator> coordinator;
  uint64_t coordinated_term = 0;
  std::string waiting_for;  // the coordinator's last word
  std::optional<LeaseHolder> lease;
  PeerViews peers;
  std::set<uint64_t> dead_workers;  // of peers, whose connections were reset
  uint64_t sequence = 0;
  NodeReport report;
  bool pump_due = false;
  TimeNs wake_at = kNever;
  TimeNs last_pump = 0;
};

class World {
 public:
  World(uint64_t seed, const WorldBugs& bugs, Coverage& coverage, bool trace);
  // The whole run: bootstrap, chaos, healing. Empty, or what went wrong.
  std::string Run();

 private:
  void Bootstrap();
  bool RunUntil(TimeNs until, const std::function<bool()>& stop = {});
  Node* SettledPrimary();
  bool AllJoined();
  void RunCalm();

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
  bool RaftPortCut(const Node& node) const;
  void Send(Node& from, Node& to, Domain domain, std::function<void()> deliver);
  void Trace(const std::string& text);
  void Fail(const std::string& what);

  // sim_raft.cpp
  void RaftStart(Node& node);
  void RaftStop(Node& node);
  void RaftTick(Node& node);
  void RaftPump(Node& node);
  void RaftCarry(Node& node, raft::Output& out);
  void RaftSend(Node& node, const raft::Message& message);
  void RaftSync(Node& node);
  void RaftNote(Node& node, const raft::Persist& persist);
  void RaftApply(Node& node, const raft::Entry& entry);
  void RaftSnapshot(Node& node);
  void RaftRestore(Node& node);
  void RaftPropose(Node& node, const Command& command);
  void RaftChangeMembers(Node& node, const RaftChange& change);
  RaftView ViewRaft(const Node& node) const;
  bool IsLeader(const Node& node) const;

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
  TimeNs StepAgent(Node& node, TimeNs clock);
  TimeNs StepCoordinator(Node& node, TimeNs clock);
  LocalFacts Facts(Node& node);
  // sim_actions.cpp
  void Carry(Node& node, const Action& action);
  void Soon(Node& node, uint64_t low_us, uint64_t high_us, std::function<void()> run);
  void Do(Node& node, const CloseGate& a);
  void Do(Node& node, const OpenGate& a);
  void Do(Node& node, const Admit& a);
  void Do(Node& node, const ClearUpstream& a);
  void Do(Node& node, const StopReceiver& a);
  void Do(Node& node, const SettleReplay& a);
  void Do(Node& node, const WritePledge& a);
  void Do(Node& node, const SetUpstream& a);
  void Do(Node& node, const SetSyncList& a);
  void Do(Node& node, const Promote& a);
  void Do(Node& node, const WriteMarker& a);
  void Do(Node& node, const NudgeStandbys& a);
  void Do(Node& node, const Checkpoint& a);
  void Do(Node& node, const DemoteRestart& a);
  void Do(Node& node, const FastStop& a);
  void Do(Node& node, const EndWalsenders& a);
  void Do(Node& node, const Rewind& a);
  void Do(Node& node, const Reclone& a);
  void Do(Node& node, const MarkForeignTimeline& a);
  void Do(Node& node, const AcceptDataDirectory& a);

  void SendReport(Node& node);
  void SendLease(Node& node, const LeaseRequest& request);
  void Heartbeat(Node& node);
  void NotifyReset(Node& node);
  void KillNode(Node& node, TimeNs down);
  void SwitchOff(Node& node);

  // sim_checks.cpp
  void CommitGlobally(const raft::Entry& entry);
  void NoteCommitted(const Appointment& was, Epoch was_epoch, bool was_settled);
  void CheckQuorum(const Node& node, uint64_t row);
  void CheckPromotion(const Node& node, Timeline timeline);
  void CheckCommitStart(const Node& node);
  void CheckAcknowledged(const Node& node, uint64_t row);
  void CheckSettled();
  void CheckRule(const Node& node);
  std::string CheckEnd();
  bool Holds(const Node& node, uint64_t row) const;
  bool LossAllowed() const { return ever_async_ || accepted_loss_ || majority_lost_; }

  // sim_chaos.cpp, sim_scenarios.cpp
  struct Fault;
  static std::span<const Fault> Faults();
  void PlanChaos();
  void Chaos();
  void Carry(const Fault& fault);
  void Heal();
  void SetForAll(const std::string& key, const std::string& value);
  TimeNs Ms(uint64_t low, uint64_t high);
  Node& AnyNode() { return nodes_[rng_.Below(nodes_.size())]; }
  void Cut(const Node& from, const Node& to, TimeNs time);
  void CutOff(const Node& node, TimeNs time);
  void CutRaftPort(Node& node, TimeNs time);
  void Slow(const Node& from, const Node& to, TimeNs most, TimeNs time);
  void Quarantine(Node& node, TimeNs time);
  void Once(TimeNs patience, std::function<bool()> when, std::function<void()> then);
  void InChaos(TimeNs delay, std::function<void()> run);
  std::vector<Node*> Standbys();
  Node* DivergedVoter();
  void KeepUp(const Node& primary, const Node& holder);
  void KillAppointed(Epoch epoch);
  bool FaultKill(Node& node, Node& other);
  bool FaultKillAll(Node& node, Node& other);
  bool FaultBackend(Node& node, Node& other);
  bool FaultWorkerKilled(Node& node, Node& other);
  bool FaultWorkerStopped(Node& node, Node& other);
  bool FaultNodeStopped(Node& node, Node& other);
  bool FaultCutOff(Node& node, Node& other);
  bool FaultOneWay(Node& node, Node& other);
  bool FaultLink(Node& node, Node& other);
  bool FaultSlow(Node& node, Node& other);
  bool FaultPromotedByHand(Node& node, Node& other);
  bool FaultPointedByHand(Node& node, Node& other);
  bool FaultQuarantine(Node& node, Node& other);
  bool FaultRestored(Node& node, Node& other);
  bool FaultDiskFull(Node& node, Node& other);
  bool FaultRecycled(Node& node, Node& other);
  bool FaultReplayHeld(Node& node, Node& other);
  bool FaultSetting(Node& node, Node& other);
  bool FaultMemberRemoved(Node& node, Node& other);
  bool FaultSwitchover(Node& node, Node& other);
  bool FaultStuckSwitchover(Node& node, Node& other);
  bool FaultForced(Node& node, Node& other);
  bool FaultCandidateDies(Node& node, Node& other);
  bool FaultStaleVoter(Node& node, Node& other);
  bool FaultTrickedVoter(Node& node, Node& other);
  bool FaultLastHolders(Node& node, Node& other);
  bool FaultLongTail(Node& node, Node& other);
  bool FaultFrozenCandidate(Node& node, Node& other);
  bool FaultAllDiverged(Node& node, Node& other);
  bool FaultForeignTail(Node& node, Node& other);
  bool FaultOldBackup(Node& node, Node& other);

  // sim_force_quorum.cpp
  bool FaultForceQuorum(Node& node, Node& other);
  void ForceQuorumOn(const std::vector<Node*>& survivors);
  identity::ForceOrder OrderFor(const Node& heir);
  void ForgetLost(const raft::test::ModelDisk& disk);

  // sim_figures.cpp
  void CheckFigures();
  bool Calm();
  void DefaultSettings();
  uint64_t Elections() const;
  std::string Describe();

  // sim_clients.cpp
  void AddClients();
  void ProposeCreate(const CreateCluster& create);
  void Join(Node& node);
  void RequestVerb(bool force, bool accept_loss);

  uint64_t seed_;
  WorldBugs bugs_;
  Coverage& coverage_;
  bool trace_;
  Random rng_;
  TimeNs now_ = 1'000'000 * kMs;
  uint64_t order_ = 0;
  uint64_t unique_ = 0;
  std::priority_queue<Event, std::vector<Event>, Later> queue_;
  std::vector<Node> nodes_;
  using Link = std::pair<uint64_t, uint64_t>;       // (from, to), one way
  std::map<Link, TimeNs> cuts_;                     // until when
  std::map<uint64_t, TimeNs> raft_port_cut_;        // its worker reaches nobody; PostgreSQL does
  std::map<Link, std::pair<TimeNs, TimeNs>> slow_;  // extra latency, until when
  std::string violation_;
  bool chaos_ = false;
  bool clients_ = false;

  // What was committed, and the checks' view of it.
  std::vector<raft::Entry> committed_;
  ClusterState global_;
  std::map<Epoch, TimeNs> revoked_at_;             // when each was revoked
  std::set<std::pair<uint64_t, uint32_t>> leave_;  // (boot, timeline) that may be promoted
  std::unordered_set<uint64_t> must_last_;         // rows acknowledged or read
  NodeId settled_;                                 // primary of the latest settled appointment
  bool first_ack_of_settled_ = false;
  bool ever_async_ = false;
  TimeNs longest_lease_ = 0;
  uint64_t joined_ = 0;            // the highest node id that was given
  bool removed_ = false;           // a member left
  uint64_t snapshot_entries_ = 0;  // a Raft snapshot is taken after so many; 0: never
  std::map<Epoch, Rule> rule_of_;  // the latest version of each epoch's
  bool accepted_loss_ = false;
  bool force_quorum_ = false;   // happened in this run
  bool majority_lost_ = false;  // ... and nobody has settled since
  bool no_copy_left_ = false;   // ... and those that are left are all half-repaired
};

}  // namespace pgquorum::failover::sim
