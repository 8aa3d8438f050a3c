// Three hosts in one process: real threads, real files, a network that can be cut.
#include "raftlog/runtime/host.h"

#include "raftlog/errors.h"
#include "raftlog/runtime/test/cluster.h"
#include "raftlog/storage/errors.h"
#include "base/storage/memory_file.h"

#include "base/pure.h"

namespace pgquorum::raft {
namespace {

TEST(Host, ElectsCommitsAndAppliesEverywhere) {
  Cluster cluster(3);
  cluster.StartAll();
  NodeId leader = cluster.WaitForLeader();
  for (int i = 1; i <= 20; ++i) {
    Cluster::Answer answer = cluster.Propose(leader, "c" + std::to_string(i));
    ASSERT_TRUE(answer.status.ok()) << answer.status.ToString();
    EXPECT_EQ(answer.result, std::to_string(i));
  }
  for (NodeId id : cluster.running()) {
    ASSERT_TRUE(cluster.machine(id).WaitForCount(20));
    EXPECT_EQ(cluster.machine(id).commands(), cluster.machine(leader).commands());
  }
}

TEST(Host, GatheredProposalsAreAllCommittedInOrder) {
  Cluster cluster(3);
  for (uint64_t id = 1; id <= 3; ++id) {
    HostOptions options = cluster.OptionsFor(NodeId(id));
    options.gather_proposals = true;
    cluster.Start(std::move(options));
  }
  NodeId leader = cluster.WaitForLeader();
  constexpr int kProposals = 500;
  std::promise<void> all;
  std::vector<std::string> results;  // touched on the core's thread only, until `all`
  for (int i = 1; i <= kProposals; ++i) {
    cluster.host(leader).Propose("x", [&](Status status, Index, std::string result) {
      EXPECT_TRUE(status.ok()) << status.ToString();
      results.push_back(std::move(result));
      if (results.size() == kProposals) {
        all.set_value();
      }
    });
  }
  ASSERT_EQ(all.get_future().wait_for(kPatience), std::future_status::ready);
  for (int i = 1; i <= kProposals; ++i) {
    EXPECT_EQ(results[static_cast<std::size_t>(i) - 1], std::to_string(i));
  }
}

TEST(Host, ASingleFounderLeadsByItself) {
  Cluster cluster(1);
  cluster.StartAll();
  NodeId leader = cluster.WaitForLeader();
  EXPECT_EQ(cluster.Propose(leader, "alone").result, "1");
}

TEST(Host, FollowerForwardsAndReturnsTheResult) {
  Cluster cluster(3);
  cluster.StartAll();
  NodeId leader = cluster.WaitForLeader();
  NodeId follower = leader == NodeId(1) ? NodeId(2) : NodeId(1);
  ASSERT_TRUE(cluster.WaitFor(follower, [&](const HostStatus& s) { return s.leader == leader; }));
  Cluster::Answer answer = cluster.Propose(follower, "from a follower");
  ASSERT_TRUE(answer.status.ok()) << answer.status.ToString();
  EXPECT_EQ(answer.result, "1");
  // Applied on the follower itself before the answer.
  EXPECT_EQ(cluster.machine(follower).commands().size(), 1u);
}

TEST(Host, SurvivesTheLossOfItsLeader) {
  Cluster cluster(3);
  cluster.StartAll();
  NodeId first = cluster.WaitForLeader();
  cluster.ProposeUntilCommitted(first, "before");
  cluster.Stop(first);
  NodeId second = cluster.WaitForLeader();
  ASSERT_NE(second, first);
  cluster.ProposeUntilCommitted(second, "after");
  cluster.Start(first);
  ASSERT_TRUE(cluster.machine(first).WaitForCount(2));
  EXPECT_EQ(cluster.machine(first).commands(), (std::vector<std::string>{"before", "after"}));
}

TEST(Host, RemembersEverythingAfterARestartOfAll) {
  Cluster cluster(3);
  cluster.StartAll();
  NodeId leader = cluster.WaitForLeader();
  for (int i = 0; i < 50; ++i) {
    cluster.ProposeUntilCommitted(leader, std::string(3000, 'x'));  // several segments
  }
  Term term = cluster.host(leader).GetStatus().term;
  for (NodeId id : cluster.running()) {
    cluster.Stop(id);
  }
  cluster.StartAll();
  leader = cluster.WaitForLeader();
  EXPECT_GT(cluster.host(leader).GetStatus().term, term);
  cluster.ProposeUntilCommitted(leader, "last");
  for (NodeId id : cluster.running()) {
    ASSERT_TRUE(cluster.machine(id).WaitForCount(51));
    EXPECT_EQ(cluster.machine(id).commands().back(), "last");
    EXPECT_GE(cluster.seen(id).appended, Index(51));
  }
}

TEST(Host, MinorityCommitsNothingAndItsEntriesAreReplaced) {
  Cluster cluster(3);
  cluster.StartAll();
  NodeId old_leader = cluster.WaitForLeader();
  cluster.ProposeUntilCommitted(old_leader, "common");
  cluster.network.Isolate(old_leader, true);
  std::promise<Status> lost;
  cluster.host(old_leader).Propose("never committed", [&](Status status, Index, std::string) {
    lost.set_value(std::move(status));
  });
  NodeId leader = cluster.WaitForLeader(old_leader);
  cluster.ProposeUntilCommitted(leader, "majority");
  cluster.network.Isolate(old_leader, false);
  EXPECT_EQ(lost.get_future().get().sqlstate(), kErrNotLeader);
  ASSERT_TRUE(cluster.machine(old_leader).WaitForCount(2));
  EXPECT_EQ(cluster.machine(old_leader).commands(),
            (std::vector<std::string>{"common", "majority"}));
  std::lock_guard lock(cluster.seen(old_leader).mutex);
  EXPECT_FALSE(cluster.seen(old_leader).truncated.empty());
}

TEST(Host, ANodeThatWasAwayCatchesUpBySnapshot) {
  Cluster cluster(3);
  auto start = [&](NodeId id) {
    HostOptions options = cluster.OptionsFor(id);
    options.raft.snapshot_entries = 20;
    options.raft.retain_entries = 2;
    cluster.Start(std::move(options));
  };
  for (uint64_t id = 1; id <= 3; ++id) {
    start(NodeId(id));
  }
  NodeId leader = cluster.WaitForLeader();
  NodeId away = leader == NodeId(3) ? NodeId(2) : NodeId(3);
  cluster.Stop(away);
  for (int i = 0; i < 100; ++i) {
    cluster.ProposeUntilCommitted(leader, std::string(2000, static_cast<char>('a' + i % 26)));
  }
  ASSERT_TRUE(cluster.WaitFor(
      leader, [](const HostStatus& s) { return s.snapshots_taken > 0 && s.first > Index(50); }));
  start(away);
  ASSERT_TRUE(cluster.machine(away).WaitForCount(100));
  EXPECT_GT(cluster.machine(away).restores(), 0);
  cluster.ProposeUntilCommitted(leader, "after the snapshot");
  ASSERT_TRUE(cluster.machine(away).WaitForCount(101));
  EXPECT_EQ(cluster.machine(away).commands(), cluster.machine(leader).commands());
  // And once more from its own disk.
  cluster.Stop(away);
  start(away);
  EXPECT_GT(cluster.machine(away).restores(), 0);
  ASSERT_TRUE(cluster.machine(away).WaitForCount(101));
}

TEST(Host, ADamagedLogIsRefilledFromTheLeader) {
  Cluster cluster(3);
  cluster.StartAll();
  NodeId leader = cluster.WaitForLeader();
  for (int i = 0; i < 20; ++i) {
    cluster.ProposeUntilCommitted(leader, "entry " + std::to_string(i));
  }
  NodeId damaged = leader == NodeId(3) ? NodeId(2) : NodeId(3);
  ASSERT_TRUE(cluster.machine(damaged).WaitForCount(20));
  cluster.Stop(damaged);
  std::filesystem::path segment = cluster.DirectoryOf(damaged) / "log-0000000000000001";
  ASSERT_TRUE(std::filesystem::exists(segment));
  {
    // Behind the first entries, in front of many.
    std::FILE* file = std::fopen(segment.c_str(), "r+");
    ASSERT_NE(file, nullptr);
    ASSERT_EQ(std::fseek(file, 1500, SEEK_SET), 0);
    ASSERT_EQ(std::fputs("damage", file) >= 0, true);
    ASSERT_EQ(std::fclose(file), 0);
  }
  cluster.Start(damaged);
  EXPECT_NE(cluster.host(damaged).GetStatus().damage, "");
  // The leader believes that it has everything; the next entry shows that it has not.
  cluster.ProposeUntilCommitted(leader, "one more");
  ASSERT_TRUE(cluster.machine(damaged).WaitForCount(21));
  ASSERT_TRUE(cluster.WaitFor(damaged, [](const HostStatus& s) { return !s.refilling; }));
  EXPECT_EQ(cluster.machine(damaged).commands(), cluster.machine(leader).commands());
}

TEST(Host, AJoiningNodeStartsEmptyAndLearnsTheConfiguration) {
  Cluster cluster(1);
  cluster.StartAll();
  NodeId leader = cluster.WaitForLeader();
  cluster.ProposeUntilCommitted(leader, "one");
  cluster.Start(NodeId(2));
  Status added = Status::Error(kErrNotReady, "not tried");
  for (int i = 0; i < 100 && added.sqlstate() == kErrNotReady; ++i) {
    added = cluster.ProposeConfig(leader, {{ChangeKind::kAddLearner, NodeId(2)}});
  }
  ASSERT_TRUE(added.ok()) << added.ToString();
  ASSERT_TRUE(cluster.machine(NodeId(2)).WaitForCount(1));
  ASSERT_TRUE(cluster.ProposeConfig(leader, {{ChangeKind::kAddVoter, NodeId(2)}}).ok());
  ASSERT_TRUE(cluster.WaitFor(
      NodeId(2), [](const HostStatus& s) { return s.configuration.IsVoter(NodeId(2)); }));
}

TEST(Host, ReadIndexWaitsForWhatWasCommitted) {
  Cluster cluster(3);
  cluster.StartAll();
  NodeId leader = cluster.WaitForLeader();
  Cluster::Answer written = cluster.ProposeUntilCommitted(leader, "value");
  for (NodeId id : cluster.running()) {
    ASSERT_TRUE(cluster.WaitFor(id, [&](const HostStatus& s) { return s.leader == leader; }));
    std::promise<std::pair<Status, Index>> read;
    cluster.host(id).ReadIndex(ReadMode::kQuorum, [&](Status status, Index index) {
      read.set_value({std::move(status), index});
    });
    auto [status, index] = read.get_future().get();
    ASSERT_TRUE(status.ok()) << status.ToString();
    EXPECT_GE(index, written.index);
    EXPECT_EQ(cluster.machine(id).commands().size(), 1u);
  }
}

TEST(Host, LeadershipIsTransferred) {
  Cluster cluster(3);
  cluster.StartAll();
  NodeId leader = cluster.WaitForLeader();
  cluster.ProposeUntilCommitted(leader, "x");
  NodeId target = leader == NodeId(1) ? NodeId(2) : NodeId(1);
  std::promise<Status> begun;
  cluster.host(leader).TransferLeadership(target, [&](Status s) { begun.set_value(std::move(s)); });
  ASSERT_TRUE(begun.get_future().get().ok());
  ASSERT_TRUE(cluster.WaitFor(target, [](const HostStatus& s) { return s.role == Role::kLeader; }));
}

TEST(Host, SessionCommandsAreExecutedOnce) {
  Cluster cluster(1);
  cluster.StartAll();
  NodeId leader = cluster.WaitForLeader();
  auto propose = [&](const SessionCommand& command) {
    std::promise<Cluster::Answer> promise;
    cluster.host(leader).ProposeSession(command, [&](Status s, Index index, std::string result) {
      promise.set_value({std::move(s), index, std::move(result)});
    });
    return promise.get_future().get();
  };
  Cluster::Answer opened = propose({});
  ASSERT_TRUE(opened.status.ok()) << opened.status.ToString();
  SessionCommand command{SessionId(opened.index.value()), 1, 0, "once"};
  EXPECT_EQ(propose(command).result, "1");
  EXPECT_EQ(propose(command).result, "1");
  EXPECT_EQ(cluster.machine(leader).commands().size(), 1u);
}

TEST(Host, ASecondProcessOfTheSameNodeIsRefused) {
  Cluster cluster(1);
  cluster.StartAll();
  ListMachine machine;
  Host twin(cluster.OptionsFor(NodeId(1)), cluster.network.TransportOf(NodeId(9)), machine, {});
  EXPECT_EQ(twin.Start().sqlstate(), kErrInUse);
}

// The first failing sync ends it: told once, nobody is answered "committed", nothing is written
// again. Another start finds all that was acknowledged.
TEST(Host, ADiskErrorIsFatalAndLosesNothing) {
  MemoryFileSystem disk;
  Cluster cluster(1);
  HostOptions options = cluster.OptionsFor(NodeId(1));
  options.directory = "raft";
  options.fs = &disk;
  cluster.Start(options);
  NodeId leader = cluster.WaitForLeader();
  cluster.ProposeUntilCommitted(leader, "kept");
  disk.FailAt(disk.operations() + 6, MemoryFault::kIoError);
  int committed = 1;
  Status status;
  while ((status = cluster.Propose(leader, "x").status).ok()) {
    ++committed;
  }
  EXPECT_EQ(status.sqlstate(), kErrOutcomeUnknown) << status.ToString();
  {
    std::unique_lock lock(cluster.seen(leader).mutex);
    ASSERT_TRUE(cluster.seen(leader).changed.wait_for(
        lock, kPatience, [&] { return cluster.seen(leader).fatal.has_value(); }));
    EXPECT_EQ(cluster.seen(leader).fatal->sqlstate(), kErrIo);
  }
  EXPECT_EQ(cluster.Propose(leader, "y").status.sqlstate(), kErrIo);
  EXPECT_EQ(cluster.host(leader).GetStatus().fatal.sqlstate(), kErrIo);
  cluster.Stop(leader);
  Random random(1);
  disk.PowerCycle(random, MemoryLoss::kAll);
  cluster.Start(options);
  leader = cluster.WaitForLeader();
  cluster.ProposeUntilCommitted(leader, "after");
  EXPECT_EQ(cluster.machine(leader).commands().size(), static_cast<std::size_t>(committed) + 1);
}

TEST(Host, AnswersEverythingWhenItStops) {
  Cluster cluster(3);
  cluster.StartAll();
  NodeId leader = cluster.WaitForLeader();
  cluster.network.Isolate(leader, true);
  std::promise<Status> waiting;
  cluster.host(leader).Propose(
      "x", [&](Status s, Index, std::string) { waiting.set_value(std::move(s)); });
  ASSERT_TRUE(
      cluster.WaitFor(leader, [](const HostStatus& s) { return s.waiting_proposals == 1; }));
  cluster.Stop(leader);
  EXPECT_EQ(waiting.get_future().get().sqlstate(), kErrOutcomeUnknown);
}

TEST(Host, BeforeStartAndAfterStopItSaysSo) {
  Cluster cluster(1);
  ListMachine machine;
  Host host(cluster.OptionsFor(NodeId(1)), cluster.network.TransportOf(NodeId(1)), machine, {});
  Status answer;
  auto note = [&](Status s, Index, std::string) { answer = std::move(s); };
  host.Propose("x", note);
  EXPECT_EQ(answer.sqlstate(), kErrStopped);
  ASSERT_TRUE(host.Start().ok());
  host.Stop();
  answer = Status::Ok();
  host.Propose("x", note);
  EXPECT_EQ(answer.sqlstate(), kErrStopped);
}

}  // namespace
}  // namespace pgquorum::raft
