// The PostgreSQL server that this worker lives in, as the failover agent sees it: facts out,
// actions in (the contract is in bgworkers/failover/facts.h). No decision is taken here.
//
// Main thread of the worker only.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "bgworkers/consensus/mark_keeper.h"
#include "bgworkers/consensus/pledge_file.h"
#include "bgworkers/consensus/postgres_config.h"
#include "bgworkers/consensus/postgres_control.h"
#include "bgworkers/consensus/postgres_facts.h"
#include "bgworkers/consensus/postgres_promote.h"
#include "bgworkers/consensus/postgres_replay.h"
#include "bgworkers/consensus/postgres_slots.h"
#include "bgworkers/consensus/stream_policy.h"
#include "bgworkers/failover/cluster_state.h"
#include "bgworkers/failover/facts.h"
#include "extension/identity/identity.h"

namespace pgquorum::consensus {

class LocalServer {
 public:
  struct Paths {
    std::string data_directory;
    std::string state_directory;
  };
  LocalServer(Paths paths, const identity::NodeIdentity& identity, bool tls);

  // Reads the pledge and the mark; a damaged one quarantines the node.
  Status Open();

  // What is, read anew. `cluster` only turns member ids into addresses and names.
  const failover::LocalFacts& Refresh(failover::TimeNs now);
  const failover::LocalFacts& facts() const { return facts_; }
  const PostgresFacts& postgres() const { return gatherer_.last(); }
  uint64_t list_generation() const { return list_.generation; }

  // The oldest WAL that the upstream has by its own word; zero: not known. Before Refresh().
  void SetUpstreamFloor(Lsn floor) { upstream_floor_ = floor; }

  // Something that people should see to, shown with the health; empty: nothing.
  void SetWarning(std::string warning) { facts_.warning = std::move(warning); }

  // For this node's report.
  void SetStalled(uint32_t stalled_ms) { facts_.stalled_ms = stalled_ms; }

  // Carries out one action; what could not be done stands in facts().detail and the log.
  void Execute(const failover::Action& action, const failover::ClusterState& cluster);

  // Gives an open gate the present lease deadline, rule and accepted lists. Every turn of the loop.
  void UpdateGate(failover::TimeNs lease_deadline, const failover::ClusterState& cluster);

  // Slots for all members; called when the membership or the reported positions changed.
  void ReconcileSlots(const SlotPlan& plan);

  // The administrator is stopping the server: others should take over at once.
  void WantStepDown() { step_down_ = true; }
  // The state directory says from now on that this node is closed: the server starts again, as one
  // that belongs to nobody.
  Status CloseForGood();
  // A stop that was asked for above is under way: the loop must end soon.
  bool stopping() const { return stop_began_ != 0; }

 private:
  struct ListChange {
    failover::Epoch epoch;
    uint64_t version = 0;
    uint64_t generation = 0;
    uint32_t g = 0;
    std::vector<std::string> names;
    bool in_force = false;
    Lsn confirm_after;  // once in force: members must flush past this
    bool confirmed = false;
  };

  void RefreshRole(const PostgresFacts& pg);
  void RestartLostReplay(const PostgresFacts& pg);
  void RefreshReplay(const PostgresFacts& pg);
  void RefreshMark(const PostgresFacts& pg, failover::TimeNs now);
  void RefreshStreaming(const PostgresFacts& pg);
  void RefreshList(const PostgresFacts& pg);
  void RefreshPromotion(const PostgresFacts& pg);
  void RefreshHealth(const PostgresFacts& pg, failover::TimeNs now);
  bool StartupProcessFollows() const;

  Status Do(const failover::CloseGate& a, const failover::ClusterState& cluster);
  Status Do(const failover::OpenGate& a, const failover::ClusterState& cluster);
  Status Do(const failover::Admit& a, const failover::ClusterState& cluster);
  Status Do(const failover::ClearUpstream& a, const failover::ClusterState& cluster);
  Status Do(const failover::StopReceiver& a, const failover::ClusterState& cluster);
  Status Do(const failover::SettleReplay& a, const failover::ClusterState& cluster);
  Status Do(const failover::WritePledge& a, const failover::ClusterState& cluster);
  Status Do(const failover::SetUpstream& a, const failover::ClusterState& cluster);
  Status Do(const failover::SetSyncList& a, const failover::ClusterState& cluster);
  Status Do(const failover::Promote& a, const failover::ClusterState& cluster);
  Status Do(const failover::WriteMarker& a, const failover::ClusterState& cluster);
  Status Do(const failover::NudgeStandbys& a, const failover::ClusterState& cluster);
  Status Do(const failover::Checkpoint& a, const failover::ClusterState& cluster);
  Status Do(const failover::DemoteRestart& a, const failover::ClusterState& cluster);
  Status Do(const failover::FastStop& a, const failover::ClusterState& cluster);
  Status Do(const failover::EndWalsenders& a, const failover::ClusterState& cluster);
  Status Do(const failover::Rewind& a, const failover::ClusterState& cluster);
  Status Do(const failover::Reclone& a, const failover::ClusterState& cluster);
  Status Do(const failover::MarkForeignTimeline& a, const failover::ClusterState& cluster);
  Status Do(const failover::AcceptDataDirectory& a, const failover::ClusterState& cluster);

  Status PutGate(const failover::Rule& rule);
  Status ApplySettings();
  Status SavePledge(failover::Epoch epoch, std::optional<failover::Timeline> ordered,
                    failover::Timeline foreign);
  Status Restart(StopMode mode, const char* reason);
  Status Repair(identity::Intent::Kind kind, failover::NodeId source, failover::Epoch epoch,
                const failover::ClusterState& cluster);
  Result<Upstream> UpstreamTo(failover::NodeId node, const std::string& application_name,
                              const failover::ClusterState& cluster) const;

  Paths paths_;
  identity::NodeIdentity identity_;
  bool tls_;

  FactGatherer gatherer_;
  SettingsFile settings_file_;
  PostgresSettings settings_;
  PledgeFile pledge_file_;
  MarkKeeper mark_;
  SurvivingPosition surviving_;
  Promotion promotion_;
  ReplayEndDetector replay_end_;
  RewindRetention rewind_retention_;
  ListenerProbe probe_;
  failover::TimeNs probe_at_ = 0;

  StreamJudge stream_judge_;
  Lsn upstream_floor_;

  failover::LocalFacts facts_;
  failover::NodeId wanted_upstream_;
  failover::Timeline wanted_upstream_timeline_;
  ListChange list_;
  std::string list_text_;
  failover::OpenGate gate_;
  failover::TimeNs lease_deadline_ = 0;
  uint64_t checkpoint_tag_asked_ = 0;
  Lsn checkpoint_from_;  // a checkpoint whose redo point is at or after this answers the request
  bool step_down_ = false;
  bool reached_local_end_ = false;     // in this boot, replay came to the end of the local WAL
  failover::TimeNs behind_since_ = 0;  // when replay was last at the end of what was received
  failover::TimeNs settle_asked_ = 0;  // 0: replay is settled, or nobody asked
  failover::TimeNs stop_began_ = 0;
};

}  // namespace pgquorum::consensus
