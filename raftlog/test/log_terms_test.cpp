#include "raftlog/log_terms.h"

#include <gtest/gtest.h>

namespace pgquorum::raft {
namespace {

// Indexes 3 … 8 with terms 2 2 | 4 4 4 | 7; position 2 of term 1 is known.
LogTerms Example() {
  LogTerms terms;
  terms.Reset(Index(2), Term(1));
  for (uint64_t term : {2, 2, 4, 4, 4, 7}) {
    terms.Append(Term(term));
  }
  return terms;
}

TEST(LogTerms, KnowsTheTermOfEachIndexAndOfTheBase) {
  LogTerms terms = Example();
  const uint64_t expected[] = {0, 0, 1, 2, 2, 4, 4, 4, 7, 0};
  for (uint64_t i = 0; i < std::size(expected); ++i) {
    EXPECT_EQ(terms.At(Index(i)), Term(expected[i])) << i;
  }
  EXPECT_EQ(terms.starts().size(), 3U);
}

TEST(LogTerms, LastIndexWithTermAtMostSkipsWholeTerms) {
  LogTerms terms = Example();
  EXPECT_EQ(terms.LastIndexWithTermAtMost(Index(8), Term(6)), Index(7));
  EXPECT_EQ(terms.LastIndexWithTermAtMost(Index(7), Term(3)), Index(4));
  EXPECT_EQ(terms.LastIndexWithTermAtMost(Index(99), Term(9)), Index(8));
  EXPECT_EQ(terms.LastIndexWithTermAtMost(Index(8), Term(1)), Index(2));  // the base
  EXPECT_EQ(terms.LastIndexWithTermAtMost(Index(8), Term(0)), Index(0));
}

TEST(LogTerms, TruncatedAndRewritten) {
  LogTerms terms = Example();
  terms.TruncateFrom(Index(6));
  EXPECT_EQ(terms.last(), Index(5));
  EXPECT_EQ(terms.last_term(), Term(4));
  terms.Append(Term(5));
  EXPECT_EQ(terms.At(Index(6)), Term(5));
  terms.TruncateFrom(Index(3));
  EXPECT_TRUE(terms.empty());
  EXPECT_EQ(terms.last_term(), Term(1));
}

TEST(LogTerms, CompactedInTheMiddleOfATermAndWhole) {
  LogTerms terms = Example();
  terms.CompactTo(Index(6));
  EXPECT_EQ(terms.first(), Index(7));
  EXPECT_EQ(terms.At(Index(6)), Term(4));
  EXPECT_EQ(terms.At(Index(5)), Term(0));
  EXPECT_EQ(terms.At(Index(7)), Term(4));
  terms.CompactTo(Index(3));  // long gone
  EXPECT_EQ(terms.first(), Index(7));
  terms.CompactTo(Index(8));
  EXPECT_TRUE(terms.empty());
  EXPECT_EQ(terms.last_term(), Term(7));
  terms.Append(Term(7));
  EXPECT_EQ(terms.last(), Index(9));
}

}  // namespace
}  // namespace pgquorum::raft
