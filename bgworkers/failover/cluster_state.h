// What the cluster agrees on: the deterministic state machine that every member applies from the
// Raft log. Two nodes that applied the same entries are equal, byte for byte in Snapshot().
//
// A command is refused (Status) without any effect when the state does not allow it: proposers
// decide on what they saw, Raft orders, and the compare-and-set on epochs and versions here settles
// races.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "bgworkers/failover/commands.h"
#include "bgworkers/failover/ids.h"
#include "bgworkers/failover/settings.h"

namespace pgquorum::failover {

struct Member {
  NodeId id;
  MemberInfo info;
  MemberState state = MemberState::kJoining;
  bool operator==(const Member&) const = default;
  bool data() const { return info.kind == MemberKind::kData; }
};

struct Token {
  int64_t expires_us = 0;
  MemberKind kind = MemberKind::kData;
  bool operator==(const Token&) const = default;
};

// Who may acknowledge: a commit counts when `n` of `voters` other than the primary flushed it.
// `sync` and `g` are the list that the primary must have in force ("ANY g (sync)"): sync is part of
// voters without the primary, g >= n. `version` counts the changes within the epoch and is the
// generation of the list (pgquorum.sync_generation).
struct Rule {
  Epoch epoch;
  uint64_t version = 0;
  NodeId primary;
  std::vector<NodeId> voters;  // sorted, with the primary
  uint32_t n = 0;
  std::vector<NodeId> sync;  // sorted
  uint32_t g = 0;
  // n = 0 with more than one voter because the mode says so: whoever answers may be recruited.
  bool async = false;
  NodeId repair;  // the voter that may repair in place (AllowRepair)

  bool operator==(const Rule&) const = default;
  bool IsVoter(NodeId node) const;
  bool IsSync(NodeId node) const;
  // A set of pledged nodes is enough to know every acknowledged commit of this rule: the primary
  // itself, or |V| - n others.
  bool Recruited(const std::set<NodeId>& pledged) const;
};

// The latest leadership: from CreateCluster, Appoint or Resume.
struct Appointment {
  Epoch epoch;
  NodeId node;
  BootId boot;        // zero after CreateCluster: nobody may promote before a resume
  Timeline timeline;  // assigned
  Position fork;      // where the appointed node's WAL ended; zero after CreateCluster and Resume
  // A commit may have skipped the quorum before: also wait until every older lease has ended,
  // unless the older primaries themselves pledged.
  bool wait_for_leases = false;
  bool settled = false;
  bool operator==(const Appointment&) const = default;
};

// A revoke that no appointment has answered yet.
struct Recruiting {
  Epoch epoch;  // the epoch that pledges are for
  Reason reason = Reason::kNone;
  NodeId from;  // the primary that was revoked
  RequestId request;
  bool accept_loss = false;
  std::optional<FetchTail> fetch;
  bool operator==(const Recruiting&) const = default;
};

struct FailoverRequest {
  RequestFailover verb;
  Epoch epoch;            // that the revoke began for it; zero before
  bool draining = false;  // BeginDrain was applied; verb.target is resolved
  RequestOutcome outcome = RequestOutcome::kPending;
  std::string detail;
  bool operator==(const FailoverRequest&) const = default;
};

// One change of primary, or one resume (from == to).
struct HistoryEntry {
  Epoch epoch;
  Reason reason = Reason::kNone;
  NodeId from;
  NodeId to;
  Timeline timeline;
  int64_t outage_began_us = 0;
  int64_t started_us = 0;  // revoke
  int64_t appointed_us = 0;
  int64_t finished_us = 0;  // settled, or superseded
  RequestOutcome outcome = RequestOutcome::kPending;
  std::string detail;
  bool operator==(const HistoryEntry&) const = default;
};

struct ApplyResult {
  Status status;
  NodeId node;        // AddMember, CreateCluster
  Timeline timeline;  // Appoint, Resume
};

class ClusterState {
 public:
  // `index` is the entry's Raft index: it must grow. Commands that are refused change nothing but
  // applied_index().
  ApplyResult Apply(uint64_t index, const Command& command);
  // The same for an encoded entry; bytes that are no command are refused, never
  // fatal: an entry of a newer version must not stop an old node.
  ApplyResult ApplyEncoded(uint64_t index, std::string_view bytes);

  std::string Snapshot() const;
  static Result<ClusterState> Restore(std::string_view bytes);
  std::string ToText() const;
  bool operator==(const ClusterState&) const = default;

  bool created() const { return cluster_id_ != 0; }
  const std::string& name() const { return name_; }
  uint64_t cluster_id() const { return cluster_id_; }
  uint64_t system_identifier() const { return system_identifier_; }
  uint64_t applied_index() const { return applied_index_; }

  const std::map<NodeId, Member>& members() const { return members_; }
  const Member* FindMember(NodeId node) const;
  const Member* FindMember(std::string_view name) const;
  std::size_t DataMembers() const;
  std::string NameOf(NodeId node) const;  // "#7" when it is no member any more

  // The highest epoch that was appointed or revoked to.
  Epoch highest_epoch() const;
  const Rule& rule() const { return rules_.back(); }  // precondition: created()
  // Every rule since the last settled appointment, oldest first, the current one last: each must be
  // recruited before the next appointment.
  const std::vector<Rule>& rules() const { return rules_; }
  bool IsVoterOfAnyRule(NodeId node) const;
  bool RecruitedForAllRules(const std::set<NodeId>& pledged) const;
  const Appointment& appointment() const { return appointment_; }
  const std::optional<Recruiting>& recruiting() const { return recruiting_; }
  // The node must stop following and pledge for recruiting()->epoch: every active data member that
  // may vote. Only voters of the rules count as recruits; the others may be voters of the next
  // rule.
  bool MustPledge(NodeId node) const;

  bool IsAssigned(Timeline timeline) const;
  Timeline highest_timeline() const { return highest_timeline_; }
  // What counts of a history: up to the end of its newest assigned timeline. An assigned timeline
  // is one line with all that lies below it, also with a timeline that was begun by hand and that
  // the appointed node had when it was appointed.
  Position Effective(const History& history) const;

  const std::map<std::string, std::string>& setting_values() const { return setting_values_; }
  const Settings& settings() const { return settings_; }
  // The longest lease that a holder may still count with: a shorter lease_duration only bounds
  // those who applied it, so the older value counts until the next settled appointment.
  TimeNs longest_lease() const { return std::max(longest_lease_, settings_.lease_duration); }
  // min_acks with its default resolved for this group.
  uint32_t MinAcks() const;
  // n for a set of voters of this size: wanted, at most size - 1; zero in asynchronous mode.
  uint32_t WantedAcks(std::size_t voters) const;

  const std::vector<FailoverRequest>& requests() const { return requests_; }
  const FailoverRequest* FindRequest(RequestId id) const;
  // The one request that is pending, if any: a second one is refused.
  const FailoverRequest* PendingRequest() const;
  const std::deque<HistoryEntry>& history() const { return history_; }
  const std::map<std::string, Token>& tokens() const { return tokens_; }

  static constexpr std::size_t kMaxHistory = 256;
  static constexpr std::size_t kMaxRequests = 32;
  static constexpr std::size_t kMaxTokens = 64;
  static constexpr std::size_t kMaxSettings = 1024;
  static constexpr std::size_t kMaxRules = 64;
  static constexpr std::size_t kMaxTimelines = 1024;

 private:
  friend struct StateCodec;

  ApplyResult Do(const CreateCluster& c);
  ApplyResult Do(const IssueToken& c);
  ApplyResult Do(const AddMember& c);
  ApplyResult Do(const UpdateMember& c);
  ApplyResult Do(const SetMemberState& c);
  ApplyResult Do(const ForgetMember& c);
  ApplyResult Do(const Revoke& c);
  ApplyResult Do(const FetchTail& c);
  ApplyResult Do(const Appoint& c);
  ApplyResult Do(const Resume& c);
  ApplyResult Do(const Settle& c);
  ApplyResult Do(const ChangeRule& c);
  ApplyResult Do(const RequestFailover& c);
  ApplyResult Do(const BeginDrain& c);
  ApplyResult Do(const FinishRequest& c);
  ApplyResult Do(const SetSetting& c);
  ApplyResult Do(const ForceQuorum& c);
  ApplyResult Do(const AllowRepair& c);

  Status CheckInfo(const MemberInfo& info, NodeId self) const;
  Timeline AssignTimeline(Timeline floor, Timeline parent);
  HistoryEntry& BeginHistory(const Revoke& c);
  void CloseRequest(RequestId id, RequestOutcome outcome, const std::string& detail);

  std::string name_;
  uint64_t cluster_id_ = 0;
  uint64_t system_identifier_ = 0;
  uint64_t applied_index_ = 0;
  uint64_t last_node_ = 0;
  std::map<NodeId, Member> members_;
  std::map<std::string, Token> tokens_;
  std::vector<Rule> rules_;
  Appointment appointment_;
  std::optional<Recruiting> recruiting_;
  // Everything up to timeline_base_ and these are assigned; highest_timeline_ is the largest.
  Timeline timeline_base_;
  std::set<Timeline> timelines_;
  Timeline highest_timeline_;
  std::map<std::string, std::string> setting_values_;
  TimeNs longest_lease_ = 0;
  Settings settings_;  // derived from setting_values_
  std::vector<FailoverRequest> requests_;
  std::deque<HistoryEntry> history_;
};

}  // namespace pgquorum::failover

#include "base/pure.h"
