// One test for each claim of the Raft paper (extended version) and the thesis that the core uses,
// in the order of their sections: up to 5.3 (the rest: paper_log_test.cpp).
#include <gtest/gtest.h>

#include "raftlog/codec.h"
#include "raftlog/describe.h"
#include "raftlog/errors.h"
#include "raftlog/test/paper_fixture.h"

namespace pgquorum::raft::test {
namespace {

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
std::map<int, int> SeenTimeouts(uint32_t longest_ticks) {
  std::map<int, int> seen;
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    Cluster cluster(3, 0, [=](Options& options) {
      options.pre_vote = false;
      options.seed = seed;
      options.election_ticks_max = longest_ticks;
    });
    int ticks = 0;
    while (cluster[1].role() == Role::kFollower) {
      cluster.Tick(1);
      ++ticks;
    }
    ++seen[ticks];
  }
  return seen;
}

TEST(Paper, S52_TimeoutsAreRandomizedInTheInterval) {
  std::map<int, int> seen = SeenTimeouts(0);  // not given: twice the shortest
  EXPECT_EQ(seen.begin()->first, 10);
  EXPECT_EQ(seen.rbegin()->first, 19);
  EXPECT_EQ(seen.size(), 10U);
  seen = SeenTimeouts(14);
  EXPECT_EQ(seen.begin()->first, 10);
  EXPECT_EQ(seen.rbegin()->first, 13);
  EXPECT_EQ(seen.size(), 4U);
  seen = SeenTimeouts(40);
  EXPECT_EQ(seen.begin()->first, 10);
  EXPECT_EQ(seen.rbegin()->first, 39);
  EXPECT_EQ(seen.size(), 30U);
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

}  // namespace
}  // namespace pgquorum::raft::test
