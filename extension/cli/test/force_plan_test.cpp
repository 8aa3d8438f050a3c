#include "extension/cli/force_plan.h"

#include <gtest/gtest.h>

namespace pgquorum::cli {
namespace {

identity::Peer Member(uint64_t id) {
  const std::string host = "10.0.0." + std::to_string(id);
  return {id, "node" + std::to_string(id), {host, 5432}, {host, 7432}};
}

identity::Peers Members(std::vector<uint64_t> ids) {
  identity::Peers members;
  members.cluster_id = 9;
  for (uint64_t id : ids) {
    members.members.push_back(Member(id));
  }
  return members;
}

raft::Configuration VotersOf(std::vector<uint64_t> ids) {
  raft::Configuration configuration;
  for (uint64_t id : ids) {
    configuration.voters.emplace_back(id);
  }
  return configuration;
}

TEST(PlanForce, WhoIsNotNamedIsShutOut) {
  Result<identity::ForceOrder> order =
      PlanForce(3, Members({1, 3, 2}), VotersOf({1, 2, 3}), {"node3"});
  ASSERT_TRUE(order.ok()) << order.status().ToString();
  EXPECT_EQ(order.value().survivors, (std::vector<identity::Peer>{Member(3)}));
  EXPECT_EQ(order.value().lost, (std::vector<identity::Peer>{Member(1), Member(2)}));
  EXPECT_EQ(order.value().node, 3u);
}

TEST(PlanForce, AMemberOfTheLogAloneIsShutOutToo) {
  Result<identity::ForceOrder> order =
      PlanForce(1, Members({1, 2}), VotersOf({1, 2, 7}), {"node1"});
  ASSERT_TRUE(order.ok());
  EXPECT_TRUE(order.value().ShutsOut(7));
  identity::ForceOrder written = order.value();
  written.generation = 1;
  EXPECT_TRUE(identity::ForceOrder::Parse(written.Format()).ok());
}

TEST(PlanForce, RefusesStrangersOthersAndEverybody) {
  auto refusal = [](std::vector<std::string> names) {
    return PlanForce(1, Members({1, 2, 3}), VotersOf({1, 2, 3}), names).status();
  };
  EXPECT_EQ(refusal({"node1", "node9"}).sqlstate(), "42704");
  EXPECT_NE(refusal({"node9"}).detail().find("node1, node2, node3"), std::string::npos);
  EXPECT_EQ(refusal({"node2"}).sqlstate(), "22023");
  EXPECT_EQ(refusal({}).sqlstate(), "22023");
  EXPECT_EQ(refusal({"node1", "node2", "node3"}).sqlstate(), "55000");
}

TEST(RefuseWithMajority, CountsVotersAndThisNode) {
  auto answers = [](const raft::Configuration& present, std::set<uint64_t> reached) {
    return RefuseWithMajority(1, present, Members({1, 2, 3, 4, 5}), reached).sqlstate();
  };
  EXPECT_EQ(answers(VotersOf({1, 2, 3}), {}), "");
  EXPECT_EQ(answers(VotersOf({1, 2, 3}), {2}), "55000");
  EXPECT_EQ(answers(VotersOf({1, 2}), {}), "") << "half is no majority";
  EXPECT_EQ(answers(VotersOf({1, 2, 3, 4, 5}), {2}), "");
  EXPECT_EQ(answers(VotersOf({1, 2, 3, 4, 5}), {2, 5}), "55000");
  EXPECT_EQ(answers(VotersOf({1, 2, 3}), {4, 5}), "") << "they do not vote";
  raft::Configuration joint = VotersOf({1, 2, 3});
  joint.outgoing = VotersOf({1, 4, 5}).voters;
  EXPECT_EQ(answers(joint, {2}), "");
  EXPECT_EQ(answers(joint, {2, 4}), "55000");
}

TEST(RefuseBehind, TheLongestLogIsByTermThenIndex) {
  raft::LogPosition own{raft::Term(4), raft::Index(10)};
  auto refused = [&own](uint64_t term, uint64_t index) {
    return RefuseBehind(own, {{"node2", {raft::Term(term), raft::Index(index)}}}).sqlstate();
  };
  EXPECT_EQ(refused(4, 10), "");
  EXPECT_EQ(refused(4, 11), "55000");
  EXPECT_EQ(refused(5, 1), "55000");
  EXPECT_EQ(refused(3, 99), "");
  EXPECT_EQ(RefuseBehind(own, {}).sqlstate(), "");
}

TEST(RefuseWithoutCopy, TheLastOneNeedsAWholeDirectory) {
  Result<identity::ForceOrder> alone =
      PlanForce(1, Members({1, 2, 3}), VotersOf({1, 2, 3}), {"node1"});
  Result<identity::ForceOrder> with_another =
      PlanForce(1, Members({1, 2, 3, 4}), VotersOf({1, 2, 3, 4}), {"node1", "node2"});
  EXPECT_EQ(RefuseWithoutCopy(alone.value(), false).sqlstate(), "");
  EXPECT_EQ(RefuseWithoutCopy(alone.value(), true).sqlstate(), "55000");
  EXPECT_EQ(RefuseWithoutCopy(with_another.value(), true).sqlstate(), "");
}

}  // namespace
}  // namespace pgquorum::cli
