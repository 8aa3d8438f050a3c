// A data directory that was put back from a copy.
#include "bgworkers/failover/test/agent_bench.h"

namespace pgquorum::failover {
namespace {

using Bench = AgentBench;

TEST(Agent, RestoredVoterIsOnlyGoodForANewCopy) {
  Bench b;
  b.facts.restored = true;
  b.PrimaryReports();
  EXPECT_EQ(b.Step(), AgentState::kRepairing);
  EXPECT_FALSE(b.Wants<AcceptDataDirectory>());
  b.log.RevokeIt();
  EXPECT_EQ(b.Step(), AgentState::kRepairing);  // does not count as a recruit
}

// There may be no other one: whoever accepts the loss accepts what this directory lacks.
TEST(Agent, RestoredVoterTakesPartWhereLossIsAccepted) {
  Bench b;
  b.facts.restored = true;
  b.log.Apply(ForceQuorum{b.log.epoch(), 77, {kB}, "admin", 0});
  b.current = false;
  EXPECT_EQ(b.Step(), AgentState::kRepairing);
  EXPECT_FALSE(b.Wants<AcceptDataDirectory>()) << "the log may have gone on";
  b.current = true;
  EXPECT_EQ(b.Step(), AgentState::kRepairing);
  EXPECT_TRUE(b.Wants<AcceptDataDirectory>());
  b.facts.restored = false;
  b.Step();
  EXPECT_TRUE(b.Wants<WritePledge>());

  Bench torn;
  torn.facts.restored = torn.facts.repair_interrupted = true;
  torn.log.Apply(ForceQuorum{torn.log.epoch(), 77, {kB}, "admin", 0});
  EXPECT_EQ(torn.Step(), AgentState::kRepairing);
  EXPECT_FALSE(torn.Wants<AcceptDataDirectory>()) << "half of two directories is none";
}

// What tells is the end of replay: by then the node may be on its way to a pledge or a resume.
TEST(Agent, DirectoryThatTurnsOutRestoredNeitherPledgesNorResumes) {
  Bench b;
  b.facts.replay_settled = false;
  b.log.RevokeIt();
  EXPECT_EQ(b.Step(), AgentState::kRecruitSettle);
  b.facts.replay_settled = true;
  b.facts.restored = true;
  EXPECT_EQ(b.Step(), AgentState::kRepairing);
  EXPECT_FALSE(b.Wants<WritePledge>());
  EXPECT_FALSE(b.out.report.pledge_position);

  Bench primary(kA);
  primary.facts.replay_settled = false;
  EXPECT_EQ(primary.Step(), AgentState::kResuming);
  primary.facts.replay_settled = true;
  primary.facts.restored = true;
  EXPECT_EQ(primary.Step(), AgentState::kRepairing);
  EXPECT_FALSE(primary.out.report.wants_resume);
}

}  // namespace
}  // namespace pgquorum::failover
