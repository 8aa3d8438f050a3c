#include "bgworkers/failover/cluster_state.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "bgworkers/failover/test/fixture.h"

namespace pgquorum::failover {
namespace {

TEST(ClusterState, NothingIsAllowedBeforeCreate) {
  Log log;
  EXPECT_EQ(log.Sqlstate(SetSetting{"a", "b"}), "RX002");
  log.Create();
  EXPECT_TRUE(log.state.created());
  EXPECT_EQ(log.state.rule().primary, kA);
  EXPECT_FALSE(log.state.appointment().boot);  // nobody may promote before a resume
  CreateCluster again;
  EXPECT_EQ(log.Sqlstate(again), "RX002");
}

TEST(ClusterState, TokensWorkOnce) {
  Log log;
  log.Create();
  EXPECT_EQ(log.Sqlstate(IssueToken{"short", 100, MemberKind::kData, 1}), "22023");
  EXPECT_EQ(log.Sqlstate(IssueToken{std::string(32, 'x'), 5, MemberKind::kData, 5}), "22023");
  EXPECT_EQ(log.Sqlstate(log.Token('x')), "");
  AddMember add{std::string(32, 'y'), 0, Info("node2", 5002), 20};
  EXPECT_EQ(log.Sqlstate(add), "42501");  // unknown
  add.token_hash = std::string(32, 'x');
  add.now_us = 1001;
  EXPECT_EQ(log.Sqlstate(add), "42501");  // expired
  add.now_us = 20;
  add.system_identifier = 1;
  EXPECT_EQ(log.Sqlstate(add), "RX004");
  add.system_identifier = 99;
  EXPECT_EQ(log.Apply(add).node, kB);
  add.info = Info("node3", 5003);
  EXPECT_EQ(log.Sqlstate(add), "42501");  // used up
}

TEST(ClusterState, ATokenForAWitnessAdmitsNoData) {
  Log log;
  log.Create();
  EXPECT_EQ(log.Sqlstate(IssueToken{std::string(32, 'w'), 1000, MemberKind::kWitness, 1}), "");
  AddMember add{std::string(32, 'w'), 0, Info("node2", 5002), 20};
  EXPECT_EQ(log.Sqlstate(add), "42501");
  add.info.kind = MemberKind::kWitness;
  add.info.listen_host.clear();
  add.info.listen_port = 0;
  EXPECT_EQ(log.Apply(add).node, kB);
  EXPECT_FALSE(log.state.FindMember(kB)->data());
  // One for data admits a witness, whose own server must not be where another member's is.
  log.Apply(log.Token('x'));
  add.token_hash = std::string(32, 'x');
  add.info = Info("node3", 5001);
  add.info.kind = MemberKind::kWitness;
  EXPECT_EQ(log.Sqlstate(add), "42710");
  add.info = Info("node3", 5003);
  add.info.kind = MemberKind::kWitness;
  EXPECT_EQ(log.Apply(add).node, kC);
}

TEST(ClusterState, AWitnessIsNoTarget) {
  Log log;
  log.Create();
  log.Apply(log.Token('x'));
  AddMember add{std::string(32, 'x'), 0, Info("node2", 5002), 20};
  add.info.kind = MemberKind::kWitness;
  log.Apply(add);
  for (RequestKind kind : {RequestKind::kSwitchover, RequestKind::kForceFailover}) {
    RequestFailover ask;
    ask.id = RequestId(5);
    ask.kind = kind;
    ask.target = kB;
    ask.accept_loss = kind == RequestKind::kForceFailover;
    Status refused = log.Apply(ask).status;
    EXPECT_EQ(refused.sqlstate(), "RX100");
    EXPECT_NE(refused.detail().find("is a witness"), std::string::npos) << refused.detail();
  }
}

TEST(ClusterState, NamesAndAddressesAreUnique) {
  Log log;
  log.Create();
  auto join = [&log](MemberInfo info) {
    log.Apply(log.Token('t'));
    return log.Sqlstate(AddMember{std::string(32, 't'), 0, std::move(info), 20});
  };
  EXPECT_EQ(join(Info("node1", 5002)), "42710");
  EXPECT_EQ(join(Info("node2", 5001)), "42710");
  for (const char* name : {"", "1node", "Node", "a-b", "abcdefghijklmnopqrstuvwxyz012345"}) {
    EXPECT_EQ(join(Info(name, 5002)), "22023") << name;
  }
  MemberInfo bad_host = Info("node2", 5002);
  bad_host.raft_host = "a b";
  EXPECT_EQ(join(bad_host), "22023");
  EXPECT_EQ(join(Info("node2", 5002)), "");
}

TEST(ClusterState, NodeIdsAreNeverReused) {
  Log log;
  log.Create();
  NodeId second = log.Join("node2", 5002);
  EXPECT_EQ(log.Sqlstate(SetMemberState{second, MemberState::kLeaving}), "");
  EXPECT_EQ(log.Sqlstate(ForgetMember{second}), "");
  EXPECT_EQ(log.Join("node2", 5002), NodeId(3));
}

TEST(ClusterState, MembersOfTheRuleCannotBeForgotten) {
  Log log;
  log.Group();
  EXPECT_EQ(log.Sqlstate(SetMemberState{kA, MemberState::kLeaving}), "55000");
  EXPECT_EQ(log.Sqlstate(ForgetMember{kA}), "RX002");
  EXPECT_EQ(log.Sqlstate(ForgetMember{kB}), "RX002");
  EXPECT_EQ(log.Sqlstate(ForgetMember{NodeId(9)}), "42704");
  EXPECT_EQ(log.Sqlstate(SetMemberState{kB, MemberState::kJoining}), "RX002");
  MemberInfo observer = log.state.FindMember(kB)->info;
  observer.voting = false;
  EXPECT_EQ(log.Sqlstate(UpdateMember{kB, observer}), "RX002");
  observer = log.state.FindMember(kB)->info;
  observer.name = "other";
  EXPECT_EQ(log.Sqlstate(UpdateMember{kB, observer}), "RX002");
}

TEST(ClusterState, ALeavingMemberThatHadToBecomeThePrimaryStays) {
  Log log;
  log.Group();
  EXPECT_EQ(log.Sqlstate(SetMemberState{kB, MemberState::kLeaving}), "");
  log.RevokeIt();
  ASSERT_TRUE(log.Apply(log.AppointmentOf(kB, {kB, kC}, 1)).status.ok());
  EXPECT_EQ(log.state.FindMember(kB)->state, MemberState::kLeaving);
  log.SettleIt();
  EXPECT_EQ(log.state.FindMember(kB)->state, MemberState::kActive);
}

TEST(ClusterState, FailoverAppointsAndSettles) {
  Log log;
  log.Group();
  Timeline before = log.state.highest_timeline();
  log.RevokeIt();
  EXPECT_TRUE(log.state.MustPledge(kA));
  EXPECT_TRUE(log.state.MustPledge(kC));
  ApplyResult result = log.Apply(log.AppointmentOf(kB, {kB, kC}, 1));
  ASSERT_TRUE(result.status.ok()) << result.status.ToString();
  EXPECT_GT(result.timeline, before);
  EXPECT_EQ(log.state.rules().size(), 2u);  // the old one until this one is settled
  EXPECT_FALSE(log.state.appointment().settled);
  log.SettleIt();
  EXPECT_EQ(log.state.rules().size(), 1u);
  const HistoryEntry& entry = log.state.history().back();
  EXPECT_EQ(entry.from, kA);
  EXPECT_EQ(entry.to, kB);
  EXPECT_EQ(entry.outcome, RequestOutcome::kDone);
}

TEST(ClusterState, TimelinesAreAboveEveryReportedOne) {
  Log log;
  log.Group();
  log.RevokeIt();
  Appoint appoint = log.AppointmentOf(kB, {kB, kC}, 1);
  appoint.timeline_floor = Timeline(40);
  EXPECT_EQ(log.Apply(appoint).timeline, Timeline(41));
  EXPECT_TRUE(log.state.IsAssigned(Timeline(41)));
  EXPECT_FALSE(log.state.IsAssigned(Timeline(40)));
}

TEST(ClusterState, EverythingOfARevokedEpochIsRefused) {
  Log log;
  log.Group();
  Appointment app = log.state.appointment();
  Epoch old = log.epoch();
  uint64_t version = log.state.rule().version;
  log.RevokeIt();
  EXPECT_EQ(log.Sqlstate(Resume{old, kA, BootId(12), Timeline(), 0}), "RX101");
  EXPECT_EQ(log.Sqlstate(Settle{old, app.boot, app.timeline, 0}), "RX101");
  EXPECT_EQ(log.Sqlstate(ChangeRule{old, version, {kA, kB}, 1, {kB}, 1, true}), "RX002");
  EXPECT_EQ(log.Sqlstate(AllowRepair{old, kB}), "RX101");
  Revoke again;
  again.current = old;
  EXPECT_EQ(log.Sqlstate(again), "RX101");
  Appoint appoint = log.AppointmentOf(kB, {kB, kC}, 1);
  appoint.epoch = old;
  EXPECT_EQ(log.Sqlstate(appoint), "RX101");
  EXPECT_EQ(log.Sqlstate(FetchTail{old, kB, kC, app.fork}), "RX101");
}

TEST(ClusterState, AppointmentsAreChecked) {
  Log log;
  log.Group();
  EXPECT_EQ(log.Sqlstate(log.AppointmentOf(kB, {kB, kC}, 1)), "RX101");  // nothing revoked
  log.RevokeIt();
  EXPECT_EQ(log.Sqlstate(log.AppointmentOf(kB, {kC}, 0)), "RX002");             // not among V
  EXPECT_EQ(log.Sqlstate(log.AppointmentOf(kB, {kC, kB}, 1)), "RX002");         // not sorted
  EXPECT_EQ(log.Sqlstate(log.AppointmentOf(kB, {kB, NodeId(9)}, 1)), "RX002");  // no voter
  EXPECT_EQ(log.Sqlstate(log.AppointmentOf(kB, {kB, kC}, 2)), "RX002");         // n too large
  EXPECT_EQ(log.Sqlstate(log.AppointmentOf(kB, {kB}, 0)), "RX002");             // below the floor
  Appoint no_boot = log.AppointmentOf(kB, {kB, kC}, 1);
  no_boot.boot = BootId();
  EXPECT_EQ(log.Sqlstate(no_boot), "RX002");
  EXPECT_EQ(log.Sqlstate(FetchTail{log.epoch(), kB, kB, {}}), "RX002");
  EXPECT_EQ(log.Sqlstate(FetchTail{log.epoch(), kB, kC, {Timeline(2), Lsn(5)}}), "");
  EXPECT_EQ(log.Sqlstate(log.AppointmentOf(kB, {kB, kC}, 1)), "");
}

TEST(ClusterState, ResumeNeedsANewBootOfThePrimary) {
  Log log;
  log.Group();
  EXPECT_EQ(log.Sqlstate(Resume{log.epoch(), kA, BootId(11), Timeline(), 0}), "RX002");
  EXPECT_EQ(log.Sqlstate(Resume{log.epoch(), kA, BootId(), Timeline(), 0}), "RX002");
  EXPECT_EQ(log.Sqlstate(Resume{log.epoch(), kB, BootId(12), Timeline(), 0}), "RX002");
  uint64_t version = log.state.rule().version;
  EXPECT_EQ(log.Sqlstate(Resume{log.epoch(), kA, BootId(12), Timeline(), 0}), "");
  EXPECT_FALSE(log.state.appointment().settled);
  EXPECT_GT(log.state.rule().version, version);  // the names in the list change
  const Appointment& app = log.state.appointment();
  EXPECT_EQ(log.Sqlstate(Settle{app.epoch, BootId(11), app.timeline, 0}), "RX002");
  EXPECT_EQ(log.Sqlstate(Settle{app.epoch, BootId(12), Timeline(2), 0}), "RX002");
  log.SettleIt();
  EXPECT_EQ(log.Sqlstate(Settle{app.epoch, app.boot, app.timeline, 0}), "RX002");
}

TEST(ClusterState, RuleChangesKeepTheOrder) {
  Log log;
  log.Group();
  auto change = [&log](std::vector<NodeId> v, uint32_t n, std::vector<NodeId> s, uint32_t g,
                       bool confirmed) {
    return log.Sqlstate(ChangeRule{log.epoch(), log.state.rule().version, std::move(v), n,
                                   std::move(s), g, confirmed});
  };
  EXPECT_EQ(change({kA, kB, kC}, 2, {kB, kC}, 2, true), "RX002");   // n before g
  EXPECT_EQ(change({kA, kB, kC}, 1, {kB, kC}, 0, false), "RX002");  // g below n
  EXPECT_EQ(change({kA, kB}, 1, {kB}, 1, true), "RX002");           // C is still in S
  EXPECT_EQ(change({kB, kC}, 1, {kB, kC}, 1, true), "RX002");       // without the primary
  EXPECT_EQ(change({kA, kB, kC}, 1, {kA, kB}, 1, true), "RX002");   // the primary in S
  EXPECT_EQ(change({kA, kB, kC}, 0, {}, 0, true), "RX002");         // below the floor
  EXPECT_EQ(change({kA, kB, kC}, 1, {kB}, 1, false), "");
  EXPECT_EQ(change({kA, kB}, 1, {kB}, 1, false), "RX002");  // not confirmed
  EXPECT_EQ(change({kA, kB}, 1, {kB}, 1, true), "");
  EXPECT_EQ(log.Sqlstate(ChangeRule{log.epoch(), 1, {kA, kB}, 1, {kB}, 1, true}), "RX002");
  EXPECT_EQ(log.Sqlstate(AllowRepair{log.epoch(), kC}), "RX002");  // no voter
  EXPECT_EQ(log.Sqlstate(AllowRepair{log.epoch(), kA}), "RX002");
  EXPECT_EQ(log.Sqlstate(AllowRepair{log.epoch(), kB}), "");
}

TEST(ClusterState, RecruitCount) {
  struct Case {
    std::size_t voters;
    uint32_t n;
    std::size_t others_needed;
  };
  for (Case c : {Case{2, 1, 1}, Case{3, 1, 2}, Case{4, 2, 2}, Case{5, 2, 3}, Case{1, 0, 1}}) {
    Rule rule;
    rule.primary = NodeId(1);
    rule.n = c.n;
    for (std::size_t i = 1; i <= c.voters; ++i) {
      rule.voters.push_back(NodeId(i));
    }
    EXPECT_TRUE(rule.Recruited({NodeId(1)}));
    std::set<NodeId> pledged = {NodeId(77)};  // no voter
    for (std::size_t others = 0; others + 1 <= c.voters; ++others) {
      EXPECT_EQ(rule.Recruited(pledged), others >= c.others_needed) << c.voters << " " << others;
      pledged.insert(NodeId(others + 2));
    }
  }
}

TEST(ClusterState, EveryUnsettledRuleIsRecruited) {
  Log log;
  log.Group();
  log.RevokeIt();
  log.Apply(log.AppointmentOf(kB, {kB, kC}, 1));
  log.RevokeIt(Reason::kAppointmentStuck);
  EXPECT_FALSE(log.state.RecruitedForAllRules({kC}));  // rule 1 asks for both others
  EXPECT_FALSE(log.state.RecruitedForAllRules({kA}));  // rule 2 asks for B or C
  EXPECT_TRUE(log.state.RecruitedForAllRules({kA, kC}));
  EXPECT_TRUE(log.state.RecruitedForAllRules({kB, kC}));
}

TEST(ClusterState, EffectivePositionStopsAtForeignTimelines) {
  Log log;
  log.Group();  // 1 and 2 are assigned
  History history{{{Timeline(1), Lsn(100)}, {Timeline(2), Lsn(200)}}, Timeline(9), Lsn(300)};
  EXPECT_EQ(log.state.Effective(history), (Position{Timeline(2), Lsn(200)}));
  history = {{{Timeline(1), Lsn(100)}}, Timeline(2), Lsn(250)};
  EXPECT_EQ(log.state.Effective(history), (Position{Timeline(2), Lsn(250)}));
}

// A node with a tail begun by hand (9) was appointed: its new timeline is one line with all below
// it.
TEST(ClusterState, AnAssignedTimelineTakesInWhatLiesBelowIt) {
  Log log;
  log.Group();  // 1 and 2 are assigned
  History history{{{Timeline(1), Lsn(100)}, {Timeline(9), Lsn(200)}}, Timeline(2), Lsn(250)};
  EXPECT_EQ(log.state.Effective(history), (Position{Timeline(2), Lsn(250)}));
  history = {{{Timeline(8), Lsn(100)}}, Timeline(9), Lsn(200)};
  EXPECT_EQ(log.state.Effective(history), Position());
}

TEST(ClusterState, SwitchoverRequests) {
  Log log;
  log.Group();
  auto ask = [](uint64_t id, NodeId target, RequestKind kind = RequestKind::kSwitchover) {
    RequestFailover r;
    r.id = RequestId(id);
    r.kind = kind;
    r.target = target;
    return r;
  };
  EXPECT_EQ(log.Sqlstate(ask(1, kA)), "RX100");         // is the primary
  EXPECT_EQ(log.Sqlstate(ask(1, NodeId(9))), "RX100");  // no member
  RequestFailover lossy = ask(1, kB);
  lossy.accept_loss = true;
  EXPECT_EQ(log.Sqlstate(lossy), "RX100");
  EXPECT_EQ(log.Sqlstate(ask(1, kB)), "");
  EXPECT_EQ(log.Sqlstate(ask(1, kB)), "RX100");  // the same again
  EXPECT_EQ(log.Sqlstate(ask(2, kC)), "RX100");  // one at a time
  EXPECT_EQ(log.Sqlstate(BeginDrain{RequestId(2), log.epoch(), kB}), "RX002");
  EXPECT_EQ(log.Sqlstate(BeginDrain{RequestId(1), log.epoch(), kA}), "RX002");
  EXPECT_EQ(log.Sqlstate(BeginDrain{RequestId(1), log.epoch(), kB}), "");
  EXPECT_EQ(log.Sqlstate(BeginDrain{RequestId(1), log.epoch(), kB}), "RX002");
  EXPECT_EQ(log.Sqlstate(FinishRequest{RequestId(1), RequestOutcome::kDone, ""}), "RX002");
  EXPECT_EQ(log.Sqlstate(FinishRequest{RequestId(1), RequestOutcome::kFailed, "late"}), "");
  EXPECT_EQ(log.state.FindRequest(RequestId(1))->detail, "late");
  EXPECT_EQ(log.Sqlstate(ask(3, kB)), "");
  EXPECT_EQ(log.Sqlstate(ask(4, kC, RequestKind::kForceFailover)), "");  // takes its place
  Revoke revoke{log.epoch(), Reason::kForced, RequestId(4), 0, 0, false};
  EXPECT_EQ(log.Sqlstate(revoke), "");
  EXPECT_EQ(log.Sqlstate(FinishRequest{RequestId(4), RequestOutcome::kFailed, ""}), "RX002");
  EXPECT_EQ(log.Sqlstate(ask(5, kB)), "RX100");  // under way
  log.Apply(log.AppointmentOf(kB, {kB, kC}, 1));
  log.SettleIt();
  EXPECT_EQ(log.state.FindRequest(RequestId(4))->outcome, RequestOutcome::kFailed);
}

TEST(ClusterState, SettingsAreValidated) {
  Log log;
  log.Create();
  EXPECT_EQ(log.Sqlstate(SetSetting{"pgquorum.lease_duration", "fast"}), "22023");
  EXPECT_EQ(log.Sqlstate(SetSetting{"pgquorum.lease_duration", "1"}), "22023");
  EXPECT_EQ(log.Sqlstate(SetSetting{"pgquorum.replication_mode", "maybe"}), "22023");
  EXPECT_EQ(log.Sqlstate(SetSetting{"pgquorum.automatic_failover", "1"}), "22023");
  EXPECT_EQ(log.Sqlstate(SetSetting{"", "1"}), "22023");
  EXPECT_EQ(log.Sqlstate(SetSetting{"pgquorum.lease_duration", "3 fortnights"}), "22023");
  EXPECT_EQ(log.Sqlstate(SetSetting{"pgquorum.lease_duration", "9223372036854775807d"}), "22023");
  EXPECT_EQ(log.Sqlstate(SetSetting{"pgquorum.synchronous_acks", "1s"}), "22023");
  EXPECT_EQ(log.Sqlstate(SetSetting{"pgquorum.max_join_lag", "2MB"}), "");
  EXPECT_EQ(log.state.settings().max_join_lag, uint64_t{2} << 20);
  EXPECT_EQ(log.Sqlstate(SetSetting{"pgquorum.lease_duration", "2500"}), "");
  EXPECT_EQ(log.state.settings().lease_duration, 2500 * kMs);
  EXPECT_EQ(log.Sqlstate(SetSetting{"pgquorum.lease_duration", "3 s"}), "");
  EXPECT_EQ(log.state.settings().lease_duration, 3000 * kMs);
  EXPECT_EQ(log.Sqlstate(SetSetting{"pgquorum.lease_duration", ""}), "");
  EXPECT_EQ(log.state.longest_lease(), 3000 * kMs);  // somebody may still count with it
  EXPECT_EQ(log.state.settings().lease_duration, 2000 * kMs);
  EXPECT_EQ(log.Sqlstate(SetSetting{"other.name", "anything"}), "");
}

TEST(ClusterState, SettingsAreListedWithTheirDefaults) {
  Log log;
  log.Create();
  log.Apply(SetSetting{"pgquorum.lease_duration", "3s"});
  std::vector<SettingText> list = log.state.settings().List();
  for (const SettingText& setting : list) {
    EXPECT_TRUE(Settings::IsKnown(setting.name));
    // What is shown can be set.
    EXPECT_TRUE(Settings::Validate(setting.name, setting.default_value).ok()) << setting.name;
    bool changed = setting.name == "pgquorum.lease_duration";
    EXPECT_EQ(setting.value == setting.default_value, !changed) << setting.name;
  }
  EXPECT_GE(list.size(), 18u);
  EXPECT_FALSE(Settings::IsKnown("pgquorum.election_timeout"));
}

TEST(ClusterState, ForceQuorumStartsAGeneration) {
  Log log;
  log.Group();
  ForceQuorum force{log.epoch(), 5, {kC}, "admin", 0};
  EXPECT_EQ(log.Sqlstate(force), "22023");  // not new
  force.generation = 6;
  force.survivors = {NodeId(9)};
  EXPECT_EQ(log.Sqlstate(force), "42704");
  force.survivors = {kC};
  EXPECT_EQ(RevokedEpochOf(Encode(force)), (Epoch{log.epoch().number + 1, 6}));
  EXPECT_EQ(log.Sqlstate(force), "");
  EXPECT_EQ(log.state.members().size(), 1u);
  EXPECT_TRUE(log.state.MustPledge(kC));
  EXPECT_EQ(log.epoch().generation, 6u);
}

TEST(ClusterState, SnapshotRestoresTheSameState) {
  Log log;
  log.Group();
  log.RevokeIt();
  std::string snapshot = log.state.Snapshot();
  Result<ClusterState> copy = ClusterState::Restore(snapshot);
  ASSERT_TRUE(copy.ok());
  EXPECT_TRUE(copy.value() == log.state);
  EXPECT_EQ(copy.value().ToText(), log.state.ToText());
  for (std::size_t length = 0; length < snapshot.size(); ++length) {
    EXPECT_FALSE(ClusterState::Restore(snapshot.substr(0, length)).ok());
  }
  snapshot[0] = 9;
  EXPECT_EQ(ClusterState::Restore(snapshot).status().sqlstate(), "0A000");
}

TEST(Commands, HostileBytesAreRefused) {
  Log log;
  log.Group();
  std::string good = Encode(log.AppointmentOf(kB, {kB, kC}, 1));
  for (std::size_t length = 0; length < good.size(); ++length) {
    EXPECT_FALSE(DecodeCommand(good.substr(0, length)).ok());
  }
  EXPECT_EQ(DecodeCommand(good + "x").status().sqlstate(), "22P03");
  std::string unknown = good;
  unknown[1] = 100;
  EXPECT_EQ(DecodeCommand(unknown).status().sqlstate(), "0A000");
  unknown = good;
  unknown[0] = 2;
  EXPECT_EQ(DecodeCommand(unknown).status().sqlstate(), "0A000");
  Random random(1);
  for (int i = 0; i < 20000; ++i) {
    std::string noise = good;
    for (int k = 0; k < 3; ++k) {
      noise[random.Below(noise.size())] = static_cast<char>(random.Next());
    }
    [[maybe_unused]] ApplyResult ignored = log.state.ApplyEncoded(++log.index, noise);
  }
  EXPECT_EQ(RevokedEpochOf("garbage"), Epoch());
}

TEST(History, ContainsAndCompatible) {
  History primary{{{Timeline(1), Lsn(100)}, {Timeline(3), Lsn(200)}}, Timeline(5), Lsn(300)};
  EXPECT_TRUE(primary.Contains({Timeline(1), Lsn(100)}));
  EXPECT_FALSE(primary.Contains({Timeline(1), Lsn(101)}));
  EXPECT_FALSE(primary.Contains({Timeline(2), Lsn(50)}));
  EXPECT_TRUE(primary.Contains({Timeline(5), Lsn(300)}));
  EXPECT_TRUE(primary.Compatible({{{Timeline(1), Lsn(100)}}, Timeline(3), Lsn(250)}));
  EXPECT_TRUE(primary.Compatible({{{Timeline(1), Lsn(90)}}, Timeline(4), Lsn(95)}));
  EXPECT_FALSE(primary.Compatible({{{Timeline(1), Lsn(90)}}, Timeline(3), Lsn(95)}));
  EXPECT_FALSE(primary.Compatible({{}, Timeline(9), Lsn(95)}));
}

}  // namespace
}  // namespace pgquorum::failover
