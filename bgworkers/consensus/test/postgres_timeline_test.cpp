#include "bgworkers/consensus/postgres_timeline.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/test/scratch.h"

namespace pgquorum::consensus {
namespace {

using failover::Lsn;
using failover::Timeline;
using Ids = std::vector<uint32_t>;

class PostgresTimeline : public testing::Test {
 protected:
  PostgresTimeline() { std::filesystem::create_directory(data_ + "/pg_wal"); }
  void Put(const std::string& name, const std::string& content) const {
    std::ofstream(data_ + "/pg_wal/" + name, std::ios::binary) << content;
  }
  // A real history file of `id` that branched off `parent`.
  void Real(uint32_t id, uint32_t parent) const {
    char name[32];
    std::snprintf(name, sizeof name, "%08X.history", id);
    Put(name, std::to_string(parent) + "\t0/3000000\tno recovery target specified\n");
  }
  Ids Placeholders() const { return ListTimelineFiles(data_).value().placeholders; }
  Ids RealOnes() const { return ListTimelineFiles(data_).value().real; }
  ScratchDirectory scratch_;
  const std::string data_ = scratch_.path();
};

TEST_F(PostgresTimeline, ParsesWhatPostgresWrites) {
  const auto parsed = ParseTimelineHistory(
      Timeline(9),
      "1\t0/A884348\tno recovery target specified\n\n7\t1F/B0000028\tbefore 2000-01-01\n");
  ASSERT_TRUE(parsed.ok());
  ASSERT_EQ(parsed.value().size(), 2u);
  EXPECT_EQ(parsed.value()[0], (failover::TimelineSwitch{Timeline(1), Lsn(0xA884348)}));
  EXPECT_EQ(parsed.value()[1], (failover::TimelineSwitch{Timeline(7), Lsn(0x1FB0000028)}));
}

TEST_F(PostgresTimeline, CommentsAndMissingLastNewline) {
  const auto parsed = ParseTimelineHistory(Timeline(3), "  # comment\n \n2\t0/10\tx");
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed.value().size(), 1u);
}

TEST_F(PostgresTimeline, RefusesWhatPostgresRefuses) {
  for (const char* text :
       {"", "# only a comment\n", "x\t0/1\ty\n", "1\t0:1\ty\n", "1\n", "2\t0/1\ta\n1\t0/2\tb\n",
        "2\t0/1\ta\n2\t0/2\tb\n", "5\t0/1\ta\n", "6\t0/1\ta\n"}) {
    EXPECT_EQ(ParseTimelineHistory(Timeline(5), text).status().sqlstate(), "XX001") << text;
  }
}

TEST_F(PostgresTimeline, FirstTimelineNeedsNoFile) {
  EXPECT_TRUE(ReadTimelineHistory(data_, Timeline(1)).value().empty());
  EXPECT_EQ(ReadTimelineHistory(data_, Timeline(2)).status().sqlstate(), "58P01");
}

TEST_F(PostgresTimeline, OtherFilesAreIgnored) {
  Real(0xA0, 1);
  Put("0000000a.history", "");  // lower case is not PostgreSQL's
  Put("0000000B.history.tmp", "");
  Put("000000010000000000000003", "");
  EXPECT_EQ(RealOnes(), Ids{0xA0});
  EXPECT_EQ(Placeholders(), Ids{});
}

TEST_F(PostgresTimeline, PlacesTheGap) {
  ASSERT_TRUE(PlaceTimelinePlaceholders(data_, Timeline(1), Timeline(5)).ok());
  EXPECT_EQ(Placeholders(), (Ids{2, 3, 4}));
  // Again, as after a failed attempt; and with a real one in between.
  ASSERT_TRUE(PlaceTimelinePlaceholders(data_, Timeline(1), Timeline(5)).ok());
  Real(5, 1);
  ASSERT_TRUE(PlaceTimelinePlaceholders(data_, Timeline(1), Timeline(8)).ok());
  EXPECT_EQ(Placeholders(), (Ids{2, 3, 4, 6, 7}));
  EXPECT_EQ(RealOnes(), Ids{5});
}

TEST_F(PostgresTimeline, TheNextIdNeedsNone) {
  ASSERT_TRUE(PlaceTimelinePlaceholders(data_, Timeline(1), Timeline(2)).ok());
  EXPECT_EQ(Placeholders(), Ids{});
}

TEST_F(PostgresTimeline, RefusesWhatCannotComeOut) {
  EXPECT_EQ(PlaceTimelinePlaceholders(data_, Timeline(3), Timeline(3)).sqlstate(), "55000");
  EXPECT_EQ(PlaceTimelinePlaceholders(data_, Timeline(), Timeline(3)).sqlstate(), "55000");
  Real(7, 1);
  EXPECT_EQ(PlaceTimelinePlaceholders(data_, Timeline(1), Timeline(7)).sqlstate(), "55000");
  EXPECT_EQ(PlaceTimelinePlaceholders(data_, Timeline(1), Timeline(6)).sqlstate(), "55000");
  EXPECT_EQ(Placeholders(), Ids{});
  EXPECT_EQ(PlaceTimelinePlaceholders(data_, Timeline(1), Timeline(1'000'000)).sqlstate(), "53400");
}

TEST_F(PostgresTimeline, NormalizeKeepsBelowAndRemovesAbove) {
  ASSERT_TRUE(PlaceTimelinePlaceholders(data_, Timeline(1), Timeline(7)).ok());
  Real(7, 1);
  Put("00000008.history", "# nothing\n");
  Put("00000009.history", "");
  EXPECT_EQ(NormalizeTimelines(data_, Timeline(1)).value(), 2);
  EXPECT_EQ(Placeholders(), (Ids{2, 3, 4, 5, 6}));
  EXPECT_EQ(NormalizeTimelines(data_, Timeline(1)).value(), 0);
}

TEST_F(PostgresTimeline, NormalizeWithoutAnyRealOne) {
  ASSERT_TRUE(PlaceTimelinePlaceholders(data_, Timeline(1), Timeline(4)).ok());
  EXPECT_EQ(NormalizeTimelines(data_, Timeline(1)).value(), 2);
  EXPECT_EQ(Placeholders(), Ids{});
}

TEST_F(PostgresTimeline, NormalizeFillsTowardsADescendantOnly) {
  Real(5, 1);
  EXPECT_EQ(NormalizeTimelines(data_, Timeline(1)).value(), 3);
  EXPECT_EQ(Placeholders(), (Ids{2, 3, 4}));
  Real(9, 5);  // not a descendant of 6
  EXPECT_EQ(NormalizeTimelines(data_, Timeline(6)).value(), 0);
  EXPECT_EQ(Placeholders(), (Ids{2, 3, 4}));
}

TEST_F(PostgresTimeline, CompletesWhatACloneLacks) {
  const std::vector<failover::TimelineSwitch> ancestors = {{Timeline(1), Lsn(0x3000000)},
                                                           {Timeline(4), Lsn(0x15000A8)},
                                                           {Timeline(6), Lsn(0x7FF000000A8)}};
  Put("00000008.history", "1\t0/3000000\tx\n4\t0/15000A8\tx\n6\t7FF/A8\tx\n");
  Put("00000006.history", "");  // a placeholder for what is an ancestor after all
  EXPECT_EQ(CompleteTimelines(data_, Timeline(8), ancestors).value(), 6);
  EXPECT_EQ(RealOnes(), (Ids{4, 6, 8}));
  EXPECT_EQ(Placeholders(), (Ids{2, 3, 5, 7}));
  for (std::size_t i = 1; i < ancestors.size(); ++i) {
    const auto read = ReadTimelineHistory(data_, ancestors[i].timeline);
    ASSERT_TRUE(read.ok());
    EXPECT_EQ(read.value(),
              std::vector(ancestors.begin(), ancestors.begin() + static_cast<long>(i)));
  }
  EXPECT_EQ(CompleteTimelines(data_, Timeline(8), ancestors).value(), 0);
}

TEST_F(PostgresTimeline, CompletingNeverTouchesARealFile) {
  Real(3, 2);
  EXPECT_EQ(CompleteTimelines(data_, Timeline(5), {{Timeline(1), Lsn(9)}, {Timeline(3), Lsn(10)}})
                .value(),
            2);
  EXPECT_EQ(ReadTimelineHistory(data_, Timeline(3)).value()[0].timeline, Timeline(2));
  EXPECT_EQ(CompleteTimelines(data_, Timeline(1), {}).value(), 0);
}

TEST_F(PostgresTimeline, MissingDirectoryIsAnError) {
  EXPECT_EQ(ListTimelineFiles(data_ + "/none").status().sqlstate(), "58030");
}

}  // namespace
}  // namespace pgquorum::consensus
