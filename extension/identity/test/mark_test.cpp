#include "extension/identity/mark.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "extension/identity/files.h"
#include "extension/identity/identity.h"

namespace pgquorum::identity {
namespace {

namespace fs = std::filesystem;

TEST(Mark, ParsesWhatItFormats) {
  for (const Mark& mark : {Mark{}, Mark{7, 3, 0x1234567890abcdef, true, "why\nso"}}) {
    Result<Mark> parsed = Mark::Parse(mark.Format());
    ASSERT_TRUE(parsed.ok()) << parsed.status().ToString();
    EXPECT_EQ(parsed.value(), mark);
  }
  Result<Starts> starts = Starts::Parse(Starts{12}.Format());
  ASSERT_TRUE(starts.ok());
  EXPECT_EQ(starts.value().count, 12u);
}

TEST(Mark, RefusesDamageAndStrangers) {
  std::string text = Mark{7, 3, 9, false, ""}.Format();
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::string damaged = text;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x04);
    EXPECT_FALSE(Mark::Parse(damaged).ok()) << i;
    EXPECT_FALSE(Mark::Parse(text.substr(0, i)).ok()) << i;
  }
  EXPECT_FALSE(Mark::Parse(Starts{1}.Format()).ok());
  EXPECT_FALSE(Starts::Parse(text).ok());
}

TEST(Mark, TellsACopyByTheCountOfStarts) {
  Mark mark;
  mark.starts = 5;
  EXPECT_EQ(WhyRestored(mark, 5, false), "");
  EXPECT_EQ(WhyRestored(mark, 6, false), "") << "a crash between the two files";
  EXPECT_NE(WhyRestored(mark, 4, false), "");
  EXPECT_NE(WhyRestored(mark, std::nullopt, false), "");
  EXPECT_NE(WhyRestored(mark, 5, true), "");
  mark.replaced = true;
  EXPECT_EQ(WhyRestored(mark, 1, false), "") << "the count is another node's";
  EXPECT_EQ(WhyRestored(std::nullopt, std::nullopt, false), "") << "never opened by this node";
  EXPECT_NE(WhyRestored(std::nullopt, std::nullopt, true), "");
  mark.restored = "before";
  EXPECT_EQ(WhyRestored(mark, 5, false), "before") << "what gave it away may be gone";
}

class MarkFiles : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/pgquorum-mark-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    root_ = name;
    data_ = root_ + "/data";
    state_ = root_ + "/state";
    fs::create_directories(data_);
    fs::create_directories(state_);
  }
  void TearDown() override { fs::remove_all(root_); }
  std::string Start(bool label = false) {
    Result<Mark> mark = CountStart(data_, state_, label);
    return mark.ok() ? mark.value().restored : "error: " + mark.status().ToString();
  }
  void Copy(const std::string& from, const std::string& to) {
    fs::remove_all(to);
    fs::copy(from, to, fs::copy_options::recursive);
  }

  std::string root_, data_, state_;
};

TEST_F(MarkFiles, ADirectoryThatStaysIsNeverTakenForAnother) {
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(Start(), "") << i;
  }
}

TEST_F(MarkFiles, ACrashBetweenTheTwoFilesIsNone) {
  EXPECT_EQ(Start(), "");
  ASSERT_TRUE(CopyFileDurably(state_ + "/mark", state_ + "/before").ok());
  EXPECT_EQ(Start(), "");
  // As if the second write of that start had never happened.
  ASSERT_EQ(::rename((state_ + "/before").c_str(), (state_ + "/mark").c_str()), 0);
  EXPECT_EQ(Start(), "");
  EXPECT_EQ(Start(), "");
}

TEST_F(MarkFiles, ACopyFromBeforeTheLastStartIsRecognisedAndStaysSo) {
  EXPECT_EQ(Start(), "");
  Copy(data_, root_ + "/copy");
  EXPECT_EQ(Start(), "");
  Copy(root_ + "/copy", data_);
  EXPECT_NE(Start(), "");
  EXPECT_NE(Start(), "") << "its own count is right by now";
}

TEST_F(MarkFiles, ACopyOfTheSameStopIsTheDirectoryItself) {
  EXPECT_EQ(Start(), "");
  Copy(data_, root_ + "/copy");
  Copy(root_ + "/copy", data_);
  EXPECT_EQ(Start(), "");
}

TEST_F(MarkFiles, ARepairStartsAnewAndOlderCopiesStayOld) {
  EXPECT_EQ(Start(), "");
  EXPECT_EQ(Start(), "");
  Copy(data_, root_ + "/copy");
  // Another node's directory, with its count.
  ASSERT_TRUE(Save(data_ + "/" + kStartsFile, Starts{1}).ok());
  ASSERT_TRUE(NoteReplaced(state_).ok());
  EXPECT_EQ(Start(), "");
  EXPECT_EQ(Start(), "");
  Copy(root_ + "/copy", data_);
  EXPECT_NE(Start(), "");
}

TEST_F(MarkFiles, ARepairEndsWhatARestoredDirectoryWas) {
  EXPECT_NE(Start(true), "");
  EXPECT_NE(Start(), "") << "recovery has consumed the label, nothing else has changed";
  ASSERT_TRUE(NoteReplaced(state_).ok());
  EXPECT_EQ(Start(), "");
}

TEST_F(MarkFiles, ADamagedMarkIsNoMark) {
  EXPECT_EQ(Start(), "");
  ASSERT_TRUE(WriteFileDurably(state_ + "/mark", "garbage").ok());
  EXPECT_NE(Start(), "");
  ASSERT_TRUE(WriteFileDurably(data_ + "/pgquorum.starts", "garbage").ok());
  EXPECT_NE(Start(), "");
}

TEST_F(MarkFiles, WhatCannotBeWrittenIsAnError) {
  EXPECT_EQ(Start(), "");
  fs::remove_all(state_);
  EXPECT_EQ(Start().substr(0, 6), "error:");
}

}  // namespace
}  // namespace pgquorum::identity
