#include "extension/cli/config_text.h"

#include <gtest/gtest.h>

namespace pgquorum::cli {
namespace {

const std::string kOwn = "a = 1\n#b\n";

TEST(SetBlock, AddsAtTheBottomAndKeepsTheRest) {
  const std::string text = SetBlock(kOwn, {"x = 'y'"}, BlockPlace::kBottom);
  EXPECT_EQ(text, kOwn + kBlockBegin + "\nx = 'y'\n" + kBlockEnd + "\n");
  EXPECT_TRUE(HasBlock(text));
  EXPECT_FALSE(HasBlock(kOwn));
}

TEST(SetBlock, ReplacesAndRemoves) {
  const std::string text = SetBlock(kOwn, {"x = 'y'"}, BlockPlace::kTop);
  EXPECT_EQ(text.find(kBlockBegin), 0u);
  EXPECT_EQ(SetBlock(text, {"x = 'y'"}, BlockPlace::kTop), text)
      << "the same again changes nothing";
  EXPECT_EQ(SetBlock(text, {}, BlockPlace::kTop), kOwn);
}

TEST(SetBlock, EndsAnUnfinishedLastLine) {
  EXPECT_EQ(SetBlock("a = 1", {"b"}, BlockPlace::kBottom).find("a = 1\n# BEGIN"), 0u);
}

TEST(SetBlock, ABlockWithoutEndReachesToTheEnd) {
  EXPECT_EQ(SetBlock(kOwn + kBlockBegin + "\nhalf", {}, BlockPlace::kBottom), kOwn);
}

TEST(QuoteSetting, DoublesQuotesAndBackslashes) {
  EXPECT_EQ(QuoteSetting("it's \\ so"), "'it''s \\\\ so'");
}

TEST(MoveInBlock, MovesPathsOfTheBlockAlone) {
  const std::string outside = "data_directory = '/a/b'\n";
  const std::string text =
      outside + SetBlock("",
                         {"state = '/a/b'", "key = '/a/b/pki/k''y'", "x = '/a/bc'", "y = '/z/a/b'"},
                         BlockPlace::kBottom);
  const std::string moved =
      outside +
      SetBlock("", {"state = '/c''s'", "key = '/c''s/pki/k''y'", "x = '/a/bc'", "y = '/z/a/b'"},
               BlockPlace::kBottom);
  EXPECT_EQ(MoveInBlock(text, "/a/b", "/c's"), moved);
  EXPECT_EQ(MoveInBlock(moved, "/a/b", "/c's"), moved);
}

TEST(RemoveSetting, MatchesTheWholeNameInAnyCase) {
  std::string text = "port = 1\n PORT 2\nportal = 3\n#port = 4\n";
  EXPECT_TRUE(RemoveSetting(text, "port"));
  EXPECT_EQ(text, "portal = 3\n#port = 4\n");
  EXPECT_FALSE(RemoveSetting(text, "port"));
}

TEST(AddLibrary, KeepsWhatIsThere) {
  EXPECT_EQ(AddLibrary("", "pgquorum"), "pgquorum");
  EXPECT_EQ(AddLibrary("pg_stat_statements", "pgquorum"), "pg_stat_statements, pgquorum");
  EXPECT_EQ(AddLibrary("pgquorum, x", "pgquorum"), "pgquorum, x");
  EXPECT_EQ(AddLibrary("x,\"pgquorum\"", "pgquorum"), "x,\"pgquorum\"");
  EXPECT_EQ(AddLibrary("pgquorum_other", "pgquorum"), "pgquorum_other, pgquorum");
}

TEST(QuoteConninfo, EscapesForLibpq) {
  EXPECT_EQ(QuoteConninfo("a'b\\c"), "'a\\'b\\\\c'");
}

}  // namespace
}  // namespace pgquorum::cli
