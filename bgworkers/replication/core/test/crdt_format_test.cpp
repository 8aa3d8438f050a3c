// The bytes: golden values, and what is refused.
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "base/random.h"
#include "bgworkers/replication/core/crdt/counter.h"
#include "bgworkers/replication/core/crdt/registers.h"
#include "bgworkers/replication/core/crdt/registry.h"
#include "bgworkers/replication/core/crdt/sets.h"
#include "bgworkers/replication/core/errors.h"

namespace pgquorum::crdt {
namespace {

using replication::Hlc;
using replication::Origin;
using replication::SiteId;

Origin At(uint16_t site) {
  return {SiteId(site), 1};
}

std::string Hex(std::string_view bytes) {
  std::string text;
  for (char c : bytes) {
    constexpr const char* kDigits = "0123456789abcdef";
    text += kDigits[static_cast<unsigned char>(c) >> 4];
    text += kDigits[static_cast<unsigned char>(c) & 15];
  }
  return text;
}

// One value of each type: changing these bytes breaks every database that holds some.
std::string Sample(Type type) {
  switch (type) {
    case Type::kLwwRegister:
      return Encode(LwwRegister({Hlc(300), At(2)}, "v"));
    case Type::kGCounter:
    case Type::kPnCounter: {
      Counter counter(type);
      EXPECT_TRUE(counter.Add(At(1), 300).ok());
      if (type == Type::kPnCounter) {
        EXPECT_TRUE(counter.Add(At(2), -1).ok());
      }
      return Encode(counter);
    }
    case Type::kGSet: {
      GSet set;
      set.Add("b");
      set.Add("a");
      return Encode(set);
    }
    case Type::kTwoPSet: {
      TwoPSet set;
      EXPECT_TRUE(set.Add("b").ok());
      EXPECT_TRUE(set.Add("a").ok());
      set.Remove("b");
      return Encode(set);
    }
    case Type::kOrSet: {
      OrSet set;
      EXPECT_TRUE(set.Add("a", {At(1), 7}).ok());
      return Encode(set);
    }
    case Type::kMvRegister: {
      MvRegister value;
      EXPECT_TRUE(value.Assign({At(1), 7}, "a").ok());
      return Encode(value);
    }
  }
  return {};
}

TEST(Format, GoldenBytes) {
  EXPECT_EQ(Hex(Sample(Type::kLwwRegister)),
            "0101ac020002000101"
            "0176");
  EXPECT_EQ(Hex(Sample(Type::kGCounter)),
            "0201"
            "00"
            "01"
            "00010001"
            "ac02");
  EXPECT_EQ(Hex(Sample(Type::kPnCounter)),
            "0301"
            "00"
            "02"
            "00010001"
            "ac02"
            "000000"
            "00020001"
            "0001"
            "0000");
  EXPECT_EQ(Hex(Sample(Type::kGSet)),
            "0401"
            "02"
            "0161"
            "0162");
  EXPECT_EQ(Hex(Sample(Type::kTwoPSet)),
            "0501"
            "02"
            "000161"
            "010162");
  EXPECT_EQ(Hex(Sample(Type::kOrSet)),
            "0601"
            "00"
            "01"
            "0001000107"
            "01"
            "0161"
            "01"
            "0001000107");
  EXPECT_EQ(Hex(Sample(Type::kMvRegister)),
            "0701"
            "00"
            "01"
            "0001000107"
            "01"
            "0001000107"
            "010161");
}

TEST(Format, JsonForms) {
  EXPECT_EQ(ToJson(Sample(Type::kLwwRegister)).value(),
            R"({"value": "v", "time": 300, "site": "2.1"})");
  EXPECT_EQ(ToJson(Sample(Type::kGCounter)).value(),
            R"({"value": 300, "generation": 0, "sites": {"1.1": 300}})");
  EXPECT_EQ(ToJson(Sample(Type::kPnCounter)).value(),
            R"({"value": 299, "generation": 0, "sites": {"1.1": [300, 0, 0, 0], )"
            R"("2.1": [0, 1, 0, 0]}})");
  EXPECT_EQ(ToJson(Sample(Type::kGSet)).value(), R"({"elements": ["a", "b"]})");
  EXPECT_EQ(ToJson(Sample(Type::kTwoPSet)).value(), R"({"elements": ["a"], "removed": ["b"]})");
  EXPECT_EQ(ToJson(Sample(Type::kOrSet)).value(),
            R"({"generation": 0, "seen": {"1.1": 7}, )"
            R"("elements": [{"value": "a", "dots": ["1.1:7"]}]})");
  EXPECT_EQ(ToJson(Sample(Type::kMvRegister)).value(),
            R"({"generation": 0, "seen": {"1.1": 7}, "values": [{"value": "a", "dot": "1.1:7"}]})");
}

TEST(Format, JsonThatIsNoValueIsRefused) {
  for (const char* text :
       {"", "{}", "7", R"({"value": 1, "generation": 0, "sites": {"1.1": 2}})",
        R"({"generation": 0, "sites": {"1.1": 2}, "more": 1})",
        R"({"generation": 0, "sites": {"1.1": -2}})", R"({"generation": 0, "sites": {"01.1": 2}})",
        R"({"generation": 0, "sites": {"1": 2}})", R"({"generation": 0, "sites": {"0.0": 2}})",
        R"({"generation": 0, "sites": {"1.1": 2, "1.1": 2}})",
        R"({"generation": 0, "sites": {"1.1": 2}} x)",
        R"({"generation": 0, "sites": {"1.1": 2.5}})",
        R"({"generation": 0, "sites": {"1.1": 99999999999999999999}})"}) {
    EXPECT_EQ(FromJson(Type::kGCounter, text).status().sqlstate(), replication::kErrMalformedState)
        << text;
  }
  EXPECT_TRUE(FromJson(Type::kGCounter, R"({"sites": {"1.1": 2}, "generation": 0})").ok());
  EXPECT_FALSE(FromJson(Type::kTwoPSet, R"({"elements": ["a"], "removed": ["a"]})").ok());
  EXPECT_FALSE(FromJson(Type::kGSet, R"({"elements": ["\ud800"]})").ok());
  std::string unicode = FromJson(Type::kGSet, R"({"elements": ["\u00e4\ud83d\ude00\n"]})").value();
  EXPECT_TRUE(GSet::Decode(unicode).value().Contains("\xC3\xA4\xF0\x9F\x98\x80\n"));
}

TEST(Format, EveryTruncationAndEveryWrongTypeIsRefused) {
  for (const TypeInfo& info : kTypes) {
    std::string bytes = Sample(info.type);
    EXPECT_TRUE(Validate(info.type, bytes).ok());
    for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
      EXPECT_EQ(Validate(info.type, bytes.substr(0, cut)).sqlstate(),
                replication::kErrMalformedState);
    }
    EXPECT_FALSE(Validate(info.type, bytes + '\0').ok());
    for (const TypeInfo& other : kTypes) {
      EXPECT_EQ(Validate(other.type, bytes).ok(), other.type == info.type);
      EXPECT_EQ(Merge(bytes, Sample(other.type), FoldTable()).ok(), other.type == info.type);
    }
    std::string future = bytes;
    future[1] = 2;
    EXPECT_FALSE(Validate(info.type, future).ok());
    EXPECT_EQ(TypeNamed(info.name), info.type);
  }
}

TEST(Format, OneEncodingForEachState) {
  using namespace std::string_literals;
  // 300 in three bytes; a zero entry; entries out of order; cancelled more than there is.
  EXPECT_FALSE(Validate(Type::kGCounter, "\x02\x01\x00\x01\x00\x01\x00\x01\xac\x82\x00"s).ok());
  EXPECT_FALSE(Validate(Type::kGCounter, "\x02\x01\x00\x01\x00\x01\x00\x01\x00"s).ok());
  EXPECT_FALSE(
      Validate(Type::kGCounter, "\x02\x01\x00\x02\x00\x02\x00\x01\x01\x00\x01\x00\x01\x01"s).ok());
  EXPECT_FALSE(
      Validate(Type::kPnCounter, "\x03\x01\x00\x01\x00\x01\x00\x01\x01\x00\x02\x00"s).ok());
  EXPECT_FALSE(Validate(Type::kGSet, "\x04\x01\x02\x01\x62\x01\x61"s).ok());
  // A live dot that was never seen; an element without dots.
  EXPECT_FALSE(
      Validate(Type::kOrSet, "\x06\x01\x00\x00\x01\x01\x61\x01\x00\x01\x00\x01\x07"s).ok());
  EXPECT_FALSE(
      Validate(Type::kOrSet, "\x06\x01\x00\x00\x01\x01\x61\x00\x00\x00\x00\x00\x00"s).ok());
}

TEST(Format, RandomDamageNeverCrashesAndNeverChangesUnseen) {
  Random random(11);
  for (const TypeInfo& info : kTypes) {
    std::string good = Sample(info.type);
    for (int i = 0; i < 3000; ++i) {
      std::string bytes = good;
      for (uint64_t flips = random.Between(1, 3); flips > 0; --flips) {
        bytes[random.Below(bytes.size())] = static_cast<char>(random.Next());
      }
      if (Validate(info.type, bytes).ok()) {
        std::string back = FromJson(info.type, ToJson(bytes).value()).value();
        ASSERT_EQ(Hex(back), Hex(bytes));
      }
    }
  }
}

}  // namespace
}  // namespace pgquorum::crdt
