#include "bgworkers/consensus/pledge_file.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "base/test/scratch.h"
#include "extension/identity/files.h"

namespace pgquorum::consensus {
namespace {

class PledgeFiles : public testing::Test {
 protected:
  std::string Path(const char* name) const { return directory_ + "/" + name; }
  static void Put(const std::string& path, const std::string& content) {
    std::ofstream(path, std::ios::binary) << content;
  }
  static std::string Get(const std::string& path) {
    Result<std::optional<std::string>> content = identity::ReadFileIfThere(path, 1 << 20);
    EXPECT_TRUE(content.ok());
    return content.value().value_or("<absent>");
  }
  ScratchDirectory scratch_;
  const std::string directory_ = scratch_.path();
};

TEST_F(PledgeFiles, PledgeSurvives) {
  const PledgeFile file(Path("pledge"), 42);
  EXPECT_FALSE(file.Read().value().has_value());
  for (const std::string& content :
       {std::string(), std::string("epoch 5"), std::string(60000, 'p')}) {
    ASSERT_TRUE(file.Write(content).ok());
    EXPECT_EQ(file.Read().value(), content);
  }
}

TEST_F(PledgeFiles, PledgeOfAnotherClusterIsRefused) {
  ASSERT_TRUE(PledgeFile(Path("pledge"), 42).Write("epoch 5").ok());
  EXPECT_EQ(PledgeFile(Path("pledge"), 43).Read().status().sqlstate(), "XX001");
}

TEST_F(PledgeFiles, EveryDamageOfAPledgeIsFound) {
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
