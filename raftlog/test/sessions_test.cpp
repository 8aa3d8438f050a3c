#include "raftlog/sessions.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "raftlog/errors.h"

namespace pgquorum::raft {
namespace {

class Sessions : public testing::Test {
 protected:
  SessionOutcome Apply(uint64_t session, uint64_t sequence, std::string command = "",
                       uint64_t answered_below = 0) {
    SessionCommand data{SessionId(session), sequence, answered_below, std::move(command)};
    Entry entry{Term(1), Index(++index_), EntryType::kSession, EncodeSessionCommand(data)};
    return table_.Apply(entry, [this](std::string_view text) {
      executed_ += text;
      return "did " + std::string(text);
    });
  }

  SessionTable table_{SessionLimits{3, 2}};
  uint64_t index_ = 0;
  std::string executed_;
};

TEST_F(Sessions, RepetitionIsAnsweredNotExecuted) {
  uint64_t id = Apply(0, 0).session.value();
  EXPECT_EQ(id, 1U);
  SessionOutcome first = Apply(id, 1, "a");
  EXPECT_TRUE(first.executed);
  SessionOutcome again = Apply(id, 1, "a");
  EXPECT_FALSE(again.executed);
  EXPECT_EQ(again.answer, "did a");
  EXPECT_EQ(executed_, "a");
}

TEST_F(Sessions, AnswersThatTheClientHasAreForgotten) {
  uint64_t id = Apply(0, 0).session.value();
  Apply(id, 1, "a");
  Apply(id, 2, "b", 2);
  SessionOutcome late = Apply(id, 1, "a");
  EXPECT_EQ(late.status.sqlstate(), kErrMalformed);
  EXPECT_EQ(executed_, "ab");
}

TEST_F(Sessions, UnknownSessionsExecuteNothing) {
  EXPECT_EQ(Apply(77, 1, "a").status.sqlstate(), kErrUnknownSession);
  EXPECT_EQ(executed_, "");
}

TEST_F(Sessions, LeastRecentlyUsedExpires) {
  uint64_t a = Apply(0, 0).session.value();
  uint64_t b = Apply(0, 0).session.value();
  Apply(0, 0);
  Apply(a, 1, "x");
  Apply(0, 0);  // one too many: b goes
  EXPECT_EQ(table_.size(), 3U);
  EXPECT_TRUE(Apply(a, 2, "y").status.ok());
  EXPECT_EQ(Apply(b, 1, "z").status.sqlstate(), kErrUnknownSession);
}

TEST_F(Sessions, GivenUpAnswersAreNotExecutedAgain) {
  uint64_t id = Apply(0, 0).session.value();
  for (uint64_t i = 1; i <= 3; ++i) {
    Apply(id, i, "c");
  }
  EXPECT_FALSE(Apply(id, 1, "c").executed);  // only two answers are kept
  EXPECT_EQ(executed_, "ccc");
}

TEST_F(Sessions, SnapshotRoundTrip) {
  uint64_t id = Apply(0, 0).session.value();
  Apply(id, 1, "a");
  SessionTable copy(SessionLimits{3, 2});
  ASSERT_TRUE(copy.Decode(table_.Encode()).ok());
  EXPECT_EQ(copy.Encode(), table_.Encode());
  std::swap(copy, table_);
  EXPECT_FALSE(Apply(id, 1, "a").executed);
}

TEST_F(Sessions, DamagedSnapshotsAreRefused) {
  uint64_t id = Apply(0, 0).session.value();
  Apply(id, 1, "a");
  Apply(0, 0);
  std::string good = table_.Encode();
  Random random(5);
  int refused = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string bad = good;
    bad[random.Below(bad.size())] = static_cast<char>(random.Next());
    bad.resize(random.Below(bad.size() + 1));
    SessionTable table;
    refused += table.Decode(bad).ok() ? 0 : 1;
  }
  EXPECT_GT(refused, 19'000);
  for (std::size_t length = 0; length < good.size(); ++length) {
    SessionTable table;
    EXPECT_FALSE(table.Decode(std::string_view(good).substr(0, length)).ok());
  }
}

}  // namespace
}  // namespace pgquorum::raft
