#include "extension/shared_state.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>

namespace pgquorum::shared {
namespace {

struct Pair {
  uint64_t values[64];
};

TEST(SeqLocked, ReadsNothingBeforeTheFirstPublication) {
  SeqLocked<Pair> shared;
  Pair pair;
  EXPECT_FALSE(shared.Read(pair));
  shared.Publish(Pair{});
  EXPECT_TRUE(shared.Read(pair));
}

TEST(SeqLocked, NeverShowsHalfOfAPublication) {
  auto shared = std::make_unique<SeqLocked<Pair>>();
  shared->Publish(Pair{});
  std::thread writer([&] {
    for (uint64_t i = 1; i <= 20000; ++i) {
      Pair pair;
      for (uint64_t& value : pair.values) {
        value = i;
      }
      shared->Publish(pair);
    }
  });
  uint64_t last = 0;
  while (last < 20000) {
    Pair pair;
    if (!shared->Read(pair)) {
      continue;  // out of tries: allowed while the writer never rests
    }
    for (uint64_t value : pair.values) {
      ASSERT_EQ(value, pair.values[0]);
    }
    ASSERT_GE(pair.values[0], last);
    last = pair.values[0];
  }
  writer.join();
}

TEST(SeqLocked, RecoversFromAWriterThatDiedHalfWay) {
  // What a killed writer leaves: an odd sequence number in front of the words.
  SeqLocked<Pair> shared;
  reinterpret_cast<std::atomic<uint64_t>*>(&shared)->store(7);
  Pair pair;
  EXPECT_FALSE(shared.Read(pair));
  pair.values[3] = 9;
  shared.Publish(pair);
  EXPECT_EQ(shared.sequence() % 2, 0u);
  ASSERT_TRUE(shared.Read(pair));
  EXPECT_EQ(pair.values[3], 9u);
}

TEST(Text, CutsBetweenCharacters) {
  Text<6> text;
  text.Set("abcd\xc3\xa9");  // six bytes and no room for the terminator
  EXPECT_EQ(text.view(), "abcd");
  text.Set("x");
  EXPECT_EQ(text.view(), "x");
  EXPECT_EQ(text.data[5], '\0');
  text.Set("");
  EXPECT_TRUE(text.empty());
}

TEST(ListHash, TellsListsApart) {
  EXPECT_NE(ListHash("ANY 1 (a, b)"), ListHash("ANY 1 (a,b)"));
  EXPECT_NE(ListHash(""), 0u);
}

}  // namespace
}  // namespace pgquorum::shared
