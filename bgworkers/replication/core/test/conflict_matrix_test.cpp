// The conflict matrix (testdata/conflicts.txt): two sites in both orders, three sites in all six,
// and an observer in every interleaving, compared with the rows that are written out there.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "bgworkers/replication/core/sim/database.h"
#include "bgworkers/replication/core/sim/script.h"

namespace pgquorum::replication::sim {
namespace {

struct Timed {
  uint64_t time = 0;
  Statement statement;
};
using Rows = std::map<std::string, std::map<std::string, std::string>>;

struct Scenario {
  std::string title;
  std::vector<TableModel> tables;
  std::vector<Timed> setup;
  std::map<char, std::vector<Timed>> sites;
  Rows expected;
  Rows expected_of_three;
  bool has_three = false;
};

std::string Rest(const std::vector<std::string>& words, std::size_t from) {
  std::string text;
  for (std::size_t i = from; i < words.size(); ++i) {
    text += (i == from ? "" : " ") + words[i];
  }
  return text;
}

std::vector<Scenario> Load() {
  std::ifstream in(PGQUORUM_SOURCE_DIR "/bgworkers/replication/core/testdata/conflicts.txt");
  std::vector<Scenario> scenarios;
  for (std::string line; std::getline(in, line);) {
    std::vector<std::string> words = Words(line);
    if (words.empty() || words[0][0] == '#') {
      continue;
    }
    if (words[0] == "scenario") {
      scenarios.emplace_back();
      scenarios.back().title = Rest(words, 1);
      continue;
    }
    Scenario& scenario = scenarios.back();
    std::vector<std::string> tail(words.begin() + 1, words.end());
    if (words[0] == "table") {
      scenario.tables.push_back(ParseTable(tail));
    } else if (words[0] == "expect" || words[0] == "expect3") {
      bool three = words[0] == "expect3";
      scenario.has_three = scenario.has_three || three;
      Rows& rows = three ? scenario.expected_of_three : scenario.expected;
      if (tail[0] != "none") {
        rows[tail[0]][tail[1]] = Rest(tail, 2);
      }
    } else {
      Timed timed{std::stoull(tail[0]), ParseStatement({tail.begin() + 1, tail.end()})};
      (words[0] == "setup" ? scenario.setup : scenario.sites[words[0][0]]).push_back(timed);
    }
  }
  return scenarios;
}

Rows WithoutEmptyTables(Rows rows) {
  std::erase_if(rows, [](const auto& table) { return table.second.empty(); });
  return rows;
}

class Play {
 public:
  explicit Play(const Scenario& scenario) : scenario_(scenario), start_(scenario.tables) {
    for (const Timed& timed : scenario.setup) {
      Run('A', start_, timed);
    }
  }

  // What the site does on its own, and its database afterwards.
  std::vector<Effect> Alone(char site, Database& database) {
    std::vector<Effect> effects;
    for (const Timed& timed : scenario_.sites.at(site)) {
      std::vector<Effect> more = Run(site, database, timed);
      EXPECT_FALSE(more.empty()) << scenario_.title << ": " << ToString(timed.statement);
      effects.insert(effects.end(), more.begin(), more.end());
    }
    return effects;
  }

  void Check(const std::string& sites, const Rows& expected) {
    std::map<char, std::vector<Effect>> effects;
    std::map<char, Database> alone;
    for (char site : sites) {
      Database database = start_;
      effects[site] = Alone(site, database);
      alone.emplace(site, database);
    }
    std::string order = sites;
    do {
      Database observer = start_;
      Deliver(order, effects, observer);
      EXPECT_EQ(WithoutEmptyTables(observer.Shown()), expected)
          << scenario_.title << ": an observer in the order " << order;
      for (char site : sites) {
        Database database = alone.at(site);
        std::string others = order;
        others.erase(others.find(site), 1);
        Deliver(others, effects, database);
        Deliver(others, effects, database);  // repeated: harmless
        EXPECT_EQ(WithoutEmptyTables(database.Shown()), expected)
            << scenario_.title << ": site " << site << " hears " << others;
        database.Compact(Hlc(1000), Hlc(1000));
        EXPECT_EQ(WithoutEmptyTables(database.Shown()), expected)
            << scenario_.title << ": after the clean-up";
      }
    } while (std::next_permutation(order.begin(), order.end()));
    Interleave(sites, effects, expected);
  }

 private:
  std::vector<Effect> Run(char site, Database& database, const Timed& timed) {
    Origin origin{SiteId(static_cast<uint16_t>(site - 'A' + 1)), 1};
    uint64_t& sequence = sequences_[site];
    Dot dot{origin, ++sequence};
    return database.Run(timed.statement, dot, {Hlc(timed.time), origin}, sequence);
  }
  static void Deliver(const std::string& order, const std::map<char, std::vector<Effect>>& effects,
                      Database& database) {
    for (char site : order) {
      for (const Effect& effect : effects.at(site)) {
        database.Apply(effect);
      }
    }
  }
  // Every interleaving that keeps each site's own order.
  void Interleave(const std::string& sites, const std::map<char, std::vector<Effect>>& effects,
                  const Rows& expected) {
    std::string all;
    for (char site : sites) {
      all += std::string(effects.at(site).size(), site);
    }
    std::sort(all.begin(), all.end());
    do {
      Database observer = start_;
      std::map<char, std::size_t> next;
      for (char site : all) {
        observer.Apply(effects.at(site)[next[site]++]);
      }
      ASSERT_EQ(WithoutEmptyTables(observer.Shown()), expected)
          << scenario_.title << ": interleaved " << all;
    } while (std::next_permutation(all.begin(), all.end()));
  }

  const Scenario& scenario_;
  Database start_;
  std::map<char, uint64_t> sequences_;
};

TEST(ConflictMatrix, TwoSitesInBothOrders) {
  for (const Scenario& scenario : Load()) {
    std::string sites = scenario.sites.contains('B') ? "AB" : "A";
    Play(scenario).Check(sites, scenario.expected);
  }
}

TEST(ConflictMatrix, ThreeSitesInAllSix) {
  int played = 0;
  for (const Scenario& scenario : Load()) {
    if (scenario.sites.contains('C')) {
      Play(scenario).Check("ABC",
                           scenario.has_three ? scenario.expected_of_three : scenario.expected);
      ++played;
    }
  }
  EXPECT_EQ(played, 34);
}

TEST(ConflictMatrix, HoldsEveryScenarioOfTheDesign) {
  std::vector<Scenario> scenarios = Load();
  for (int number = 1; number <= 17; ++number) {
    std::string start = std::to_string(number) + " ";
    int count = 0;
    for (const Scenario& one : scenarios) {
      bool wanted = one.title.starts_with(start);
      count += wanted ? 1 : 0;
      EXPECT_TRUE(!wanted || (one.sites.contains('B') && one.sites.contains('C'))) << one.title;
    }
    EXPECT_GT(count, 0) << number;
  }
}

}  // namespace
}  // namespace pgquorum::replication::sim
