// Runs every script of raftlog/testdata; see scenario.h.
#include "raftlog/test/scenario.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace pgquorum::raft::test {
namespace {

const std::filesystem::path kScripts =
    std::filesystem::path(PGQUORUM_SOURCE_DIR) / "raftlog" / "testdata";

class ScenarioFile : public testing::TestWithParam<std::string> {};

TEST_P(ScenarioFile, GivesTheExpectedOutput) {
  std::filesystem::path path = kScripts / GetParam();
  std::ifstream file(path);
  ASSERT_TRUE(file.good()) << path;
  Scenario scenario;
  std::string expected;
  std::string actual;
  std::size_t commands = 0;
  for (std::string line; std::getline(file, line);) {
    expected += line + "\n";
    if (line.starts_with("> ")) {
      ++commands;
      actual += line + "\n" + scenario.Run(line.substr(2));
    } else if (line.empty() || line.starts_with("#")) {
      actual += line + "\n";  // prose stays where it is: before a command, after its output
    }
  }
  EXPECT_GT(commands, 3U);
  if (std::getenv("PGQUORUM_REWRITE_SCENARIOS") != nullptr) {
    std::ofstream(path) << actual;
    return;
  }
  EXPECT_EQ(actual, expected);
}

std::vector<std::string> Files() {
  std::vector<std::string> names;
  for (const auto& item : std::filesystem::directory_iterator(kScripts)) {
    if (item.path().extension() == ".txt") {
      names.push_back(item.path().filename().string());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string TestName(const testing::TestParamInfo<std::string>& info) {
  return info.param.substr(0, info.param.size() - 4);
}

INSTANTIATE_TEST_SUITE_P(All, ScenarioFile, testing::ValuesIn(Files()), TestName);

}  // namespace
}  // namespace pgquorum::raft::test
