#include "raftlog/force.h"

#include <gtest/gtest.h>

#include "raftlog/codec.h"
#include "raftlog/errors.h"

namespace pgquorum::raft {
namespace {

Configuration Voters(std::vector<NodeId> ids) {
  Configuration configuration;
  configuration.voters = std::move(ids);
  return configuration;
}

// Nodes 1 to 3; the log ends at index 9 of term 4, the node has seen term 6.
RecoveredState Found() {
  RecoveredState found;
  found.hard_state = {Term(6), NodeId(2), Index(8)};
  found.last = Index(9);
  found.term_starts = {{Index(1), Term(1)}, {Index(5), Term(4)}};
  found.config_entries = {{Term(1), Index(1), EntryType::kConfig,
                           EncodeConfigEntry({Voters({NodeId(1), NodeId(2), NodeId(3)}), ""})}};
  return found;
}

std::string Refusal(const RecoveredState& found, NodeId self, const ForcedMembership& forced) {
  Result<Bootstrap> write = ForceMembership(found, self, forced);
  return write.ok() ? "" : write.status().sqlstate();
}

TEST(ForceMembership, WritesOneEntryBehindTheLogInATermOfItsOwn) {
  ForcedMembership forced{Voters({NodeId(1)}), "decision 1"};
  Result<Bootstrap> write = ForceMembership(Found(), NodeId(1), forced);
  ASSERT_TRUE(write.ok()) << write.status().ToString();
  EXPECT_EQ(write.value().entry.index, Index(10));
  EXPECT_EQ(write.value().entry.term, write.value().hard_state.term);
  EXPECT_GT(write.value().hard_state.term, Term(1'000'000));
  EXPECT_EQ(write.value().hard_state.vote, NodeId(1));
  EXPECT_EQ(write.value().hard_state.commit, Index(8))
      << "committed by its own leader, not by this";
  Result<ConfigEntry> entry = DecodeConfigEntry(write.value().entry.data);
  ASSERT_TRUE(entry.ok());
  EXPECT_EQ(entry.value().configuration, forced.configuration);
  EXPECT_EQ(entry.value().context, "decision 1");
  Result<Bootstrap> other =
      ForceMembership(Found(), NodeId(1), {forced.configuration, "decision 2"});
  ASSERT_TRUE(other.ok());
  EXPECT_NE(other.value().hard_state.term, write.value().hard_state.term);
}

TEST(ForceMembership, AWitnessStaysOne) {
  RecoveredState found = Found();
  Configuration present = Voters({NodeId(1), NodeId(2), NodeId(3)});
  present.witnesses = {NodeId(2), NodeId(3)};
  found.config_entries = {
      {Term(1), Index(1), EntryType::kConfig, EncodeConfigEntry({present, ""})}};
  Result<Bootstrap> write =
      ForceMembership(found, NodeId(1), {Voters({NodeId(1), NodeId(3)}), "decision 1"});
  ASSERT_TRUE(write.ok());
  EXPECT_EQ(DecodeConfigEntry(write.value().entry.data).value().configuration.witnesses,
            (std::vector<NodeId>{NodeId(3)}));
}

TEST(ForceMembership, IsCarriedOutOnce) {
  RecoveredState found = Found();
  ForcedMembership forced{Voters({NodeId(1)}), "decision 1"};
  EXPECT_FALSE(CarriedOut(found, forced));
  found.config_entries.push_back(ForceMembership(found, NodeId(1), forced).value().entry);
  EXPECT_TRUE(CarriedOut(found, forced));
  EXPECT_FALSE(CarriedOut(found, {forced.configuration, "decision 2"}));
}

TEST(ForceMembership, RefusesWhatCannotBeMeant) {
  EXPECT_EQ(Refusal(Found(), NodeId(1), {Voters({NodeId(2)}), "x"}), kErrBadChange);
  EXPECT_EQ(Refusal(Found(), NodeId(1), {Voters({NodeId(1), NodeId(7)}), "x"}), kErrBadChange);
  EXPECT_EQ(Refusal(Found(), NodeId(1), {Voters({NodeId(1), NodeId(2), NodeId(3)}), "x"}),
            kErrBadChange);
  EXPECT_EQ(Refusal(Found(), NodeId(7), {Voters({NodeId(7)}), "x"}), kErrBadChange);
  EXPECT_EQ(Refusal(Found(), NodeId(1), {Configuration(), "x"}), kErrBadChange);
  RecoveredState damaged = Found();
  damaged.refill_term = Term(4);
  EXPECT_EQ(Refusal(damaged, NodeId(1), {Voters({NodeId(1)}), "x"}), kErrBadChange);
}

TEST(ForceMembership, KnowsTheConfigurationOfASnapshot) {
  RecoveredState found = Found();
  found.config_entries.clear();
  found.snapshot.index = Index(9);
  found.snapshot.term = Term(4);
  found.snapshot.configuration = Voters({NodeId(1), NodeId(2)});
  found.term_starts.clear();
  EXPECT_EQ(Refusal(found, NodeId(1), {Voters({NodeId(1)}), "x"}), "");
  EXPECT_EQ(Refusal(found, NodeId(1), {Voters({NodeId(1), NodeId(3)}), "x"}), kErrBadChange);
}

}  // namespace
}  // namespace pgquorum::raft
