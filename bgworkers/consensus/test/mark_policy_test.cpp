#include "bgworkers/consensus/mark_policy.h"

#include <gtest/gtest.h>

namespace pgquorum::consensus {
namespace {

using failover::History;
using failover::Lsn;
using failover::Position;
using failover::Timeline;

History On(uint32_t timeline, uint64_t end) {
  History history;
  history.timeline = Timeline(timeline);
  history.end = Lsn(end);
  return history;
}

TEST(SurvivingPosition, IsTheEndOfReplayOfAStandby) {
  SurvivingPosition surviving;
  EXPECT_FALSE(surviving.Look(On(0, 0), Lsn(), Lsn()));
  EXPECT_EQ(surviving.Look(On(3, 777), Lsn(), Lsn()), (Position{Timeline(3), Lsn(777)}));
}

TEST(SurvivingPosition, OfAPrimaryIsNeverInsideOfARecord) {
  constexpr uint64_t kBase = 10 * 8192;
  SurvivingPosition surviving;
  // A record ends at 1000; the flush position lies in the middle of one that ends at 3000.
  EXPECT_FALSE(surviving.Look(On(1, 0), Lsn(kBase + 1000), Lsn(kBase + 900)));
  EXPECT_EQ(surviving.Look(On(1, 0), Lsn(kBase + 3000), Lsn(kBase + 2000)),
            (Position{Timeline(1), Lsn(kBase + 1000)}));
  EXPECT_EQ(surviving.Look(On(1, 0), Lsn(kBase + 5000), Lsn(kBase + 2500)),
            (Position{Timeline(1), Lsn(kBase + 1000)}));
  EXPECT_EQ(surviving.Look(On(1, 0), Lsn(kBase + 5000), Lsn(kBase + 3000)),
            (Position{Timeline(1), Lsn(kBase + 3000)}));
}

// The insert position stands behind the header of a page that has no record yet; replay ends in
// front of it.
TEST(SurvivingPosition, DoesNotCountTheHeaderOfAnEmptyPage) {
  for (uint64_t header : {24, 40}) {
    SurvivingPosition surviving;
    surviving.Look(On(1, 0), Lsn(8192 + header), Lsn(8192));
    EXPECT_EQ(surviving.Look(On(1, 0), Lsn(8192 + header), Lsn(8192)),
              (Position{Timeline(1), Lsn(8192)}));
  }
}

TEST(SurvivingPosition, OfANewTimelineWaitsForItsFirstRecord) {
  SurvivingPosition surviving;
  EXPECT_EQ(surviving.Look(On(1, 500), Lsn(), Lsn()), (Position{Timeline(1), Lsn(500)}));
  EXPECT_EQ(surviving.Look(On(2, 500), Lsn(700), Lsn(500)), (Position{Timeline(1), Lsn(500)}));
  EXPECT_EQ(surviving.Look(On(2, 500), Lsn(900), Lsn(700)), (Position{Timeline(2), Lsn(700)}));
  // A demotion to a standby and back forgets what was awaited.
  EXPECT_EQ(surviving.Look(On(2, 600), Lsn(), Lsn()), (Position{Timeline(2), Lsn(600)}));
}

TEST(EndsBelowMark, ComparesEndAndHistory) {
  Position mark{Timeline(2), Lsn(500)};
  EXPECT_FALSE(EndsBelowMark(On(1, 10), Position())) << "nothing is known";
  History reached = On(2, 500);
  reached.ancestors = {{Timeline(1), Lsn(300)}};
  EXPECT_FALSE(EndsBelowMark(reached, mark));
  reached.end = Lsn(499);
  EXPECT_TRUE(EndsBelowMark(reached, mark));
  reached = On(3, 900);
  reached.ancestors = {{Timeline(1), Lsn(300)}, {Timeline(2), Lsn(500)}};
  EXPECT_FALSE(EndsBelowMark(reached, mark));
  reached.ancestors[1].end = Lsn(450);
  EXPECT_TRUE(EndsBelowMark(reached, mark)) << "longer, but it left timeline 2 too early";
  reached.ancestors = {{Timeline(1), Lsn(300)}};
  EXPECT_TRUE(EndsBelowMark(reached, mark)) << "the history of another";
  EXPECT_TRUE(EndsBelowMark(On(1, 9000), mark)) << "from before the switch";
}

TEST(EndsBelowMark, WithoutAHistoryFileTheOrderOfPositionsIsWhatIsLeft) {
  Position mark{Timeline(2), Lsn(500)};
  EXPECT_FALSE(EndsBelowMark(On(3, 400), mark));
  EXPECT_FALSE(EndsBelowMark(On(2, 500), mark));
  EXPECT_TRUE(EndsBelowMark(On(2, 499), mark));
}

}  // namespace
}  // namespace pgquorum::consensus
