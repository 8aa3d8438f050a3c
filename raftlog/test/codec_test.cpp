#include "raftlog/codec.h"

#include <gtest/gtest.h>

#include "base/crc32c.h"
#include "base/random.h"
#include "raftlog/errors.h"
#include "raftlog/sessions.h"
#include "raftlog/test/testkit.h"

namespace pgquorum::raft {
namespace {

Configuration RandomConfiguration(Random& random) {
  Configuration c;
  for (uint64_t id = 1; id < 8; ++id) {
    for (auto* set : {&c.voters, &c.outgoing, &c.learners, &c.learners_next, &c.witnesses}) {
      if (random.Chance(1, 2)) {
        set->push_back(NodeId(id));
      }
    }
  }
  c.auto_leave = random.Chance(1, 2);
  return c;
}

Message RandomMessage(Random& random) {
  Message m;
  m.kind = static_cast<MessageKind>(random.Between(1, kMessageKindLast));
  m.from = NodeId(random.Between(1, 9));
  m.to = NodeId(random.Between(1, 9));
  m.term = Term(random.Between(5, 9));
  auto some = [&random](uint64_t value) { return random.Chance(1, 2) ? value : 0; };
  m.log_index = Index(some(random.Below(1000)));
  m.log_term = Term(some(random.Below(5)));
  m.commit = Index(some(random.Next()));
  m.hint_index = Index(some(random.Next()));
  m.hint_term = Term(some(random.Next()));
  m.context = some(random.Next());
  m.priority = static_cast<uint32_t>(some(random.Below(100)));
  m.reject = random.Chance(1, 2);
  m.force = random.Chance(1, 2);
  uint64_t count = m.kind == MessageKind::kAppend    ? random.Below(4)
                   : m.kind == MessageKind::kPropose ? 1
                                                     : 0;
  for (uint64_t i = 1; i <= count; ++i) {
    m.entries.push_back({Term(5), m.log_index + i, static_cast<EntryType>(random.Below(4)),
                         std::string(random.Below(50), 'x')});
  }
  if (random.Chance(1, 3)) {
    m.chunk = std::string(random.Between(1, 40), 'c');
    m.offset = random.Below(60);
    m.snapshot = {Index(7), Term(2), RandomConfiguration(random), 100, 0xABCD};
  }
  if (random.Chance(1, 5)) {
    m.error = "RX002";
  }
  return m;
}

TEST(Codec, MessagesRoundTrip) {
  Random random(1);
  for (int i = 0; i < 5000; ++i) {
    Message m = RandomMessage(random);
    Result<Message> back = DecodeMessage(EncodeMessage(m));
    ASSERT_TRUE(back.ok()) << back.status().ToString();
    ASSERT_EQ(back.value(), m);
  }
}

// The format is fixed: a node must understand the messages of the version before it.
TEST(Codec, GoldenHeartbeat) {
  Message m;
  m.kind = MessageKind::kHeartbeat;
  m.from = NodeId(1);
  m.to = NodeId(2);
  m.term = Term(3);
  m.commit = Index(4);
  m.context = 5;
  std::string bytes = EncodeMessage(m);
  ASSERT_EQ(bytes.size(), 4U + 24 + 16 + 4);
  std::string expected("\x01\x07\x0a\x00", 4);
  for (char value : {'\1', '\2', '\3', '\4', '\5'}) {
    expected += value;
    expected += std::string(7, '\0');
  }
  EXPECT_EQ(bytes.substr(0, bytes.size() - 4), expected);
}

TEST(Codec, EveryFlippedBitIsNoticed) {
  Random random(2);
  for (int i = 0; i < 20; ++i) {
    std::string bytes = EncodeMessage(RandomMessage(random));
    for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
      std::string damaged = bytes;
      damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
      Result<Message> result = DecodeMessage(damaged);
      ASSERT_FALSE(result.ok());
      ASSERT_EQ(result.status().sqlstate(), kErrMalformed);
    }
  }
}

std::string WithChecksum(std::string body) {
  ByteWriter out;
  out.Raw(body);
  out.U32(Crc32c(body));
  return std::move(out).Take();
}

// What passes the checksum but was made by nobody's encoder: never a crash, and whatever decodes
// satisfies what the core relies on.
TEST(Codec, MutationsBehindTheChecksum) {
  Random random(3);
  int accepted = 0;
  for (int i = 0; i < 200'000; ++i) {
    std::string body = EncodeMessage(RandomMessage(random));
    body.resize(body.size() - 4);
    for (uint64_t n = random.Between(1, 3); n > 0 && !body.empty(); --n) {
      std::size_t at = random.Below(body.size());
      switch (random.Below(4)) {
        case 0:
          body[at] = static_cast<char>(random.Next());
          break;
        case 1:
          body.erase(at, random.Between(1, 9));
          break;
        case 2:
          body.insert(at, std::string(random.Between(1, 9), static_cast<char>(random.Next())));
          break;
        default:
          body.resize(at);
          break;
      }
    }
    Result<Message> result = DecodeMessage(WithChecksum(body));
    if (!result.ok()) {
      continue;
    }
    ++accepted;
    const Message& m = result.value();
    ASSERT_TRUE(m.from && m.to);
    Index expected = m.log_index;
    for (const Entry& entry : m.entries) {
      if (m.kind == MessageKind::kAppend) {
        ASSERT_EQ(entry.index, ++expected);
        ASSERT_LE(entry.term, m.term);
      }
    }
  }
  EXPECT_GT(accepted, 1000);  // some damage is harmless: else the test would not reach the fields
}

TEST(Codec, HostileLengths) {
  // A count that the input does not back must not reserve memory for it.
  ByteWriter body;
  body.U8(kMessageVersion);
  body.U8(static_cast<uint8_t>(MessageKind::kAppend));
  body.U16(1 << 7);
  body.U64(1);
  body.U64(2);
  body.U64(3);
  body.U32(0xFFFFFFFF);
  EXPECT_FALSE(DecodeMessage(WithChecksum(body.data())).ok());
  EXPECT_FALSE(DecodeMessage("").ok());
  EXPECT_FALSE(DecodeMessage("abc").ok());
}

TEST(Codec, AppendsMustBeContiguous) {
  Message m;
  m.kind = MessageKind::kAppend;
  m.from = NodeId(1);
  m.to = NodeId(2);
  m.term = Term(3);
  m.log_index = Index(4);
  m.log_term = Term(2);
  m.entries = {{Term(2), Index(5), EntryType::kCommand, "a"},
               {Term(3), Index(6), EntryType::kCommand, "b"}};
  EXPECT_TRUE(DecodeMessage(EncodeMessage(m)).ok());
  Message gap = m;
  gap.entries[1].index = Index(7);
  EXPECT_FALSE(DecodeMessage(EncodeMessage(gap)).ok());
  Message backwards = m;
  backwards.entries[0].term = Term(3);
  backwards.entries[1].term = Term(2);
  EXPECT_FALSE(DecodeMessage(EncodeMessage(backwards)).ok());
  Message ahead = m;
  ahead.entries[1].term = Term(4);
  EXPECT_FALSE(DecodeMessage(EncodeMessage(ahead)).ok());
}

TEST(Codec, OtherTypesRoundTrip) {
  Random random(4);
  for (int i = 0; i < 200; ++i) {
    SnapshotMeta meta{Index(random.Next()), Term(random.Next()), RandomConfiguration(random),
                      random.Next(), static_cast<uint32_t>(random.Next())};
    HardState hard{Term(random.Next()), NodeId(random.Next()), Index(random.Next())};
    ByteWriter out;
    EncodeSnapshotMeta(meta, out);
    EncodeHardState(hard, out);
    ByteReader in(out.data());
    EXPECT_EQ(DecodeSnapshotMeta(in), meta);
    EXPECT_EQ(DecodeHardState(in), hard);
    EXPECT_TRUE(in.Finished());

    ConfigEntry entry{RandomConfiguration(random), "context"};
    entry.configuration.voters = {NodeId(1)};
    Result<ConfigEntry> back = DecodeConfigEntry(EncodeConfigEntry(entry));
    ASSERT_TRUE(back.ok());
    EXPECT_EQ(back.value(), entry);
  }
}

TEST(Codec, ConfigurationsMustBeSorted) {
  ConfigEntry entry;
  entry.configuration.voters = {NodeId(2), NodeId(1)};
  EXPECT_FALSE(DecodeConfigEntry(EncodeConfigEntry(entry)).ok());
  entry.configuration.voters = {NodeId(1), NodeId(1)};
  EXPECT_FALSE(DecodeConfigEntry(EncodeConfigEntry(entry)).ok());
  entry.configuration.voters = {NodeId(0)};
  EXPECT_FALSE(DecodeConfigEntry(EncodeConfigEntry(entry)).ok());
  entry.configuration.voters = {};
  EXPECT_FALSE(DecodeConfigEntry(EncodeConfigEntry(entry)).ok());
}

}  // namespace
}  // namespace pgquorum::raft
