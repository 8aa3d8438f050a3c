#include "cachefusion/wire/codec.h"

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/random.h"

#include "base/pure.h"

namespace pgquorum::fusion {
namespace {

Message Everything() {
  Message m;
  m.type = MessageType::kHandOver;
  m.from = InstanceId(3);
  m.to = InstanceId(64);
  m.epoch = Epoch(9);
  m.page = {77, 12};
  m.mode = BlockMode::kExclusive;
  m.have = BlockMode::kShared;
  m.psn = Psn(1'000'000'007);
  m.peer = InstanceId(2);
  m.conversion = 55;
  m.dirty = m.unsaved = m.past = m.recover = m.last = m.deaths = true;
  m.bucket = 65'535;
  m.lock.resource = {2, 4};
  m.lock.owner = MakeOwner(InstanceId(3), 17);
  m.lock.wait = WaitId(8);
  m.lock.mode = LockMode::kEx;
  m.lock.release = m.lock.no_wait = m.lock.with_value = true;
  m.lock.value.version = 3;
  m.lock.value.valid = true;
  m.lock.value.bytes[63] = 'x';
  m.data = std::string(8192, 'p');
  m.frames.push_back({{1, 2}, BlockMode::kShared, Psn(5), true, true, Psn(4)});
  m.locks.push_back({LockReport::kValue, {1, 1}, LockOwner(4), LockMode::kPw, m.lock.value});
  m.marks.push_back({{1, 2}, Psn(6)});
  m.edges.push_back({LockOwner(1), WaitId(2), LockOwner(3), {4, 5}});
  m.entries.push_back({{1, 2},
                       InstanceId(1),
                       InstanceSet(6),
                       true,
                       {{InstanceId(2), Psn(3)}},
                       {{MessageType::kRequest, InstanceId(1), BlockMode::kShared, {}, Psn(1)}}});
  ResourceState resource;
  resource.resource = {1, 9};
  resource.granted.push_back({LockOwner(1), LockMode::kPr});
  resource.converting.push_back({LockOwner(1), LockMode::kEx, WaitId(1)});
  resource.waiting.push_back({LockOwner(2), LockMode::kCw, WaitId(2)});
  resource.value = m.lock.value;
  m.resources.push_back(resource);
  return m;
}

TEST(FusionCodec, EveryFieldSurvives) {
  Message m = Everything();
  Result<Message> again = DecodeMessage(EncodeMessage(m));
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again.value(), m);
  Datagram d{InstanceId(1), InstanceId(2), Incarnation(3), Incarnation(4), 5, 6, "payload"};
  Result<Datagram> back = DecodeDatagram(EncodeDatagram(d));
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back.value(), d);
}

TEST(FusionCodec, AChangedBitOrAMissingTailIsMalformed) {
  std::string bytes = EncodeMessage(Everything());
  for (std::size_t i = 0; i < bytes.size(); i += 7) {
    std::string changed = bytes;
    changed[i] = static_cast<char>(changed[i] ^ (1 << (i % 8)));
    EXPECT_FALSE(DecodeMessage(changed).ok()) << i;
    EXPECT_FALSE(DecodeMessage(std::string_view(bytes).substr(0, i)).ok()) << i;
  }
  EXPECT_EQ(DecodeMessage("").status().sqlstate(), kErrMalformedMessage);
}

// With a right checksum, whatever else is wrong: an error or the same bytes again, never more.
TEST(FusionCodec, HostileBytesAreRefusedOrUnderstood) {
  Random random(1);
  std::string good = EncodeMessage(Everything());
  good.resize(good.size() - sizeof(uint32_t));
  int refused = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = good;
    // The page's 8 kB would take most of the changes.
    std::size_t at = random.Chance(1, 2) ? random.Below(60) : bytes.size() - 1 - random.Below(500);
    bytes[at] = static_cast<char>(random.Below(256));
    ByteWriter out;
    out.Raw(bytes);
    out.U32(Crc32c(bytes));
    Result<Message> message = DecodeMessage(out.data());
    if (message.ok()) {
      EXPECT_EQ(EncodeMessage(message.value()), out.data());
    } else {
      ++refused;
    }
  }
  EXPECT_GT(refused, 100);
}

TEST(FusionCodec, AForeignVersionIsMalformed) {
  std::string bytes = EncodeMessage(Message());
  bytes.resize(bytes.size() - sizeof(uint32_t));
  bytes[0] = kWireVersion + 1;
  ByteWriter out;
  out.Raw(bytes);
  out.U32(Crc32c(bytes));
  EXPECT_FALSE(DecodeMessage(out.data()).ok());
}

}  // namespace
}  // namespace pgquorum::fusion
