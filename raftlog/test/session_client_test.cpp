#include "raftlog/session_client.h"

#include <gtest/gtest.h>

#include <vector>

#include "raftlog/errors.h"

namespace pgquorum::raft {
namespace {

// A cluster reduced to its table of sessions, and a network that loses what the test says.
class SessionClientTest : public testing::Test {
 protected:
  static constexpr uint64_t kPatience = 1000;

  void Repeat(uint64_t later = 50) { client_.Repeat(now_ += later); }

  struct Outcome {
    Status status;
    std::string result;
  };

  void Submit(const std::string& command) {
    client_.Submit(
        command, [this] { return wanted_; },
        [this, command](const Status& status, const std::string& result) {
          EXPECT_FALSE(outcomes_.contains(command)) << command << " is answered twice";
          outcomes_[command] = {status, result};
        });
  }

  void Send(const SessionCommand& command, const SessionClient::Answer& answer) {
    ++sent_;
    if (!refusal_.ok()) {
      answer(refusal_, Index(), {});
      return;
    }
    if (hold_) {
      held_.push_back({command, answer});
      return;
    }
    Deliver(command, answer);
  }

  void Deliver(const SessionCommand& command, const SessionClient::Answer& answer) {
    Entry entry{Term(1), Index(++index_), EntryType::kSession, EncodeSessionCommand(command)};
    SessionOutcome outcome = table_.Apply(entry, [this](std::string_view text) {
      executed_ += text;
      return "did " + std::string(text);
    });
    if (lose_answers_ > 0) {
      --lose_answers_;
      answer(Status::Error(kErrOutcomeUnknown, "the leader is gone"), Index(), {});
    } else {
      answer(outcome.status, entry.index, outcome.answer);
    }
  }

  SessionTable table_{SessionLimits{2, 64}};
  SessionClient client_{kPatience, [this](const SessionCommand& command,
                                          SessionClient::Answer answer) { Send(command, answer); }};
  std::map<std::string, Outcome> outcomes_;
  std::vector<std::pair<SessionCommand, SessionClient::Answer>> held_;
  std::string executed_;
  uint64_t index_ = 0;
  uint64_t now_ = 1;
  Status refusal_;
  int lose_answers_ = 0;
  int sent_ = 0;
  bool hold_ = false;
  bool wanted_ = true;
};

TEST_F(SessionClientTest, ACommandWhoseAnswerIsLostIsExecutedOnceAndAnswered) {
  Submit("a");
  lose_answers_ = 2;
  Submit("b");
  EXPECT_FALSE(outcomes_.contains("b"));
  Repeat();
  Repeat();
  EXPECT_EQ(outcomes_.at("b").result, "did b");
  EXPECT_EQ(executed_, "ab");
  EXPECT_EQ(client_.size(), 0U);
}

TEST_F(SessionClientTest, ALostAnswerToTheOpeningOpensAnother) {
  lose_answers_ = 1;
  Submit("a");
  EXPECT_EQ(executed_, "");
  Repeat();
  EXPECT_EQ(outcomes_.at("a").result, "did a");
}

TEST_F(SessionClientTest, WhatPassesIsWaitedOut) {
  refusal_ = Status::Error(kErrNotLeader, "an election");
  Submit("a");
  Repeat();
  EXPECT_TRUE(outcomes_.empty());
  refusal_ = Status::Ok();
  Repeat();
  EXPECT_EQ(outcomes_.at("a").result, "did a");
}

TEST_F(SessionClientTest, ARefusalThatDoesNotPassIsTheAnswer) {
  refusal_ = Status::Error(kErrTooLarge, "too large");
  Submit("a");
  EXPECT_EQ(outcomes_.at("a").status.sqlstate(), kErrTooLarge);
  refusal_ = Status::Ok();
  Submit("b");
  refusal_ = Status::Error(kErrTooLarge, "too large");
  Submit("c");
  EXPECT_EQ(outcomes_.at("c").status.sqlstate(), kErrTooLarge);
  EXPECT_EQ(executed_, "b");
}

TEST_F(SessionClientTest, NobodyLeadsForTooLong) {
  Submit("opens");
  refusal_ = Status::Error(kErrNoLeader, "nobody leads");
  Submit("a");
  Repeat();
  Repeat(kPatience - 100);
  EXPECT_FALSE(outcomes_.contains("a"));
  Repeat(200);
  EXPECT_EQ(outcomes_.at("a").status.sqlstate(), kErrNoLeader);
  EXPECT_EQ(executed_, "opens");
}

TEST_F(SessionClientTest, TwoShortElectionsAreNotOneLongOne) {
  for (int i = 0; i < 3; ++i) {
    refusal_ = Status::Error(kErrNoLeader, "nobody leads");
    Submit("a" + std::to_string(i));
    Repeat();
    Repeat(kPatience - 100);
    refusal_ = Status::Ok();
    Repeat();
  }
  EXPECT_EQ(executed_, "a0a1a2");
}

// "Nobody leads, nothing was done" would be a lie after a copy that may have been executed.
TEST_F(SessionClientTest, ARefusalOfALaterCopyIsNoAnswer) {
  Submit("a");
  lose_answers_ = 1;
  Submit("b");
  refusal_ = Status::Error(kErrNoLeader, "nobody leads");
  Repeat();
  EXPECT_FALSE(outcomes_.contains("b"));
  refusal_ = Status::Ok();
  Repeat();
  EXPECT_EQ(outcomes_.at("b").result, "did b");
  EXPECT_EQ(executed_, "ab");
}

TEST_F(SessionClientTest, WhatNobodyWaitsForIsNotRepeated) {
  Submit("a");
  lose_answers_ = 1;
  Submit("b");
  wanted_ = false;
  Repeat();
  EXPECT_EQ(outcomes_.at("b").status.sqlstate(), kErrOutcomeUnknown);
  int sent = sent_;
  Repeat();
  EXPECT_EQ(sent_, sent);
}

TEST_F(SessionClientTest, WhatWasNeverSentAndIsNotWantedIsNotExecuted) {
  refusal_ = Status::Error(kErrNotReady, "an election");
  Submit("a");
  wanted_ = false;
  Repeat();
  EXPECT_EQ(outcomes_.at("a").status.sqlstate(), kErrNoLeader);
  EXPECT_EQ(client_.size(), 0U);
  refusal_ = Status::Ok();
  Repeat();
  EXPECT_EQ(executed_, "");
}

TEST_F(SessionClientTest, AnExpiredSessionIsReplacedForWhatWasNotExecuted) {
  Submit("a");
  for (int i = 0; i < 2; ++i) {  // two others: ours is the oldest of three
    Deliver({}, [](const Status&, Index, const std::string&) {});
  }
  Submit("b");
  EXPECT_EQ(outcomes_.at("b").result, "did b");
  EXPECT_EQ(executed_, "ab");
}

TEST_F(SessionClientTest, AnExpiredSessionLeavesOpenWhatMayHaveBeenExecuted) {
  Submit("a");
  lose_answers_ = 1;
  Submit("b");
  for (int i = 0; i < 2; ++i) {
    Deliver({}, [](const Status&, Index, const std::string&) {});
  }
  Repeat();
  EXPECT_EQ(outcomes_.at("b").status.sqlstate(), kErrOutcomeUnknown);
  EXPECT_EQ(executed_, "ab");
}

TEST_F(SessionClientTest, ManyCommandsWaitForANumber) {
  Submit("first");
  hold_ = true;
  for (int i = 0; i < 100; ++i) {
    Submit("<" + std::to_string(i) + ">");
  }
  EXPECT_EQ(held_.size(), SessionClient::kWindow);
  while (!held_.empty()) {
    auto [command, answer] = held_.back();  // the newest first
    held_.pop_back();
    Deliver(command, answer);
  }
  EXPECT_EQ(outcomes_.size(), 101U);
  for (const auto& [command, outcome] : outcomes_) {
    EXPECT_EQ(outcome.result, "did " + command) << outcome.status.ToString();
  }
}

}  // namespace
}  // namespace pgquorum::raft
