#include "extension/hooks/boot/member.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/test/scratch.h"
#include "extension/identity/files.h"
#include "extension/identity/force_order.h"
#include "extension/identity/move_order.h"

namespace pgquorum::boot {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kSystem = 7300000000000000001;

class MemberTest : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(data_ + "/pg_wal");
    fs::create_directories(state_);
    identity_.cluster_name = "prod";
    identity_.cluster_id = 9;
    identity_.node_name = "node1";
    identity_.raft_node_id = 1;
    identity_.system_identifier = kSystem;
    identity_.listen = {"h", 1};
    identity_.raft = {"h", 2};
    SaveBoth();
  }
  void SaveBoth() {
    ASSERT_TRUE(identity::Save(state_ + "/identity", identity_).ok());
    ASSERT_TRUE(identity::Save(data_ + "/pgquorum.member", identity::Marker{9, 1, state_}).ok());
  }
  Membership Find(const std::string& setting = "") {
    return FindMembership(data_, setting, kSystem);
  }
  void ExpectClosed(const Membership& membership, const std::string& text) {
    EXPECT_EQ(membership.kind, Membership::Kind::kClosed);
    EXPECT_NE(membership.reason.find(text), std::string::npos) << membership.reason;
  }

  ScratchDirectory scratch_;
  const std::string root_ = scratch_.path();
  const std::string data_ = root_ + "/data";
  std::string state_ = root_ + "/state";
  identity::NodeIdentity identity_;
};

TEST_F(MemberTest, IsClosedWhileItsStateIsMoved) {
  const identity::MoveOrder order{9, 1, state_, root_ + "/elsewhere"};
  ASSERT_TRUE(identity::Save(state_ + "/moving", order).ok());
  ExpectClosed(Find(), "being moved from \"" + state_ + "\" to \"" + root_ + "/elsewhere\"");
  ASSERT_TRUE(identity::WriteFileDurably(state_ + "/moving", "rubbish").ok());
  EXPECT_EQ(Find().kind, Membership::Kind::kClosed);
  fs::remove(state_ + "/moving");
  EXPECT_EQ(Find().kind, Membership::Kind::kMember);
}

TEST_F(MemberTest, TheMarkerDecides) {
  EXPECT_EQ(Find().kind, Membership::Kind::kMember);
  EXPECT_EQ(Find(state_).kind, Membership::Kind::kMember);
  fs::remove(data_ + "/pgquorum.member");
  EXPECT_EQ(Find().kind, Membership::Kind::kStandalone);
}

TEST_F(MemberTest, IsClosedWhenAnythingIsForeignOrMissing) {
  ExpectClosed(Find("/elsewhere"), "became a member with");
  ExpectClosed(FindMembership(data_, "", kSystem + 1), "system identifier");
  identity_.cluster_id = 10;
  SaveBoth();
  ExpectClosed(Find(), "another cluster");
  identity_.cluster_id = 9;
  identity_.raft_node_id = 2;
  SaveBoth();
  ExpectClosed(Find(), "another node");
  ASSERT_TRUE(identity::WriteFileDurably(state_ + "/identity", "garbage").ok());
  ExpectClosed(Find(), "identity");
  fs::remove_all(state_);
  ExpectClosed(Find(), "No such file");
  ASSERT_TRUE(identity::WriteFileDurably(data_ + "/pgquorum.member", "garbage").ok());
  ExpectClosed(Find(), "member");
}

TEST_F(MemberTest, KnowsThatItWasShutOut) {
  EXPECT_EQ(WhyShutOut(state_), std::nullopt);
  identity::ForceOrder order;
  order.cluster_id = 9;
  order.generation = 5;
  order.node = 2;
  order.survivors = {{2, "node2", {"h", 3}, {"h", 4}}};
  order.lost = {{1, "node1", {"h", 1}, {"h", 2}}};
  ASSERT_TRUE(identity::Save(state_ + "/shut_out", order).ok());
  EXPECT_NE(WhyShutOut(state_).value_or("").find("node2"), std::string::npos);
  ASSERT_TRUE(identity::WriteFileDurably(state_ + "/shut_out", "garbage").ok());
  EXPECT_TRUE(WhyShutOut(state_).has_value()) << "who cannot read it must not take part";
}

TEST_F(MemberTest, FindsItselfAgainInTheMiddleOfARewind) {
  state_ = data_ + ".pgquorum";  // where a node finds it without any setting
  fs::create_directories(state_);
  SaveBoth();
  ASSERT_TRUE(SaveNodeFiles(data_, state_).ok());
  // The marker is the source's already; the process died here.
  ASSERT_TRUE(
      identity::Save(data_ + "/pgquorum.member", identity::Marker{9, 2, "/source/state"}).ok());
  identity::Intent intent;
  ASSERT_TRUE(identity::Save(state_ + "/intent", intent).ok());
  EXPECT_EQ(Find().kind, Membership::Kind::kClosed) << "nothing was touched: the marker is foreign";
  intent.touched = true;
  ASSERT_TRUE(identity::Save(state_ + "/intent", intent).ok());
  Membership found = Find();
  ASSERT_EQ(found.kind, Membership::Kind::kMember) << found.reason;
  EXPECT_EQ(found.marker.raft_node_id, 1u);
  EXPECT_EQ(found.marker.state_directory, state_);
}

TEST_F(MemberTest, OneServerAStateDirectory) {
  std::string error;
  ASSERT_TRUE(LockStateDirectory(state_, &error)) << error;
  pid_t child = fork();
  if (child == 0) {
    std::string other;
    _exit(LockStateDirectory(state_, &other) ? 1 : 0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0) << "a second lock was granted";
  EXPECT_FALSE(LockStateDirectory("/nowhere", &error));
}

TEST_F(MemberTest, RemovesOnlyPlaceholdersAboveTheNewestHistory) {
  for (const char* name : {"00000002.history", "00000005.history", "00000006.history"}) {
    ASSERT_TRUE(identity::WriteFileDurably(data_ + "/pg_wal/" + name, "").ok());
  }
  ASSERT_TRUE(identity::WriteFileDurably(data_ + "/pg_wal/00000004.history", "1\t0/1\tx\n").ok());
  ASSERT_TRUE(identity::WriteFileDurably(data_ + "/pg_wal/000000010000000000000001", "").ok());
  Result<int> removed = RemoveHistoryPlaceholders(data_);
  ASSERT_TRUE(removed.ok());
  EXPECT_EQ(removed.value(), 2);
  EXPECT_TRUE(fs::exists(data_ + "/pg_wal/00000002.history"));
  EXPECT_TRUE(fs::exists(data_ + "/pg_wal/00000004.history"));
  EXPECT_FALSE(fs::exists(data_ + "/pg_wal/00000005.history"));
  EXPECT_TRUE(fs::exists(data_ + "/pg_wal/000000010000000000000001"));
  EXPECT_FALSE(RemoveHistoryPlaceholders("/nowhere").ok());
}

}  // namespace
}  // namespace pgquorum::boot
