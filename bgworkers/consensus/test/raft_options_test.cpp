#include "bgworkers/consensus/raft_options.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace pgquorum::consensus {
namespace {

using raft_settings::Check;
using raft_settings::Values;

raft::Options OptionsOf(const Values& values) {
  EXPECT_TRUE(Check(values).ok()) << Check(values).message();
  raft::Options options;
  options.id = raft::NodeId(1);
  Apply(values, options);
  EXPECT_TRUE(options.Validate().ok()) << options.Validate().detail();
  return options;
}

TEST(RaftOptions, TheDefaultsAreTheLibrarysTimes) {
  raft::Options options = OptionsOf({});
  EXPECT_EQ(options.tick_ns * options.heartbeat_ticks, 100'000'000U);
  EXPECT_EQ(options.tick_ns * options.election_ticks, 1'000'000'000U);
  EXPECT_EQ(options.tick_ns * options.election_ticks_end(), 2'000'000'000U);
  EXPECT_EQ(options.max_entries_per_append, 100U);
}

// The pairs that users are told to set, for a rack and for regions.
TEST(RaftOptions, TimesAreExact) {
  struct Case {
    int shortest, longest, heartbeat;
  };
  for (const Case& c : {Case{150, 300, 50}, Case{100, 200, 50}, Case{5000, -1, 1000},
                        Case{10'000, -1, 1000}, Case{60'000, 120'000, 30'000}}) {
    Values values{c.shortest, c.longest, c.heartbeat, 1000};
    raft::Options options = OptionsOf(values);
    EXPECT_EQ(options.tick_ns * options.heartbeat_ticks,
              static_cast<uint64_t>(c.heartbeat) * 1'000'000);
    EXPECT_EQ(options.tick_ns * options.election_ticks,
              static_cast<uint64_t>(c.shortest) * 1'000'000);
    EXPECT_EQ(options.tick_ns * options.election_ticks_end(),
              static_cast<uint64_t>(values.longest_ms()) * 1'000'000);
    EXPECT_EQ(options.max_entries_per_append, 1000U);
    EXPECT_LE(options.tick_ns, 25'000'000U);
  }
}

TEST(RaftOptions, EveryPairThatIsAllowedMakesOptionsThatAre) {
  for (int heartbeat = 10; heartbeat <= 30'000; heartbeat = heartbeat * 5 / 4 + 1) {
    for (int shortest : {std::max(100, 2 * heartbeat), 60'000}) {
      for (int longest : {-1, shortest + 1, 120'000}) {
        raft::Options options = OptionsOf({shortest, longest, heartbeat, 1});
        EXPECT_GE(options.tick_ns * options.election_ticks,
                  static_cast<uint64_t>(shortest) * 1'000'000);
      }
    }
  }
}

TEST(RaftOptions, WhatDoesNotFitIsRefusedWithWhatWould) {
  EXPECT_EQ(Check({1000, 1000, 100, 100}).message(),
            "pgquorum.election_timeout_max (1000 ms) must be above pgquorum.election_timeout "
            "(1000 ms)");
  EXPECT_EQ(Check({1000, 900, 100, 100}).sqlstate(), "22023");
  EXPECT_TRUE(Check({1000, 1001, 500, 100}).ok());
  Status late = Check({1000, -1, 501, 100});
  EXPECT_EQ(late.message(),
            "pgquorum.raft_heartbeat_interval (501 ms) must be at most half of "
            "pgquorum.election_timeout (1000 ms)");
  EXPECT_EQ(late.hint(),
            "Set pgquorum.raft_heartbeat_interval to at most 500 ms, or pgquorum.election_timeout "
            "to at least 1002 ms.");
}

}  // namespace
}  // namespace pgquorum::consensus
