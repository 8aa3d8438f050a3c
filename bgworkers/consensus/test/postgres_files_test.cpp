#include "bgworkers/consensus/postgres_files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace pgquorum::consensus {
namespace {

class PostgresFiles : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "pgq_files_XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string Path(const char* name) const { return directory_ + "/" + name; }
  static void Put(const std::string& path, const std::string& content) {
    std::ofstream(path, std::ios::binary) << content;
  }
  static std::string Get(const std::string& path) {
    Result<std::optional<std::string>> content = ReadSmallFile(path, 1 << 20);
    EXPECT_TRUE(content.ok());
    return content.value().value_or("<absent>");
  }
  std::string directory_;
};

TEST_F(PostgresFiles, WriteReplacesAndLeavesNoTemporaryFile) {
  ASSERT_TRUE(WriteFileDurably(Path("f"), "one").ok());
  ASSERT_TRUE(WriteFileDurably(Path("f"), std::string("t\0wo", 4)).ok());
  EXPECT_EQ(Get(Path("f")), std::string("t\0wo", 4));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory_), {}), 1);
  struct stat info;
  ASSERT_EQ(stat(Path("f").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777u, 0600u);
}

TEST_F(PostgresFiles, WriteOverLeftoverOfACrash) {
  Put(Path("f.tmp"), "a longer leftover");
  ASSERT_TRUE(WriteFileDurably(Path("f"), "x").ok());
  EXPECT_EQ(Get(Path("f")), "x");
}

TEST_F(PostgresFiles, ErrorsNameTheFile) {
  const Status status = WriteFileDurably(Path("no/such/f"), "x");
  EXPECT_EQ(status.sqlstate(), "58030");
  EXPECT_NE(status.message().find("no/such/f"), std::string::npos);
}

TEST_F(PostgresFiles, ReadIsBoundedAndAbsentIsNoError) {
  Put(Path("f"), std::string(100, 'x'));
  EXPECT_TRUE(ReadSmallFile(Path("f"), 100).ok());
  EXPECT_EQ(ReadSmallFile(Path("f"), 99).status().sqlstate(), "XX001");
  Result<std::optional<std::string>> absent = ReadSmallFile(Path("g"), 99);
  ASSERT_TRUE(absent.ok());
  EXPECT_FALSE(absent.value().has_value());
}

TEST_F(PostgresFiles, RemoveToleratesAbsence) {
  Put(Path("f"), "x");
  EXPECT_TRUE(RemoveFileDurably(Path("f")).ok());
  EXPECT_TRUE(RemoveFileDurably(Path("f")).ok());
  EXPECT_FALSE(std::filesystem::exists(Path("f")));
}

TEST_F(PostgresFiles, PledgeSurvives) {
  const PledgeFile file(Path("pledge"), 42);
  EXPECT_FALSE(file.Read().value().has_value());
  for (const std::string& content :
       {std::string(), std::string("epoch 5"), std::string(60000, 'p')}) {
    ASSERT_TRUE(file.Write(content).ok());
    EXPECT_EQ(file.Read().value(), content);
  }
}

TEST_F(PostgresFiles, PledgeOfAnotherClusterIsRefused) {
  ASSERT_TRUE(PledgeFile(Path("pledge"), 42).Write("epoch 5").ok());
  EXPECT_EQ(PledgeFile(Path("pledge"), 43).Read().status().sqlstate(), "XX001");
}

TEST_F(PostgresFiles, EveryDamageOfAPledgeIsFound) {
  const PledgeFile file(Path("pledge"), 42);
  ASSERT_TRUE(file.Write("epoch 5").ok());
  const std::string good = Get(Path("pledge"));
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    Put(Path("pledge"), bad);
    EXPECT_EQ(file.Read().status().sqlstate(), "XX001") << "bit " << bit;
  }
  for (std::size_t size = 0; size < good.size(); ++size) {
    Put(Path("pledge"), good.substr(0, size));
    EXPECT_EQ(file.Read().status().sqlstate(), "XX001") << "size " << size;
  }
  Put(Path("pledge"), good + "x");
  EXPECT_EQ(file.Read().status().sqlstate(), "XX001");
}

}  // namespace
}  // namespace pgquorum::consensus
