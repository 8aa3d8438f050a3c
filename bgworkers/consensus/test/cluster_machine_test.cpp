// What the state machine remembers of its log: memberships and revokes, committed or not.
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "bgworkers/consensus/cluster_machine.h"
#include "raftlog/codec.h"

namespace pgquorum::consensus {
namespace {

using failover::Epoch;
using failover::NodeId;

raft::Configuration Voters(std::vector<uint64_t> ids) {
  raft::Configuration configuration;
  for (uint64_t id : ids) {
    configuration.voters.emplace_back(id);
  }
  return configuration;
}

raft::Entry ConfigAt(uint64_t index, const raft::Configuration& configuration) {
  return {raft::Term(1), raft::Index(index), raft::EntryType::kConfig,
          raft::EncodeConfigEntry({configuration, ""})};
}

raft::Entry CommandAt(uint64_t index, const failover::Command& command) {
  return {raft::Term(1), raft::Index(index), raft::EntryType::kCommand, failover::Encode(command)};
}

failover::Revoke RevokeAfter(uint64_t epoch) {
  failover::Revoke revoke;
  revoke.current = Epoch{epoch, 1};
  return revoke;
}

failover::CreateCluster Create() {
  failover::CreateCluster create;
  create.name = "c";
  create.cluster_id = 1;
  create.generation = 1;
  create.timeline = failover::Timeline(1);
  create.first.name = "node1";
  create.first.listen_host = create.first.raft_host = "h";
  create.first.listen_port = 1;
  create.first.raft_port = 2;
  return create;
}

raft::SnapshotMeta MetaAt(uint64_t index, const raft::Configuration& configuration) {
  raft::SnapshotMeta meta;
  meta.index = raft::Index(index);
  meta.term = raft::Term(1);
  meta.configuration = configuration;
  return meta;
}

TEST(ClusterMachine, AMembershipHoldsFromItsEntryOnAndIsRolledBackWithIt) {
  ClusterMachine machine;
  machine.NoteAppended(ConfigAt(1, Voters({1})));
  machine.ApplyConfiguration(raft::Index(1), Voters({1}), "");
  machine.NoteAppended(ConfigAt(5, Voters({1, 2})));
  machine.NoteAppended(ConfigAt(7, Voters({1, 2, 3})));
  EXPECT_EQ(machine.voters(), (failover::Voters{7, {NodeId(1), NodeId(2), NodeId(3)}, {}}));
  EXPECT_TRUE(machine.View(true, raft::Term(1)).change_pending);

  machine.NoteTruncated(raft::Index(6));
  EXPECT_EQ(machine.voters(), (failover::Voters{5, {NodeId(1), NodeId(2)}, {}}));
  machine.NoteTruncated(raft::Index(2));
  EXPECT_EQ(machine.voters(), (failover::Voters{1, {NodeId(1)}, {}}));
  EXPECT_FALSE(machine.View(true, raft::Term(1)).change_pending);
}

TEST(ClusterMachine, AJointMembershipIsAChangeUnderWayWhenItIsApplied) {
  raft::Configuration joint = Voters({2, 3});
  joint.outgoing = {raft::NodeId(1), raft::NodeId(2)};
  ClusterMachine machine;
  machine.ApplyConfiguration(raft::Index(4), joint, "");
  EXPECT_EQ(machine.voters(),
            (failover::Voters{4, {NodeId(2), NodeId(3)}, {NodeId(1), NodeId(2)}}));
  EXPECT_TRUE(machine.View(true, raft::Term(1)).change_pending);
}

TEST(ClusterMachine, ARevokeCountsFromItsEntryOnAndIsNeverTakenBack) {
  ClusterMachine machine;
  machine.NoteAppended(CommandAt(3, RevokeAfter(4)));
  EXPECT_EQ(machine.revoked(), (Epoch{5, 1}));
  machine.NoteTruncated(raft::Index(3));
  machine.NoteAppended(CommandAt(3, RevokeAfter(2)));
  EXPECT_EQ(machine.revoked(), (Epoch{5, 1}));
}

TEST(ClusterMachine, ASnapshotBringsMembershipAndRevokes) {
  ClusterMachine from;
  from.ApplyConfiguration(raft::Index(1), Voters({1}), "");
  from.Apply(CommandAt(2, Create()));
  from.Apply(CommandAt(3, RevokeAfter(1)));
  ClusterMachine to;
  ASSERT_TRUE(to.Restore(MetaAt(3, Voters({1})), from.Snapshot()).ok());
  EXPECT_EQ(to.voters(), from.voters());
  EXPECT_EQ(to.revoked(), (Epoch{2, 1}));
  EXPECT_EQ(*to.published(), *from.published());
}

// A snapshot is restored when it is durable; by then the log may have gone on behind it.
TEST(ClusterMachine, AMembershipBehindARestoredSnapshotStaysInForce) {
  ClusterMachine from;
  from.ApplyConfiguration(raft::Index(1), Voters({1}), "");
  from.Apply(CommandAt(2, Create()));
  ClusterMachine to;
  to.NoteAppended(ConfigAt(3, Voters({1, 2})));
  ASSERT_TRUE(to.Restore(MetaAt(2, Voters({1})), from.Snapshot()).ok());
  EXPECT_EQ(to.voters().version, 3U);
  EXPECT_EQ(to.voters().current.size(), 2U);
}

TEST(ClusterMachine, ALeaderHasCaughtUpOnceItAppliedAnEntryOfItsTerm) {
  ClusterMachine machine;
  raft::Entry entry;
  entry.term = raft::Term(2);
  machine.NoteApplied(entry);
  EXPECT_FALSE(machine.View(true, raft::Term(3)).caught_up);
  entry.term = raft::Term(3);
  machine.NoteApplied(entry);
  EXPECT_TRUE(machine.View(true, raft::Term(3)).caught_up);
  EXPECT_FALSE(machine.View(false, raft::Term(3)).caught_up);
}

identity::ForceOrder OrderOf(uint64_t generation, uint64_t survivor, uint64_t lost) {
  identity::ForceOrder order;
  order.cluster_id = 1;
  order.generation = generation;
  order.node = survivor;
  order.survivors = {{survivor, "a", {"h", 1}, {"h", 2}}};
  order.lost = {{lost, "b", {"h", 3}, {"h", 4}}};
  order.requested_by = "alice";
  return order;
}

raft::Entry ForcedAt(uint64_t index, const identity::ForceOrder& order) {
  return {raft::Term(9), raft::Index(index), raft::EntryType::kConfig,
          raft::EncodeConfigEntry({Voters({order.node}), order.Format()})};
}

failover::ForceQuorum Begin(uint64_t epoch, uint64_t generation) {
  return {Epoch{epoch, 1}, generation, {NodeId(1)}, "alice", 0};
}

TEST(ClusterMachine, AForcedMembershipEndsEveryLeaseOfBeforeFromItsEntryOn) {
  ClusterMachine machine;
  machine.Apply(CommandAt(1, Create()));
  machine.NoteAppended(CommandAt(2, RevokeAfter(7)));  // truncated in a moment
  machine.NoteTruncated(raft::Index(2));
  machine.NoteAppended(ForcedAt(2, OrderOf(5, 1, 2)));
  EXPECT_GT(machine.revoked(), (Epoch{1'000'000, 1}));
  EXPECT_EQ(machine.View(true, raft::Term(9)).forced->generation, 5U);
  machine.NoteAppended(CommandAt(3, Begin(1, 5)));
  EXPECT_GT(machine.revoked(), (Epoch{1'000'000, 1})) << "not before it is applied";
  machine.ApplyConfiguration(raft::Index(2), Voters({1}), OrderOf(5, 1, 2).Format());
  machine.Apply(CommandAt(3, Begin(1, 5)));
  EXPECT_EQ(machine.revoked(), (Epoch{2, 5})) << "the truncated revoke was of another generation";
}

TEST(ClusterMachine, WhoWasShutOutStaysSoOverSnapshotsAndFurtherOrders) {
  ClusterMachine machine;
  machine.Apply(CommandAt(1, Create()));
  EXPECT_TRUE(machine.Admits(NodeId(2)));
  machine.NoteAppended(ForcedAt(2, OrderOf(5, 1, 2)));
  EXPECT_FALSE(machine.Admits(NodeId(2))) << "from the entry on, committed or not";
  machine.NoteTruncated(raft::Index(2));
  EXPECT_TRUE(machine.Admits(NodeId(2)));
  for (uint64_t generation : {5, 6}) {
    machine.ApplyConfiguration(raft::Index(generation), Voters({1}),
                               OrderOf(generation, 1, generation - 3).Format());
  }
  ClusterMachine restored;
  ASSERT_TRUE(restored.Restore(MetaAt(6, Voters({1})), machine.Snapshot()).ok());
  for (const ClusterMachine* each : {&machine, &restored}) {
    EXPECT_FALSE(each->Admits(NodeId(2)));
    EXPECT_FALSE(each->Admits(NodeId(3)));
    EXPECT_TRUE(each->Admits(NodeId(1)));
    EXPECT_EQ(each->OrderAgainst(NodeId(3))->generation, 6U);
    EXPECT_EQ(each->View(true, raft::Term(9)).forced->generation, 6U);
    EXPECT_EQ(each->orders().size(), 2U);
  }
  std::string snapshot = machine.Snapshot();
  for (std::size_t length = 0; length < snapshot.size(); length += 7) {
    EXPECT_FALSE(restored.Restore(MetaAt(6, Voters({1})), snapshot.substr(0, length)).ok());
  }
}

TEST(ClusterMachine, AMalformedSnapshotIsRefused) {
  ClusterMachine machine;
  EXPECT_EQ(machine.Restore(raft::SnapshotMeta(), "").sqlstate(), "XX001");
  EXPECT_EQ(machine.Restore(raft::SnapshotMeta(), "\x02garbage").sqlstate(), "XX001");
}

}  // namespace
}  // namespace pgquorum::consensus
