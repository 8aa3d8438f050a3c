// What is decoded and what waits, without a connection.
#include <gtest/gtest.h>

#include "base/random.h"
#include "bgworkers/transport/outbox.h"
#include "bgworkers/transport/wire.h"

#include <google/protobuf/stubs/logging.h>

namespace pgquorum::transport {
namespace {

constexpr Expected kExpected{7, 0, 2};

wire::Packet GoodPacket() {
  wire::Packet packet;
  packet.set_cluster_id(7);
  packet.set_from(1);
  packet.set_to(2);
  wire::Hello* hello = packet.mutable_hello();
  hello->set_version(kProtocolVersion);
  hello->set_version_min(kProtocolVersionMin);
  hello->set_name("node1");
  hello->set_host("10.0.0.1");
  hello->set_port(5433);
  wire::Frame* frame = packet.add_frames();
  frame->set_channel(1);
  frame->set_payload("payload");
  return packet;
}

Refusal CheckAll(const wire::Packet& packet, const Expected& expected) {
  Refusal refusal = CheckPacket(packet, expected);
  return refusal == Refusal::kNone ? CheckHello(packet) : refusal;
}

TEST(Wire, PacketsAreChecked) {
  EXPECT_EQ(CheckAll(GoodPacket(), kExpected), Refusal::kNone);
  auto after = [](const std::function<void(wire::Packet&)>& change) {
    wire::Packet packet = GoodPacket();
    change(packet);
    return CheckAll(packet, kExpected);
  };
  EXPECT_EQ(after([](auto& p) { p.set_cluster_id(8); }), Refusal::kCluster);
  EXPECT_EQ(after([](auto& p) { p.set_from(0); }), Refusal::kIdentity);
  EXPECT_EQ(after([](auto& p) { p.set_from(2); }), Refusal::kIdentity) << "says to be us";
  EXPECT_EQ(after([](auto& p) { p.set_to(3); }), Refusal::kIdentity);
  EXPECT_EQ(after([](auto& p) { p.clear_hello(); }), Refusal::kMalformed);
  EXPECT_EQ(after([](auto& p) { p.mutable_hello()->set_name(""); }), Refusal::kMalformed);
  EXPECT_EQ(after([](auto& p) { p.mutable_hello()->set_host(std::string(256, 'h')); }),
            Refusal::kMalformed);
  EXPECT_EQ(after([](auto& p) { p.mutable_hello()->set_port(65536); }), Refusal::kMalformed);
  EXPECT_EQ(after([](auto& p) { p.mutable_hello()->set_version(0); }), Refusal::kVersion);
  EXPECT_EQ(after([](auto& p) { p.mutable_hello()->set_version_min(2); }), Refusal::kVersion);
  EXPECT_EQ(after([](auto& p) {
              p.mutable_frames(0)->set_payload(std::string(kMaxPayloadBytes + 1, 'x'));
            }),
            Refusal::kMalformed);
  EXPECT_EQ(CheckPacket(GoodPacket(), {7, 3, 2}), Refusal::kIdentity) << "not whose stream it is";
}

TEST(Wire, UnknownChannelsAreSkipped) {
  wire::Frame frame;
  for (uint32_t channel : {0U, 4U, 257U, 0xFFFFFFFFU}) {
    frame.set_channel(channel);
    EXPECT_FALSE(ChannelOf(frame)) << channel;
  }
  frame.set_channel(3);
  EXPECT_EQ(ChannelOf(frame), Channel::kLease);
}

// Whatever the bytes: no crash, and what is accepted holds what the rest of the code relies on.
TEST(Wire, MutatedPacketsAreRefusedOrSound) {
  google::protobuf::LogSilencer quiet;
  Random random(11);
  std::string good = GoodPacket().SerializeAsString();
  uint64_t parsed = 0;
  for (int i = 0; i < 50'000; ++i) {
    std::string bytes = good;
    for (uint64_t n = random.Between(1, 4); n > 0 && !bytes.empty(); --n) {
      std::size_t at = random.Below(bytes.size());
      switch (random.Below(4)) {
        case 0:
          bytes[at] = static_cast<char>(random.Next());
          break;
        case 1:
          bytes.erase(at, random.Below(8));
          break;
        case 2:
          bytes.insert(at, std::string(random.Below(8), static_cast<char>(random.Next())));
          break;
        default:
          bytes.resize(at);
      }
    }
    wire::Packet packet;
    if (!packet.ParseFromString(bytes) || CheckAll(packet, kExpected) != Refusal::kNone) {
      continue;
    }
    ++parsed;
    EXPECT_EQ(packet.cluster_id(), 7U);
    EXPECT_EQ(packet.to(), 2U);
    EXPECT_NE(packet.from(), 0U);
    EXPECT_TRUE(packet.hello().port() > 0 && packet.hello().port() < 65536);
    EXPECT_FALSE(packet.hello().name().empty());
  }
  EXPECT_GT(parsed, 100U) << "the mutations never leave a good packet: they test nothing";
}

TEST(Wire, MutatedJoinMessagesAreRefusedOrSound) {
  google::protobuf::LogSilencer quiet;
  Random random(12);
  JoinResponse response;
  response.cluster_name = "prod";
  response.members = {{1, "node1", "h", 5432, "h", 5433}, {2, "witness", "", 0, "h", 5433}};
  wire::JoinReply reply;
  ToWire(response, reply);
  ASSERT_TRUE(FromWire(reply).ok());
  EXPECT_EQ(FromWire(reply).value().members, response.members);
  std::string good = reply.SerializeAsString();
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes = good;
    bytes[random.Below(bytes.size())] = static_cast<char>(random.Next());
    wire::JoinReply mutated;
    if (mutated.ParseFromString(bytes)) {
      Result<JoinResponse> result = FromWire(mutated);
      for (const JoinMember& member : result.ok() ? result.value().members : response.members) {
        EXPECT_NE(member.raft_node_id, 0U);
        EXPECT_NE(member.raft_port, 0U);
      }
    }
  }
}

TEST(Wire, JoinRequestsAreChecked) {
  JoinRequest good{std::string(kSecretBytes, 's'), "node4", "h", 5432, "h", 5433, 0, "csr"};
  auto decode = [](const JoinRequest& request) {
    wire::JoinCall call;
    ToWire(request, call);
    return FromWire(call).status().sqlstate();
  };
  EXPECT_EQ(decode(good), "");
  for (bool witness : {false, true}) {
    JoinRequest request = good;
    request.witness = witness;
    wire::JoinCall call;
    ToWire(request, call);
    EXPECT_EQ(FromWire(call).value().witness, witness);
  }
  JoinRequest bad = good;
  bad.secret.pop_back();
  EXPECT_EQ(decode(bad), "22023");
  bad = good;
  bad.raft_port = 0;
  EXPECT_EQ(decode(bad), "22023");
  wire::JoinCall other;
  ToWire(good, other);
  other.set_version(2);
  EXPECT_EQ(FromWire(other).status().sqlstate(), "0A000");
}

TEST(Wire, AnErrorKeepsItsParts) {
  Status error = Status::Error("RX001", "m").WithDetail("d").WithHint("h");
  Status back = FromWire(ToWire(error));
  EXPECT_EQ(back.ToString(), error.ToString());
  EXPECT_EQ(back.hint(), "h");
  EXPECT_TRUE(FromWire(ToWire(Status::Ok())).ok());
  wire::Error odd;
  odd.set_sqlstate("much too long");
  EXPECT_EQ(FromWire(odd).sqlstate(), "XX000");
}

TEST(Outbox, KeepsTheNewestReportAndLease) {
  Outbox outbox({});
  outbox.SetOnline(true);
  for (const char* text : {"1", "2", "3"}) {
    outbox.Push(Channel::kReport, Urgency::kNow, text, 0);
    outbox.Push(Channel::kLease, Urgency::kNow, text, 0);
    outbox.Push(Channel::kRaft, Urgency::kNow, text, 0);
  }
  std::vector<OutFrame> frames = outbox.Take(0);
  ASSERT_EQ(frames.size(), 5U);
  EXPECT_EQ(frames[0].channel, Channel::kLease);
  EXPECT_EQ(frames[0].payload, "3");
  EXPECT_EQ(frames[1].channel, Channel::kReport);
  EXPECT_EQ(frames[1].payload, "3");
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(frames[2 + i].payload, std::to_string(i + 1));
  }
  EXPECT_EQ(outbox.superseded(), 4U);
  EXPECT_TRUE(outbox.empty());
}

TEST(Outbox, RoutineNewsTravelsWithTheNextPacket) {
  Outbox outbox({.hold_ns = 150});
  outbox.SetOnline(true);
  EXPECT_TRUE(outbox.Push(Channel::kRaft, Urgency::kNow, "beat", 1000));
  outbox.Take(1000);
  EXPECT_FALSE(outbox.Push(Channel::kReport, Urgency::kRoutine, "1", 1100))
      << "a packet has just gone";
  EXPECT_FALSE(outbox.wants());
  EXPECT_TRUE(outbox.Push(Channel::kRaft, Urgency::kNow, "beat", 1110));
  EXPECT_EQ(outbox.Take(1110).size(), 2U);
  EXPECT_FALSE(outbox.Push(Channel::kReport, Urgency::kRoutine, "2", 1200));
  EXPECT_TRUE(outbox.Push(Channel::kReport, Urgency::kRoutine, "3", 1260))
      << "nothing went for so long";
  std::vector<OutFrame> frames = outbox.Take(1260);
  ASSERT_EQ(frames.size(), 1U);
  EXPECT_EQ(frames[0].payload, "3");
  EXPECT_EQ(frames[0].urgency, Urgency::kRoutine);
}

TEST(Outbox, UrgentNewsStaysUrgentWhenItIsOvertaken) {
  Outbox outbox({.hold_ns = 150});
  outbox.SetOnline(true);
  outbox.Take(1000);
  EXPECT_TRUE(outbox.Push(Channel::kReport, Urgency::kNow, "the server is gone", 1010));
  EXPECT_FALSE(outbox.Push(Channel::kReport, Urgency::kRoutine, "again", 1020)) << "told already";
  std::vector<OutFrame> frames = outbox.Take(1020);
  ASSERT_EQ(frames.size(), 1U);
  EXPECT_EQ(frames[0].payload, "again");
  EXPECT_EQ(frames[0].urgency, Urgency::kNow);
}

TEST(Outbox, DropsTheOldestBeyondItsBounds) {
  Outbox outbox({3, 100});
  outbox.SetOnline(true);
  for (int i = 0; i < 5; ++i) {
    outbox.Push(Channel::kRaft, Urgency::kNow, std::to_string(i), 0);
  }
  EXPECT_EQ(outbox.raft_dropped(), 2U);
  EXPECT_EQ(outbox.Take(0).front().payload, "2");
  outbox.Push(Channel::kRaft, Urgency::kNow, std::string(60, 'a'), 0);
  outbox.Push(Channel::kRaft, Urgency::kNow, std::string(60, 'b'), 0);
  EXPECT_EQ(outbox.raft_dropped(), 3U);
  EXPECT_EQ(outbox.Take(0).front().payload[0], 'b');
  outbox.Push(Channel::kRaft, Urgency::kNow, std::string(200, 'c'), 0);
  EXPECT_EQ(outbox.Take(0).size(), 1U) << "one frame is kept, however long";
}

TEST(Outbox, PacketsAreBoundedAndALostConnectionEmptiesIt) {
  Outbox outbox({1000, std::size_t{64} << 20});
  outbox.SetOnline(true);
  for (int i = 0; i < 3; ++i) {
    outbox.Push(Channel::kRaft, Urgency::kNow, std::string(Outbox::kPacketBytes / 2, 'x'), 0);
  }
  EXPECT_EQ(outbox.Take(0).size(), 2U);
  outbox.SetOnline(false);
  EXPECT_TRUE(outbox.empty());
  EXPECT_EQ(outbox.raft_dropped(), 1U);
  for (std::size_t i = 0; i < Outbox::kOfflineFrames + 10; ++i) {
    outbox.Push(Channel::kRaft, Urgency::kNow, std::to_string(i), 0);
  }
  EXPECT_EQ(outbox.Take(0).front().payload, "10");
}

}  // namespace
}  // namespace pgquorum::transport
