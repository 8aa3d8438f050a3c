// When a snapshot of the own state machine is due, and what may go behind it.
#include <gtest/gtest.h>

#include "raftlog/test/testkit.h"

namespace pgquorum::raft::test {
namespace {

void Only(Options& options) {
  options.snapshot_entries = 0;
  options.snapshot_bytes = 0;
  options.snapshot_interval_ticks = 0;
  options.retain_entries = 3;
}

void Commit(Cluster& cluster, int count) {
  for (int i = 0; i < count; ++i) {
    cluster.Commit(1, "x");
  }
}

TEST(SnapshotDue, ByEntries) {
  Cluster cluster(1, 0, [](Options& options) {
    Only(options);
    options.snapshot_entries = 5;
  });
  cluster.Elect(1);  // the founding entry and the leader's own
  EXPECT_EQ(cluster[1].applied(), Index(2));
  Commit(cluster, 2);
  EXPECT_FALSE(cluster[1].SnapshotDue());
  Commit(cluster, 1);
  EXPECT_TRUE(cluster[1].SnapshotDue());
  cluster.Snapshot(1);
  EXPECT_FALSE(cluster[1].SnapshotDue());
  Commit(cluster, 5);
  EXPECT_TRUE(cluster[1].SnapshotDue());
}

TEST(SnapshotDue, ByBytes) {
  Cluster cluster(1, 0, [](Options& options) {
    Only(options);
    options.snapshot_bytes = 1000;
  });
  cluster.Elect(1);
  Commit(cluster, 2);
  EXPECT_FALSE(cluster[1].SnapshotDue());
  cluster.Commit(1, std::string(1000, 'x'));
  EXPECT_TRUE(cluster[1].SnapshotDue());
  cluster.Snapshot(1);
  EXPECT_FALSE(cluster[1].SnapshotDue());
}

TEST(SnapshotDue, ByAgeOnceAnythingIsNew) {
  Cluster cluster(1, 0, [](Options& options) {
    Only(options);
    options.snapshot_interval_ticks = 100;
  });
  cluster.Elect(1);
  EXPECT_FALSE(cluster[1].SnapshotDue());
  cluster.Tick(1, 100);
  EXPECT_TRUE(cluster[1].SnapshotDue());
  cluster.Snapshot(1);
  cluster.Tick(1, 200);
  EXPECT_FALSE(cluster[1].SnapshotDue());  // nothing new
  Commit(cluster, 1);
  EXPECT_TRUE(cluster[1].SnapshotDue());
}

TEST(SnapshotDue, NeverWhenAllLimitsAreOff) {
  Cluster cluster(1, 0, Only);
  cluster.Elect(1);
  Commit(cluster, 50);
  cluster.Tick(1, 1000);
  EXPECT_FALSE(cluster[1].SnapshotDue());
}

// On a full disk it is tried again, but not with every tick.
TEST(SnapshotDue, LaterAfterAFailure) {
  Cluster cluster(1, 0, [](Options& options) {
    Only(options);
    options.snapshot_entries = 1;
    options.snapshot_retry_ticks = 30;
  });
  cluster.Elect(1);
  ASSERT_TRUE(cluster[1].SnapshotDue());
  cluster[1].SnapshotFailed();
  EXPECT_FALSE(cluster[1].SnapshotDue());
  cluster.Tick(1, 29);
  EXPECT_FALSE(cluster[1].SnapshotDue());
  cluster.Tick(1, 1);
  EXPECT_TRUE(cluster[1].SnapshotDue());
}

TEST(SnapshotDue, EntriesAreRetainedForSlowFollowers) {
  Cluster cluster(1, 0, Only);
  cluster.Elect(1);
  EXPECT_EQ(cluster[1].ReleasableTo(), Index(0));
  Commit(cluster, 8);
  cluster.Snapshot(1, 3);
  EXPECT_EQ(cluster[1].snapshot().index, Index(10));
  EXPECT_EQ(cluster[1].ReleasableTo(), Index(7));
}

}  // namespace
}  // namespace pgquorum::raft::test
