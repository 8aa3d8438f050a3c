#include "extension/identity/force_order.h"

#include <gtest/gtest.h>

#include <string>

namespace pgquorum::identity {
namespace {

ForceOrder Order() {
  ForceOrder order;
  order.cluster_id = 0xfeedfacecafebeef;
  order.generation = 0x8000000000000001;
  order.node = 3;
  order.survivors = {{3, "node3", {"10.0.0.3", 5432}, {"10.0.0.3", 7432}}};
  order.lost = {{1, "node1", {"10.0.0.1", 5432}, {"10.0.0.1", 7432}},
                {2, "node2", {"::1", 5432}, {"::1", 7432}}};
  order.requested_by = "alice\non the console";
  order.ordered_us = 1'800'000'000'000'000;
  return order;
}

TEST(ForceOrder, ParsesWhatItFormats) {
  Result<ForceOrder> parsed = ForceOrder::Parse(Order().Format());
  ASSERT_TRUE(parsed.ok()) << parsed.status().ToString();
  EXPECT_EQ(parsed.value(), Order());
  EXPECT_TRUE(parsed.value().Survives(3));
  EXPECT_FALSE(parsed.value().Survives(1));
  EXPECT_TRUE(parsed.value().ShutsOut(2));
  EXPECT_FALSE(parsed.value().ShutsOut(4)) << "who joins later was never a member before";
}

TEST(ForceOrder, RefusesDamageAndStrangers) {
  const std::string text = Order().Format();
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::string damaged = text;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x04);
    EXPECT_FALSE(ForceOrder::Parse(damaged).ok()) << i;
    EXPECT_FALSE(ForceOrder::Parse(text.substr(0, i)).ok()) << i;
  }
  EXPECT_FALSE(ForceOrder::Parse(Peers{}.Format()).ok());
  EXPECT_FALSE(ForceOrder::Parse(std::string(kMaxRecordBytes + 1, 'x')).ok());
}

// The checksum is right in all of these: they come from a program, not from a bad disk.
TEST(ForceOrder, RefusesWhatContradictsItself) {
  auto refused = [](auto change) {
    ForceOrder order = Order();
    change(order);
    return ForceOrder::Parse(order.Format()).status().sqlstate() == "XX001";
  };
  EXPECT_TRUE(refused([](ForceOrder& o) { o.generation = 0; }));
  EXPECT_TRUE(refused([](ForceOrder& o) { o.cluster_id = 0; }));
  EXPECT_TRUE(refused([](ForceOrder& o) { o.node = 1; })) << "carried out by a lost node";
  EXPECT_TRUE(refused([](ForceOrder& o) { o.survivors.clear(); }));
  EXPECT_TRUE(refused([](ForceOrder& o) { o.lost.push_back(o.survivors[0]); })) << "in both";
  EXPECT_TRUE(refused([](ForceOrder& o) { o.lost[1] = o.lost[0]; })) << "twice";
  EXPECT_TRUE(refused([](ForceOrder& o) { o.lost.resize(kMaxPeers + 1, o.lost[0]); }));
}

TEST(ForceOrder, TellsTheLostWhatToDoInOneShortLine) {
  ForceOrder order = Order();
  order.requested_by = std::string(1000, 'a');
  for (uint64_t i = 4; i < 60; ++i) {
    order.survivors.push_back({i, std::string(30, 'n'), {"h", 1}, {"h", 2}});
  }
  const std::string why = WhyShutOut(order);
  EXPECT_LT(why.size(), 256u) << "the reason of a closed node in shared memory";
  EXPECT_NE(why.find("join the cluster anew"), std::string::npos);
}

}  // namespace
}  // namespace pgquorum::identity
