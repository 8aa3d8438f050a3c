// Random statements at three sites, for every strategy; then every site and several observers get
// all changes in random orders, with repetition, with clean-ups between. All must show the same,
// and hold the same states.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/random.h"
#include "bgworkers/replication/core/sim/database.h"
#include "bgworkers/replication/core/sim/script.h"

namespace pgquorum::replication::sim {
namespace {

constexpr const char* kTables[] = {
    "t a b u n:pn_counter s:or_set unique=u key_update=split",
    "t a b u n:pn_counter s:or_set column_level=on key_update=split",
    "t a b u n:pn_counter s:or_set column_level=on check=sum",
    "t a b u n:pn_counter s:or_set unique=u unique_rule=null",
    "t a b u n:pn_counter s:or_set strategy=first_write_wins key_update=split",
    "t a b u n:pn_counter s:or_set strategy=first_write_wins column_level=on",
    "t a b u n:pn_counter s:or_set strategy=primary primary=2 unique=u",
    "t a b u n:pn_counter s:or_set strategy=vector_clock column_level=on check=sum",
    "t a b u n:pn_counter s:or_set strategy=multi_value",
    "t a b u n:pn_counter s:or_set strategy=custom",
};

struct Site {
  Database database;
  Origin origin;
  uint64_t sequence = 0;
};

Statement RandomStatement(Random& random) {
  Statement statement;
  constexpr Statement::Kind kKinds[] = {Statement::Kind::kInsert, Statement::Kind::kInsert,
                                        Statement::Kind::kUpdate, Statement::Kind::kUpdate,
                                        Statement::Kind::kUpdate, Statement::Kind::kDelete,
                                        Statement::Kind::kRekey};
  statement.kind = kKinds[random.Below(7)];
  if (random.Chance(1, 40)) {
    statement.kind = Statement::Kind::kTruncate;
  }
  statement.table = "t";
  statement.key = std::to_string(random.Below(3));
  statement.new_key = std::to_string(3 + random.Below(2));
  bool insert = statement.kind == Statement::Kind::kInsert;
  for (const char* column : {"a", "b", "u"}) {
    if (insert || random.Chance(1, 2)) {
      statement.assign[column] = std::to_string(random.Below(5));
    }
  }
  if (random.Chance(1, 2)) {
    statement.add["n"] = std::to_string(random.Below(9));
  }
  if (random.Chance(1, 3)) {
    (random.Chance(1, 2) ? statement.add : statement.remove)["s"] = random.Chance(1, 2) ? "x" : "y";
  }
  return statement;
}

class Strategies : public testing::TestWithParam<const char*> {};

TEST_P(Strategies, AnyOrderEndsInTheSame) {
  for (uint64_t seed = 1; seed <= 120; ++seed) {
    Random random(seed);
    std::vector<TableModel> tables = {ParseTable(Words(GetParam()))};
    std::vector<Site> sites;
    for (uint16_t i = 1; i <= 3; ++i) {
      sites.push_back({Database(tables), {SiteId(i), 1}, 0});
    }
    std::vector<Effect> sent;
    std::vector<Effect> own;
    for (uint64_t time = 1; time <= 60; ++time) {
      Site& site = sites[random.Below(3)];
      if (!sent.empty() && random.Chance(1, 2)) {
        site.database.Apply(sent[random.Below(sent.size())]);
        continue;
      }
      // A site's readings are above all it has seen; two sites may draw the same.
      Hlc now = site.database.HighestStampSeen().hlc + 1 + random.Below(3);
      Dot dot{site.origin, ++site.sequence};
      auto effects =
          site.database.Run(RandomStatement(random), dot, {now, site.origin}, site.sequence);
      sent.insert(sent.end(), effects.begin(), effects.end());
    }
    std::vector<Database> all = {Database(tables), Database(tables)};
    for (const Site& site : sites) {
      all.push_back(site.database);
    }
    for (Database& database : all) {
      for (std::size_t i = sent.size(); i > 1; --i) {
        std::swap(sent[i - 1], sent[random.Below(i)]);
      }
      for (const Effect& effect : sent) {
        database.Apply(effect);
        if (random.Chance(1, 4)) {
          database.Apply(sent[random.Below(sent.size())]);
        }
      }
    }
    for (Database& database : all) {
      ASSERT_EQ(database.Shown(), all[0].Shown()) << GetParam() << ", seed " << seed;
    }
    for (Database& database : all) {
      database.Compact(Hlc(1'000'000), Hlc(1'000'000));
      ASSERT_EQ(database.Shown(), all[0].Shown()) << "clean-up, seed " << seed;
      ASSERT_EQ(database.states(), all[0].states()) << "clean-up, seed " << seed;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Strategies, testing::ValuesIn(kTables));

}  // namespace
}  // namespace pgquorum::replication::sim
