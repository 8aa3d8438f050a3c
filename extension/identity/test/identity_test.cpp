#include "extension/identity/identity.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>

#include "base/test/scratch.h"
#include "extension/identity/files.h"
#include "extension/identity/peers.h"
#include "extension/identity/text_record.h"

namespace pgquorum::identity {
namespace {

NodeIdentity Example() {
  NodeIdentity identity;
  identity.cluster_name = "prod-1";
  identity.cluster_id = 0x0123456789abcdef;
  identity.node_name = "node1";
  identity.raft_node_id = 7;
  identity.system_identifier = 7300000000000000001;
  identity.listen = {"db1.example", 5432};
  identity.raft = {"fe80::1", 7432};
  identity.join_addresses = {{"db2.example", 7432}, {"10.0.0.3", 7433}};
  return identity;
}

TEST(Endpoint, ParsesWhatItFormats) {
  for (const char* text : {"h:1", "10.0.0.1:65535", "[::1]:5432"}) {
    Result<Endpoint> endpoint = Endpoint::Parse(text);
    ASSERT_TRUE(endpoint.ok()) << text;
    EXPECT_EQ(endpoint.value().Format(), text);
  }
}

TEST(Endpoint, RefusesWhatCannotBeAnAddress) {
  for (const char* text : {"", "h", ":1", "h:", "h:0", "h:65536", "h:1x", "::1:5432", "[::1:5",
                           "[]:5", "a b:1", "a'b:1", "a\\b:1"}) {
    EXPECT_FALSE(Endpoint::Parse(text).ok()) << text;
  }
}

TEST(Names, FollowTheirRules) {
  EXPECT_TRUE(IsNodeName("node_1"));
  EXPECT_TRUE(IsNodeName(std::string(31, 'a')));
  for (const char* name : {"", "1node", "Node", "node-1", "node.1"}) {
    EXPECT_FALSE(IsNodeName(name)) << name;
  }
  EXPECT_FALSE(IsNodeName(std::string(32, 'a')));
  EXPECT_TRUE(IsClusterName("prod-1"));
  EXPECT_FALSE(IsClusterName("-prod"));
}

TEST(TextRecord, KeepsAnyValue) {
  TextRecord record("test", 1);
  record.Set("text", "a = b\\n\n\\ end");
  record.Set("crc", "crc32c = 00000000");
  record.SetHex("id", 0xff);
  Result<TextRecord> read = TextRecord::Parse(record.Format(), "test", 1);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read.value().Get("text").value(), "a = b\\n\n\\ end");
  EXPECT_EQ(read.value().Get("crc").value(), "crc32c = 00000000");
  EXPECT_EQ(read.value().GetHex("id").value(), 0xffu);
  EXPECT_FALSE(read.value().GetNumber("text").ok());
  EXPECT_FALSE(read.value().Get("missing").ok());
}

TEST(TextRecord, NoticesEveryChangedOrMissingByte) {
  std::string text = Example().Format();
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::string changed = text;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    EXPECT_FALSE(NodeIdentity::Parse(changed).ok()) << "changed byte " << i;
    EXPECT_FALSE(NodeIdentity::Parse(text.substr(0, i)).ok()) << "cut at " << i;
  }
}

TEST(TextRecord, RefusesOtherKindsAndLaterVersions) {
  EXPECT_FALSE(TextRecord::Parse(TextRecord("other", 1).Format(), "test", 1).ok());
  Result<TextRecord> later = TextRecord::Parse(TextRecord("test", 2).Format(), "test", 1);
  ASSERT_FALSE(later.ok());
  EXPECT_EQ(later.status().sqlstate(), "55000");
}

TEST(Records, SurviveTheirFile) {
  ScratchDirectory scratch;
  const std::string& directory = scratch.path();

  EXPECT_EQ(Load<NodeIdentity>(directory + "/identity").status().sqlstate(), "58P01");
  ASSERT_TRUE(Save(directory + "/identity", Example()).ok());
  EXPECT_EQ(Load<NodeIdentity>(directory + "/identity").value(), Example());
  struct stat info;
  ASSERT_EQ(stat((directory + "/identity").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_FALSE(FileExists(directory + "/identity.tmp"));

  Marker marker{5, 6, directory};
  ASSERT_TRUE(Save(directory + "/m", marker).ok());
  EXPECT_EQ(Load<Marker>(directory + "/m").value(), marker);
  EXPECT_EQ(Load<NodeIdentity>(directory + "/m").status().sqlstate(), "XX001");

  Intent intent;
  intent.kind = Intent::Kind::kReclone;
  intent.source_node = "node2";
  intent.source_conninfo = "host=h sslkey='/a b/key'";
  intent.epoch_generation = ~0ULL;
  intent.epoch_number = 12;
  intent.attempts = 2;
  intent.touched = true;
  intent.last_error = "line one\nline two";
  ASSERT_TRUE(Save(directory + "/i", intent).ok());
  EXPECT_EQ(Load<Intent>(directory + "/i").value(), intent);

  DemoteOrder order{4711, 99, "revoked"};
  ASSERT_TRUE(Save(directory + "/d", order).ok());
  EXPECT_EQ(Load<DemoteOrder>(directory + "/d").value(), order);

  for (const char* file : {"identity", "m", "i", "d"}) {
    EXPECT_TRUE(RemoveFileDurably(directory + "/" + file).ok());
    EXPECT_TRUE(RemoveFileDurably(directory + "/" + file).ok()) << "again";
  }
  EXPECT_TRUE(std::filesystem::is_empty(directory));
}

TEST(Identity, KnowsAWitness) {
  NodeIdentity identity = Example();
  identity.witness = true;
  EXPECT_EQ(NodeIdentity::Parse(identity.Format()).value(), identity);
  TextRecord record = TextRecord::Parse(identity.Format(), "identity", 1).value();
  record.Set("kind", "judge");
  EXPECT_EQ(NodeIdentity::Parse(record.Format()).status().sqlstate(), "XX001");
}

TEST(Identity, RefusesEmptyIds) {
  NodeIdentity identity = Example();
  identity.raft_node_id = 0;
  EXPECT_FALSE(NodeIdentity::Parse(identity.Format()).ok());
  Marker marker{1, 1, "relative/path"};
  EXPECT_FALSE(Marker::Parse(marker.Format()).ok());
}

TEST(StateDirectory, DefaultsToANeighbourOfTheDataDirectory) {
  EXPECT_EQ(StateDirectory("", "/data/15/main/"), "/data/15/main.pgquorum");
  EXPECT_EQ(StateDirectory("/state", "/data"), "/state");
}

TEST(Peers, ParsesWhatItFormatsAndRefusesTheRest) {
  Peers peers;
  peers.cluster_id = 5;
  peers.members.push_back({1, "node1", {"10.0.0.1", 5432}, {"10.0.0.1", 7432}});
  peers.members.push_back({9, "node2", {"::1", 5432}, {"::1", 7432}});
  Result<Peers> parsed = Peers::Parse(peers.Format());
  ASSERT_TRUE(parsed.ok()) << parsed.status().ToString();
  EXPECT_EQ(parsed.value(), peers);

  peers.members[1].name = "Not a name";
  EXPECT_EQ(Peers::Parse(peers.Format()).status().sqlstate(), "XX001");
  peers.members.resize(kMaxPeers + 1, peers.members[0]);
  EXPECT_EQ(Peers::Parse(peers.Format()).status().sqlstate(), "XX001");
}

}  // namespace
}  // namespace pgquorum::identity
