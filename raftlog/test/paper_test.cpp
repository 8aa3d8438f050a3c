// One test for each claim of the Raft paper (extended version) and the thesis that the core uses,
// in the order of their sections.
#include <gtest/gtest.h>

#include "raftlog/codec.h"
#include "raftlog/describe.h"
#include "raftlog/test/testkit.h"

namespace pgquorum::raft::test {
namespace {

Message From(uint64_t from, uint64_t to, MessageKind kind, uint64_t term) {
  Message m;
  m.kind = kind;
  m.from = NodeId(from);
  m.to = NodeId(to);
  m.term = Term(term);
  return m;
}

std::vector<std::string> Sent(Cluster& cluster) {
  std::vector<std::string> texts;
  for (const Message& m : cluster.wire()) {
    texts.push_back(Describe(m));
  }
  cluster.wire().clear();
  return texts;
}

void NoPreVote(Options& options) {
  options.pre_vote = false;
}

// Ticks until the node's election timer has fired once.
void LetTimeOut(Cluster& cluster, uint64_t id) {
  Term term = cluster[id].term();
  for (int i = 0; i < 25 && cluster[id].term() == term; ++i) {
    cluster.Tick(id);
  }
}

// 5.1: "If one server's current term is smaller than the other's, then it updates its current term
// to the larger value. If a candidate or leader discovers that its term is out of date, it
// immediately reverts to follower state."
TEST(Paper, S51_HigherTermMakesAFollower) {
  for (Role role : {Role::kFollower, Role::kCandidate, Role::kLeader}) {
    Cluster cluster(3, 0, NoPreVote);
    if (role == Role::kCandidate) {
      LetTimeOut(cluster, 1);
    } else if (role == Role::kLeader) {
      cluster.Elect(1);
    }
    ASSERT_EQ(cluster[1].role(), role);
    cluster[1].Step(From(2, 1, MessageKind::kAppend, 9));
    EXPECT_EQ(cluster[1].role(), Role::kFollower);
    EXPECT_EQ(cluster[1].term(), Term(9));
    EXPECT_EQ(cluster[1].leader(), NodeId(2));
  }
}

// 5.1: "If a server receives a request with a stale term number, it rejects the request."
TEST(Paper, S51_StaleTermIsRefused) {
  Cluster cluster(3, 0, NoPreVote);
  cluster.Elect(1);
  Index last = cluster[1].log().last();
  Message append = From(2, 1, MessageKind::kAppend, 1);
  append.log_index = last;
  append.entries = {{Term(1), last + 1, EntryType::kCommand, "stale"}};
  cluster[1].Step(append);
  cluster.Pump(1);
  EXPECT_EQ(cluster[1].log().last(), last);
  EXPECT_EQ(cluster[1].role(), Role::kLeader);
}

// 5.2: "When servers start up, they begin as followers."
TEST(Paper, S52_StartsAsFollower) {
  Cluster cluster(3);
  for (uint64_t id : {1, 2, 3}) {
    EXPECT_EQ(cluster[id].role(), Role::kFollower);
  }
}

// 5.2: "Leaders send periodic heartbeats to all followers in order to maintain their authority."
TEST(Paper, S52_LeaderSendsHeartbeats) {
  Cluster cluster(3);
  cluster.Elect(1);
  cluster.wire().clear();
  cluster.Tick(1, cluster.Node(1).options.heartbeat_ticks);
  std::size_t heartbeats = 0;
  for (const Message& m : cluster.wire()) {
    heartbeats += m.kind == MessageKind::kHeartbeat ? 1U : 0U;
  }
  EXPECT_EQ(heartbeats, 2U);
}

// 5.2: "To begin an election, a follower increments its current term and transitions to candidate
// state. It then votes for itself and issues RequestVote RPCs in parallel to each of the other
// servers."
TEST(Paper, S52_TimeoutStartsAnElection) {
  Cluster cluster(3, 0, NoPreVote);
  LetTimeOut(cluster, 1);
  EXPECT_EQ(cluster[1].role(), Role::kCandidate);
  EXPECT_EQ(cluster[1].term(), Term(2));
  EXPECT_EQ(cluster[1].vote(), NodeId(1));
  EXPECT_EQ(Sent(cluster),
            (std::vector<std::string>{"vote 1->2 term=2 log=1/1", "vote 1->3 term=2 log=1/1"}));
}

// 5.2: "A candidate wins an election if it receives votes from a majority of the servers in the
// full cluster for the same term."
TEST(Paper, S52_MajorityWins) {
  struct Case {
    uint64_t servers;
    uint64_t granted;  // besides its own
    uint64_t refused;
    Role expected;
  };
  const Case cases[] = {{1, 0, 0, Role::kLeader},    {3, 1, 0, Role::kLeader},
                        {3, 0, 1, Role::kCandidate}, {3, 0, 2, Role::kFollower},
                        {5, 2, 0, Role::kLeader},    {5, 1, 2, Role::kCandidate},
                        {5, 1, 3, Role::kFollower},  {4, 1, 0, Role::kCandidate}};
  for (const Case& c : cases) {
    Cluster cluster(c.servers, 0, NoPreVote);
    LetTimeOut(cluster, 1);
    uint64_t voter = 2;
    for (uint64_t i = 0; i < c.granted + c.refused; ++i) {
      Message reply = From(voter++, 1, MessageKind::kVoteReply, 2);
      reply.reject = i >= c.granted;
      cluster[1].Step(reply);
    }
    EXPECT_EQ(cluster[1].role(), c.expected)
        << c.servers << " servers, " << c.granted << " + " << c.refused;
  }
}

// 5.2: "Each server will vote for at most one candidate in a given term, on a
// first-come-first-served basis", and 5 (figure 2): the vote is on stable storage before it is
// spoken.
TEST(Paper, S52_OneVoteATermSurvivesACrash) {
  Cluster cluster(3);
  cluster.Node(1).hold_disk = true;
  auto ask = [&](uint64_t candidate) {
    Message vote = From(candidate, 1, MessageKind::kVote, 2);
    vote.log_index = Index(1);
    vote.log_term = Term(1);
    cluster[1].Step(vote);
    cluster.Pump(1);
  };
  ask(2);
  EXPECT_TRUE(Sent(cluster).empty());  // not before it is durable
  cluster.Sync(1);
  EXPECT_EQ(Sent(cluster), std::vector<std::string>{"vote-reply 1->2 term=2"});
  cluster.Restart(1);
  ask(3);
  cluster.Sync(1);
  EXPECT_EQ(Sent(cluster), std::vector<std::string>{"vote-reply 1->3 term=2 reject"});
  ask(2);  // the same again is answered the same
  cluster.Sync(1);
  EXPECT_EQ(Sent(cluster), std::vector<std::string>{"vote-reply 1->2 term=2"});
}

// 5.2: "If the leader's term is at least as large as the candidate's current term, then the
// candidate recognizes the leader as legitimate and returns to follower state."
TEST(Paper, S52_CandidateYieldsToALeader) {
  Cluster cluster(3, 0, NoPreVote);
  LetTimeOut(cluster, 1);
  Message append = From(2, 1, MessageKind::kAppend, 2);
  append.log_index = Index(1);
  append.log_term = Term(1);
  cluster[1].Step(append);
  EXPECT_EQ(cluster[1].role(), Role::kFollower);
  EXPECT_EQ(cluster[1].leader(), NodeId(2));
}

// 5.2: "election timeouts are chosen randomly from a fixed interval (e.g., 150-300ms)".
TEST(Paper, S52_TimeoutsAreRandomizedInTheInterval) {
  std::map<int, int> seen;
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    Cluster cluster(3, 0, [seed](Options& options) {
      options.pre_vote = false;
      options.seed = seed;
    });
    int ticks = 0;
    while (cluster[1].role() == Role::kFollower) {
      cluster.Tick(1);
      ++ticks;
    }
    ++seen[ticks];
  }
  EXPECT_EQ(seen.begin()->first, 10);
  EXPECT_EQ(seen.rbegin()->first, 19);
  EXPECT_EQ(seen.size(), 10U);
}

// 5.2 and thesis 3.4: a candidate that does not win starts again in a higher term.
TEST(Paper, S52_SplitVoteIsTriedAgain) {
  Cluster cluster(3, 0, NoPreVote);
  LetTimeOut(cluster, 1);
  cluster.wire().clear();
  LetTimeOut(cluster, 1);
  EXPECT_EQ(cluster[1].role(), Role::kCandidate);
  EXPECT_EQ(cluster[1].term(), Term(3));
}

// 5.3: "The leader appends the command to its log as a new entry, then issues AppendEntries RPCs in
// parallel to each of the other servers to replicate the entry."
TEST(Paper, S53_LeaderReplicatesInParallelWithItsOwnDisk) {
  Cluster cluster(3);
  cluster.Elect(1);
  cluster.wire().clear();
  cluster.Node(1).hold_disk = true;
  ASSERT_TRUE(cluster[1].Propose(EntryType::kCommand, "x").ok());
  cluster.Pump(1);
  EXPECT_EQ(Sent(cluster),
            (std::vector<std::string>{"append 1->2 term=2 prev=2/2 commit=2 entries=[3/2]",
                                      "append 1->3 term=2 prev=2/2 commit=2 entries=[3/2]"}));
  EXPECT_EQ(cluster.Node(1).disk.pending(), 1U);
}

// 5.3: "A log entry is committed once the leader that created the entry has replicated it on a
// majority of the servers"; the leader's own copy counts when it is durable.
TEST(Paper, S53_MajorityCommits) {
  Cluster cluster(3);
  cluster.Elect(1);
  cluster.Node(1).hold_disk = true;
  cluster.CutLink(1, 3);
  ASSERT_TRUE(cluster[1].Propose(EntryType::kCommand, "x").ok());
  cluster.Pump(1);
  cluster.Deliver();
  EXPECT_EQ(cluster[1].log().commit(), Index(2));  // one follower has it; its own disk does not
  cluster.Sync(1);
  EXPECT_EQ(cluster[1].log().commit(), Index(3));
}

// Section 10.2.1 of the thesis: the leader may commit before its own disk when a majority of others
// has the entry.
TEST(Paper, T1021_FollowersAloneCanCommit) {
  Cluster cluster(3);
  cluster.Elect(1);
  cluster.Node(1).hold_disk = true;
  ASSERT_TRUE(cluster[1].Propose(EntryType::kCommand, "x").ok());
  cluster.Pump(1);
  cluster.Deliver();
  EXPECT_EQ(cluster[1].log().commit(), Index(3));
}

// Figure 2: a follower answers an append when it is on stable storage.
TEST(Paper, F2_FollowerAnswersWhenDurable) {
  Cluster cluster(3);
  cluster.Elect(1);
  cluster.Node(2).hold_disk = true;
  cluster.CutLink(1, 3);
  ASSERT_TRUE(cluster[1].Propose(EntryType::kCommand, "x").ok());
  cluster.Pump(1);
  cluster.Deliver();
  EXPECT_EQ(cluster[1].log().commit(), Index(2));
  cluster.Sync(2);
  cluster.Deliver();
  EXPECT_EQ(cluster[1].log().commit(), Index(3));
}

// 5.3: "Once a follower learns that a log entry is committed, it applies the entry to its local
// state machine (in log order)."
TEST(Paper, S53_FollowersApplyInOrder) {
  Cluster cluster(3);
  cluster.Elect(1);
  for (const char* data : {"a", "b", "c"}) {
    cluster.Commit(1, data);
  }
  for (uint64_t id : {1, 2, 3}) {
    std::string commands;
    Index before;
    for (const Entry& entry : cluster.Node(id).applied) {
      EXPECT_EQ(entry.index, before + 1);
      before = entry.index;
      commands += entry.type == EntryType::kCommand ? entry.data : "";
    }
    EXPECT_EQ(commands, "abc") << id;
  }
}

// 5.3: "If the follower does not find an entry in its log with the same index and term, then it
// refuses the new entries."
TEST(Paper, S53_ConsistencyCheck) {
  Cluster cluster(3);
  Message append = From(2, 1, MessageKind::kAppend, 5);
  append.log_index = Index(3);
  append.log_term = Term(4);
  append.entries = {{Term(5), Index(4), EntryType::kCommand, "x"}};
  cluster[1].Step(append);
  cluster.Pump(1);
  EXPECT_EQ(cluster[1].log().last(), Index(1));
  EXPECT_EQ(Sent(cluster),
            std::vector<std::string>{"append-reply 1->2 term=5 log=3/0 reject hint=1/1"});
}

Entry At(uint64_t index, uint64_t term) {
  return {Term(term), Index(index), EntryType::kCommand,
          std::to_string(index) + "/" + std::to_string(term)};
}

// Fills node `id`'s log (above the founding entry) through a leader that it believes in.
void Fill(Cluster& cluster, uint64_t id, const std::vector<Entry>& entries) {
  for (const Entry& entry : entries) {
    uint64_t peer = id == 1 ? 2 : 1;
    Message append = From(peer, id, MessageKind::kAppend, entry.term.value());
    append.log_index = entry.index - 1;
    append.log_term = cluster[id].log().TermAt(entry.index - 1);
    append.entries = {entry};
    cluster[id].Step(append);
    cluster.Pump(id);
  }
  cluster.wire().clear();
}

// 5.3, figure 7: "the leader handles inconsistencies by forcing the followers' logs to duplicate
// its own": missing entries, extra ones, and both.
TEST(Paper, S53_F7_LeaderMakesLogsEqual) {
  const std::vector<uint64_t> leader_terms = {1, 1, 1, 4, 4, 5, 5, 6, 6, 6};
  const std::vector<std::vector<uint64_t>> followers = {{1, 1, 1, 4, 4, 5, 5, 6, 6},
                                                        {1, 1, 1, 4},
                                                        {1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6},
                                                        {1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7},
                                                        {1, 1, 1, 4, 4, 4, 4},
                                                        {1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3}};
  auto entries = [](const std::vector<uint64_t>& terms) {
    std::vector<Entry> result;
    for (std::size_t i = 1; i < terms.size(); ++i) {
      result.push_back(At(i + 1, terms[i]));
    }
    return result;
  };
  for (const auto& follower : followers) {
    Cluster cluster(3, 0, [](Options& options) {
      options.pre_vote = false;
      options.check_quorum = false;
    });
    Fill(cluster, 1, entries(leader_terms));
    Fill(cluster, 2, entries(follower));
    Fill(cluster, 3, entries(leader_terms));
    cluster.CutLink(2, 1);  // node 2 may be the more up-to-date one and would refuse its vote
    for (int i = 0; i < 10 && cluster[1].term() < Term(7); ++i) {
      LetTimeOut(cluster, 1);
      cluster.wire().clear();
    }
    cluster.Heal();
    cluster.Elect(1);
    cluster.Commit(1, "end");
    cluster.TickAll(4);
    ASSERT_EQ(cluster[2].log().last(), cluster[1].log().last());
    for (Index i(1); i <= cluster[1].log().last(); ++i) {
      EXPECT_EQ(cluster[2].log().TermAt(i), cluster[1].log().TermAt(i));
    }
    EXPECT_EQ(cluster[2].log().commit(), cluster[1].log().commit());
  }
}

// 5.3: "the protocol can be optimized to reduce the number of rejected AppendEntries RPCs ... one
// RPC for each conflicting term".
TEST(Paper, S53_BackOffSkipsWholeTerms) {
  Cluster cluster(3);
  std::vector<Entry> leader;
  std::vector<Entry> follower;
  for (uint64_t i = 2; i <= 1000; ++i) {
    leader.push_back(At(i, 5));
    follower.push_back(At(i, i < 500 ? 2 : 3));
  }
  Fill(cluster, 1, leader);
  Fill(cluster, 2, follower);
  Fill(cluster, 3, leader);
  cluster.Elect(1);
  EXPECT_EQ(cluster[2].log().last(), cluster[1].log().last());
  EXPECT_LE(cluster[2].metrics().appends_rejected, 4U);
}

// Figure 2, step 3: only a real conflict deletes entries; an old append that is a prefix does not.
TEST(Paper, F2_OldAppendDoesNotTruncate) {
  Cluster cluster(3);
  Fill(cluster, 2, {At(2, 2), At(3, 2), At(4, 2)});
  Message old = From(1, 2, MessageKind::kAppend, 2);
  old.log_index = Index(1);
  old.log_term = Term(1);
  old.entries = {At(2, 2)};
  cluster[2].Step(old);
  cluster.Pump(2);
  EXPECT_EQ(cluster[2].log().last(), Index(4));
}

// Figure 2, step 5: commitIndex = min(leaderCommit, index of last new entry).
TEST(Paper, F2_CommitIsBoundedByWhatWasVerified) {
  Cluster cluster(3);
  Fill(cluster, 2, {At(2, 2), At(3, 2), At(4, 2)});
  Message append = From(1, 2, MessageKind::kAppend, 3);
  append.log_index = Index(2);
  append.log_term = Term(2);
  append.commit = Index(4);
  cluster[2].Step(append);
  cluster.Pump(2);
  EXPECT_EQ(cluster[2].log().commit(), Index(2));
}

// 5.4.1: "the voter denies its vote if its own log is more up-to-date than that of the candidate":
// later term first, then length.
TEST(Paper, S541_UpToDateCheck) {
  struct Case {
    uint64_t index;
    uint64_t term;
    bool granted;
  };
  // The voter's log ends with 3/4.
  const Case cases[] = {{3, 4, true},  {4, 4, true},  {2, 5, true},
                        {2, 4, false}, {9, 3, false}, {3, 3, false}};
  for (const Case& c : cases) {
    for (MessageKind kind : {MessageKind::kVote, MessageKind::kPreVote}) {
      Cluster cluster(3, 0, [](Options& options) { options.check_quorum = false; });
      Fill(cluster, 1, {At(2, 3), At(3, 4)});
      Message vote = From(3, 1, kind, 9);
      vote.log_index = Index(c.index);
      vote.log_term = Term(c.term);
      cluster[1].Step(vote);
      cluster.Pump(1);
      ASSERT_EQ(cluster.wire().size(), 1U);
      EXPECT_EQ(cluster.wire()[0].reject, !c.granted) << c.index << "/" << c.term;
    }
  }
}

// 5.4.2, figure 8: "Raft never commits log entries from previous terms by counting replicas."
TEST(Paper, S542_F8_OldTermDoesNotCommitByCounting) {
  Cluster cluster(3, 0, [](Options& options) {
    options.pre_vote = false;
    options.check_quorum = false;
  });
  Fill(cluster, 1, {At(2, 2)});
  Fill(cluster, 2, {At(2, 2)});
  cluster.Isolate(3);
  LetTimeOut(cluster, 1);
  for (int i = 0; i < 10 && cluster[1].role() != Role::kLeader; ++i) {
    cluster.DeliverOne();
  }
  ASSERT_EQ(cluster[1].role(), Role::kLeader);
  // A majority has 2/2 and says so, before the entry of the new term has reached anyone.
  cluster.wire().clear();
  Message reply = From(2, 1, MessageKind::kAppendReply, cluster[1].term().value());
  reply.log_index = Index(2);
  cluster[1].Step(reply);
  EXPECT_EQ(cluster[1].log().commit(), Index(1));
  reply.log_index = Index(3);
  cluster[1].Step(reply);
  EXPECT_EQ(cluster[1].log().commit(), Index(3));
}

// 6: "each server stores the configuration in its log ... a server always uses the latest
// configuration in its log, regardless of whether the entry is committed"; and it is rolled back.
TEST(Paper, S6_LatestConfigurationInTheLog) {
  Cluster cluster(3);
  Entry change{Term(2), Index(2), EntryType::kConfig,
               EncodeConfigEntry({Voters({1, 2, 3, 4}), ""})};
  Fill(cluster, 2, {change});
  EXPECT_EQ(cluster[2].configuration(), Voters({1, 2, 3, 4}));
  EXPECT_EQ(cluster[2].log().commit(), Index(1));
  Fill(cluster, 2, {At(2, 3)});
  EXPECT_EQ(cluster[2].configuration(), Voters({1, 2, 3}));
}

// 6: "agreement ... requires separate majorities from both the old and new configurations."
TEST(Paper, S6_JointNeedsBothMajorities) {
  Cluster cluster(3, 3);
  cluster.Elect(1);
  for (uint64_t id : {4, 5, 6}) {
    cluster.CutLink(id, 1);  // the new ones do not answer
  }
  std::vector<ConfigChange> changes = {{ChangeKind::kAddVoter, NodeId(4)},
                                       {ChangeKind::kAddVoter, NodeId(5)},
                                       {ChangeKind::kAddVoter, NodeId(6)},
                                       {ChangeKind::kRemove, NodeId(2)},
                                       {ChangeKind::kRemove, NodeId(3)}};
  ASSERT_TRUE(cluster[1].ProposeConfig(changes, "").ok());
  cluster.Pump(1);
  cluster.Deliver();
  EXPECT_TRUE(cluster[1].configuration().joint());
  EXPECT_EQ(cluster[1].log().commit(), Index(2));  // all of the old ones have it
  cluster.Heal();
  cluster.TickAll(6);
  EXPECT_EQ(cluster[1].configuration(), Voters({1, 4, 5, 6}));
  EXPECT_EQ(cluster[5].configuration(), Voters({1, 4, 5, 6}));
  EXPECT_EQ(cluster[1].log().commit(), Index(4));
}

// 6: "the leader steps down once it has committed the Cnew log entry", and manages the cluster
// until then without counting itself.
TEST(Paper, S6_RemovedLeaderStepsDownAfterCommit) {
  Cluster cluster(3);
  cluster.Elect(1);
  cluster.CutLink(3, 1);
  ASSERT_TRUE(cluster[1].ProposeConfig({{ChangeKind::kRemove, NodeId(1)}}, "").ok());
  cluster.Pump(1);
  cluster.Deliver();
  EXPECT_EQ(cluster[1].role(), Role::kLeader);  // it and node 2 have it: not a majority of {2, 3}
  EXPECT_EQ(cluster[1].log().commit(), Index(2));
  cluster.Heal();
  cluster.TickAll(4);
  EXPECT_NE(cluster[1].role(), Role::kLeader);
  EXPECT_GE(cluster[1].log().commit(), Index(3));
  EXPECT_TRUE(cluster[2].role() == Role::kLeader || cluster[3].role() == Role::kLeader);
}

// Thesis 4.2.2: "a server that is not part of its own latest configuration should still start new
// elections, as it might still be needed until the Cnew entry is committed."
TEST(Paper, T422_RemovedServerStillCampaigns) {
  Cluster cluster(2);
  cluster.Elect(1);
  cluster.Isolate(2);
  ASSERT_TRUE(cluster[1].ProposeConfig({{ChangeKind::kRemove, NodeId(1)}}, "").ok());
  cluster.Pump(1);
  cluster.TickAll(40);
  ASSERT_NE(cluster[1].role(), Role::kLeader);  // stepped down by check-quorum
  cluster.Heal();
  // Only node 1 has the entry that removes it, so only node 1 can win.
  cluster.TickAll(60);
  EXPECT_EQ(cluster[2].configuration(), Voters({2}));
  EXPECT_EQ(cluster[2].role(), Role::kLeader);
}

// 6: "servers disregard RequestVote RPCs when they believe a current leader exists."
TEST(Paper, S6_VoterWithALeaderIgnoresCandidates) {
  Cluster cluster(3);
  cluster.Elect(1);
  Message vote = From(3, 2, MessageKind::kVote, 9);
  vote.log_index = Index(99);
  vote.log_term = Term(8);
  cluster[2].Step(vote);
  cluster.Pump(2);
  EXPECT_EQ(cluster[2].term(), Term(2));
  EXPECT_TRUE(Sent(cluster).empty());
  cluster.Tick(2, 10);  // a minimum election timeout without a word from the leader
  cluster.wire().clear();
  cluster[2].Step(vote);
  cluster.Pump(2);
  EXPECT_EQ(cluster[2].term(), Term(9));
  EXPECT_EQ(cluster[2].vote(), NodeId(3));
}

// 7: "the leader must occasionally send snapshots to followers that lag behind"; "the follower
// discards its entire log; it is all superseded by the snapshot".
TEST(Paper, S7_LaggingFollowerGetsASnapshot) {
  Cluster cluster(3);
  cluster.Elect(1);
  cluster.Isolate(3);
  for (int i = 0; i < 20; ++i) {
    cluster.Commit(1, "x");
  }
  cluster.Snapshot(1);
  cluster.Commit(1, "after");
  cluster.Heal();
  cluster.TickAll(20);
  EXPECT_EQ(cluster.Node(3).restores, 1U);
  EXPECT_EQ(cluster[3].log().commit(), cluster[1].log().commit());
  EXPECT_EQ(cluster.Node(3).applied.back().data, "after");
  EXPECT_EQ(cluster[3].log().first(), Index(23));
}

// 7: "If instead the follower receives a snapshot that describes a prefix of its log ... entries
// following the snapshot are still valid and must be retained."
TEST(Paper, S7_SnapshotOfAPrefixKeepsTheRest) {
  Cluster cluster(3);
  Fill(cluster, 2, {At(2, 2), At(3, 2), At(4, 2)});
  Message chunk = From(1, 2, MessageKind::kSnapshotChunk, 2);
  chunk.snapshot = {Index(3), Term(2), Voters({1, 2, 3}), 5, 0};
  chunk.chunk = "12345";
  cluster[2].Step(chunk);
  cluster.Pump(2);
  EXPECT_EQ(cluster[2].log().last(), Index(4));
  EXPECT_EQ(cluster[2].log().commit(), Index(3));
  EXPECT_EQ(cluster.Node(2).restores, 0U);
}

// 8: "each leader commit[s] a blank no-op entry into the log at the start of its term."
TEST(Paper, S8_NewLeaderCommitsANoOp) {
  Cluster cluster(3);
  cluster.Elect(1);
  EXPECT_EQ(cluster.Node(2).applied.back().type, EntryType::kNoOp);
  EXPECT_EQ(cluster.Node(2).applied.back().term, cluster[1].term());
}

// 8: a leader "must check whether it has been deposed before processing a read-only request" by
// exchanging heartbeats with a majority (thesis 6.4).
TEST(Paper, S8_ReadsWaitForARoundOfHeartbeats) {
  Cluster cluster(3);
  cluster.Elect(1);
  TestNode& leader = cluster.Node(1);
  cluster[1].ReadIndex(7, ReadMode::kQuorum, leader.now_ns);
  cluster.Pump(1);
  EXPECT_TRUE(leader.reads.empty());
  cluster.Deliver();
  ASSERT_EQ(leader.reads.size(), 1U);
  EXPECT_TRUE(leader.reads[0].status.ok());
  EXPECT_EQ(leader.reads[0].index, cluster[1].log().commit());
  // Deposed: never confirmed.
  cluster.Isolate(1);
  cluster[1].ReadIndex(8, ReadMode::kQuorum, leader.now_ns);
  cluster.Tick(1, 25);
  ASSERT_EQ(leader.reads.size(), 2U);
  EXPECT_FALSE(leader.reads[1].status.ok());
}

// 8 / thesis 6.4: not before an entry of the leader's own term is committed.
TEST(Paper, S8_ReadsWaitForTheNoOp) {
  Cluster cluster(3, 0, NoPreVote);
  LetTimeOut(cluster, 1);
  for (int i = 0; i < 10 && cluster[1].role() != Role::kLeader; ++i) {
    cluster.DeliverOne();
  }
  ASSERT_EQ(cluster[1].role(), Role::kLeader);
  cluster.Drop([](const Message& m) { return m.kind == MessageKind::kAppend; });
  cluster[1].ReadIndex(1, ReadMode::kQuorum, cluster.Node(1).now_ns);
  cluster.Pump(1);
  while (cluster.DeliverOne()) {
    cluster.Drop([](const Message& m) { return m.kind == MessageKind::kAppend; });
  }
  EXPECT_TRUE(cluster.Node(1).reads.empty());  // its leadership is confirmed, its commit index not
  cluster.TickAll(6);
  ASSERT_EQ(cluster.Node(1).reads.size(), 1U);
  EXPECT_GE(cluster.Node(1).reads[0].index, Index(2));
}

// Thesis 3.10: the leader brings the target up to date, then has it campaign at once; the target is
// not held up by the voters' promise to the leader.
TEST(Paper, T310_LeadershipTransfer) {
  Cluster cluster(3);
  cluster.Elect(1);
  ASSERT_TRUE(cluster[1].TransferLeadership(NodeId(3)).ok());
  EXPECT_EQ(cluster[1].Propose(EntryType::kCommand, "x").status().sqlstate(), "RX003");
  cluster.Pump(1);
  cluster.Deliver();
  EXPECT_EQ(cluster[3].role(), Role::kLeader);
  EXPECT_EQ(cluster[1].role(), Role::kFollower);
  EXPECT_EQ(cluster[3].metrics().pre_votes_started, 0U);
}

// Thesis 3.10: "if ... leadership transfer does not complete after about an election timeout, the
// leader ... aborts the transfer and resumes accepting client requests."
TEST(Paper, T310_TransferIsAborted) {
  Cluster cluster(3);
  cluster.Elect(1);
  cluster.Isolate(3);
  ASSERT_TRUE(cluster[1].TransferLeadership(NodeId(3)).ok());
  EXPECT_FALSE(cluster[1].Propose(EntryType::kCommand, "x").ok());
  cluster.TickAll(11);
  EXPECT_EQ(cluster[1].role(), Role::kLeader);
  EXPECT_TRUE(cluster[1].Propose(EntryType::kCommand, "x").ok());
}

// Thesis 6.2: "a leader ... steps down if an election timeout elapses without a successful round of
// heartbeats to a majority of its cluster."
TEST(Paper, T62_LeaderWithoutMajorityStepsDown) {
  Cluster cluster(3);
  cluster.Elect(1);
  cluster.Isolate(1);
  cluster.Tick(1, 21);
  EXPECT_NE(cluster[1].role(), Role::kLeader);
  EXPECT_EQ(cluster[1].metrics().stepped_down_quorum, 1U);
}

// Thesis 9.6: "a candidate only increments its term if it first learns from a majority of the
// cluster that they would be willing to grant the candidate their votes."
TEST(Paper, T96_PreVoteDoesNotRaiseTheTerm) {
  Cluster cluster(3);
  cluster.Elect(1);
  Term term = cluster[1].term();
  cluster.Isolate(3);
  cluster.TickAll(100);
  EXPECT_EQ(cluster[3].term(), term);
  EXPECT_GT(cluster[3].metrics().pre_votes_started, 2U);
  cluster.Heal();
  cluster.TickAll(30);
  EXPECT_EQ(cluster[1].role(), Role::kLeader);  // its return disturbs nobody
  EXPECT_EQ(cluster[1].term(), term);
  EXPECT_EQ(cluster[3].leader(), NodeId(1));
}

}  // namespace
}  // namespace pgquorum::raft::test
