#include "extension/identity/files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "base/test/scratch.h"

namespace pgquorum::identity {
namespace {

class Files : public testing::Test {
 protected:
  std::string Path(const char* name) const { return directory_ + "/" + name; }
  static void Put(const std::string& path, const std::string& content) {
    std::ofstream(path, std::ios::binary) << content;
  }
  static std::string Get(const std::string& path) {
    Result<std::optional<std::string>> content = ReadFileIfThere(path, 1 << 20);
    EXPECT_TRUE(content.ok());
    return content.value().value_or("<absent>");
  }
  ScratchDirectory scratch_;
  const std::string directory_ = scratch_.path();
};

TEST_F(Files, WriteReplacesAndLeavesNoTemporaryFile) {
  ASSERT_TRUE(WriteFileDurably(Path("f"), "one").ok());
  ASSERT_TRUE(WriteFileDurably(Path("f"), std::string("t\0wo", 4)).ok());
  EXPECT_EQ(Get(Path("f")), std::string("t\0wo", 4));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory_), {}), 1);
  struct stat info;
  ASSERT_EQ(stat(Path("f").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777u, 0600u);
}

TEST_F(Files, WriteOverLeftoverOfACrash) {
  Put(Path("f.tmp"), "a longer leftover");
  ASSERT_TRUE(WriteFileDurably(Path("f"), "x").ok());
  EXPECT_EQ(Get(Path("f")), "x");
}

TEST_F(Files, ErrorsNameTheFile) {
  const Status status = WriteFileDurably(Path("no/such/f"), "x");
  EXPECT_EQ(status.sqlstate(), "58P01");
  EXPECT_NE(status.message().find("no/such/f"), std::string::npos);
}

TEST_F(Files, ReadIsBoundedAndAbsentIsNoError) {
  Put(Path("f"), std::string(100, 'x'));
  EXPECT_TRUE(ReadFileIfThere(Path("f"), 100).ok());
  EXPECT_EQ(ReadFileIfThere(Path("f"), 99).status().sqlstate(), "58030");
  Result<std::optional<std::string>> absent = ReadFileIfThere(Path("g"), 99);
  ASSERT_TRUE(absent.ok());
  EXPECT_FALSE(absent.value().has_value());
}

TEST_F(Files, RemoveToleratesAbsence) {
  Put(Path("f"), "x");
  EXPECT_TRUE(RemoveFileDurably(Path("f")).ok());
  EXPECT_TRUE(RemoveFileDurably(Path("f")).ok());
  EXPECT_FALSE(std::filesystem::exists(Path("f")));
}

TEST_F(Files, WriteFailureLeavesTheOldContent) {
  Put(Path("f"), "old");
  // The temporary file cannot be made: something else has its name.
  ASSERT_TRUE(std::filesystem::create_directory(Path("f.tmp")));
  EXPECT_EQ(WriteFileDurably(Path("f"), "new").sqlstate(), "58030");
  EXPECT_EQ(Get(Path("f")), "old");
  EXPECT_FALSE(MakeDirectory("/dev/null").ok());
}

}  // namespace
}  // namespace pgquorum::identity
