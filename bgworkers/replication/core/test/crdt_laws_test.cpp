// The laws of merging, for each type, over random histories of four sites: idempotent, commutative,
// associative, monotone; and against models that remember every operation.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "bgworkers/replication/core/crdt/counter.h"
#include "bgworkers/replication/core/crdt/registers.h"
#include "bgworkers/replication/core/crdt/registry.h"
#include "bgworkers/replication/core/crdt/sets.h"

namespace pgquorum::crdt {
namespace {

using replication::Dot;
using replication::Hlc;
using replication::Origin;
using replication::SiteId;

constexpr const char* kWords[] = {"", "a", "b", "sale", "new", "a\"b"};

struct Site {
  Origin origin;
  std::string bytes;
  uint64_t sequence = 0;
};

class History {
 public:
  History(Type type, uint64_t seed) : type_(type), random_(seed) {
    for (uint16_t i = 1; i <= 4; ++i) {
      sites_.push_back({{SiteId(i), 1}, Empty(type), 0});
    }
  }

  void Step() {
    Site& site = sites_[random_.Below(sites_.size())];
    uint64_t draw = random_.Below(20);
    if (draw < 12) {
      Change(site);
    } else if (draw < 19) {
      MergeFrom(site, sites_[random_.Below(sites_.size())].bytes);
    } else {
      Leave(site);
    }
    seen_.push_back(site.bytes);
  }

  // Values that were seen at some time, with the present table.
  const std::vector<std::string>& seen() const { return seen_; }
  const FoldTable& folds() const { return folds_; }
  std::vector<Site>& sites() { return sites_; }
  Random& random() { return random_; }

  void MergeFrom(Site& site, const std::string& other) {
    Result<std::string> merged = Merge(site.bytes, other, folds_);
    ASSERT_TRUE(merged.ok()) << merged.status().ToString();
    site.bytes = merged.value();
  }

 private:
  void Change(Site& site) {
    std::string_view word = kWords[random_.Below(6)];
    Dot dot{site.origin, ++site.sequence};
    switch (type_) {
      case Type::kGCounter:
      case Type::kPnCounter: {
        Counter counter = Counter::Decode(type_, site.bytes).value();
        bool both = type_ == Type::kPnCounter;
        auto difference = static_cast<int64_t>(random_.Below(9)) - (both ? 4 : 0);
        if (both && random_.Chance(1, 8)) {
          ASSERT_TRUE(counter.Reset().ok());
        } else {
          ASSERT_TRUE(counter.Add(site.origin, difference).ok());
        }
        site.bytes = Encode(counter);
        return;
      }
      case Type::kGSet: {
        GSet set = GSet::Decode(site.bytes).value();
        set.Add(word);
        site.bytes = Encode(set);
        return;
      }
      case Type::kTwoPSet: {
        TwoPSet set = TwoPSet::Decode(site.bytes).value();
        if (random_.Chance(1, 3)) {
          set.Remove(word);
        } else {
          (void)set.Add(word).ok();
        }
        site.bytes = Encode(set);
        return;
      }
      case Type::kOrSet: {
        OrSet set = OrSet::Decode(site.bytes).value();
        if (random_.Chance(1, 3)) {
          set.Remove(word);
        } else {
          ASSERT_TRUE(set.Add(word, dot).ok());
        }
        site.bytes = Encode(set);
        return;
      }
      case Type::kLwwRegister: {
        LwwRegister value = LwwRegister::Decode(site.bytes).value();
        OptionalText text = random_.Chance(1, 6) ? OptionalText() : OptionalText(word);
        value.Assign({Hlc(random_.Between(1, 20)), site.origin}, text);
        site.bytes = Encode(value);
        return;
      }
      case Type::kMvRegister: {
        MvRegister value = MvRegister::Decode(site.bytes).value();
        OptionalText text = random_.Chance(1, 6) ? OptionalText() : OptionalText(word);
        ASSERT_TRUE(value.Assign(dot, text).ok());
        site.bytes = Encode(value);
        return;
      }
    }
  }

  // The barrier: everybody has everything of the origin. It comes back with a new incarnation.
  void Leave(Site& leaving) {
    for (Site& site : sites_) {
      MergeFrom(site, leaving.bytes);
    }
    folds_.Append(leaving.origin);
    // What is still under way was written before: at most the present state. Values that the law
    // tests combine must contain one that went through the barrier.
    seen_.clear();
    for (Site& site : sites_) {
      if (random_.Chance(1, 2)) {
        site.bytes = Fold(site.bytes, folds_).value();
      }
      seen_.push_back(site.bytes);
    }
    ++leaving.origin.incarnation;
    leaving.sequence = 0;
  }

  Type type_;
  Random random_;
  FoldTable folds_;
  std::vector<Site> sites_;
  std::vector<std::string> seen_;
};

class Laws : public testing::TestWithParam<TypeInfo> {};

TEST_P(Laws, MergeIsAJoin) {
  Type type = GetParam().type;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    History history(type, seed);
    for (int step = 0; step < 60; ++step) {
      history.Step();
    }
    const FoldTable& folds = history.folds();
    auto merge = [&](const std::string& a, const std::string& b) {
      Result<std::string> merged = Merge(a, b, folds);
      EXPECT_TRUE(merged.ok());
      // One generation, so that states can be compared as bytes.
      return Fold(merged.value(), folds).value();
    };
    const std::vector<std::string>& seen = history.seen();
    for (int i = 0; i < 40; ++i) {
      const std::string& a = seen[history.random().Below(seen.size())];
      const std::string& b = seen[history.random().Below(seen.size())];
      const std::string& c = seen[history.random().Below(seen.size())];
      std::string ab = merge(a, b);
      ASSERT_EQ(merge(a, a), Fold(a, folds).value()) << "idempotent, seed " << seed;
      ASSERT_EQ(ab, merge(b, a)) << "commutative, seed " << seed;
      ASSERT_EQ(merge(ab, c), merge(a, merge(b, c))) << "associative, seed " << seed;
      ASSERT_EQ(merge(a, ab), ab) << "monotone, seed " << seed;
      ASSERT_TRUE(Validate(type, ab).ok());
    }
  }
}

TEST_P(Laws, AnyOrderAndRepetitionEndsInTheSameBytes) {
  Type type = GetParam().type;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    History history(type, seed);
    for (int step = 0; step < 80; ++step) {
      history.Step();
    }
    std::vector<std::string> messages;
    for (const Site& site : history.sites()) {
      messages.push_back(site.bytes);
      messages.push_back(site.bytes);
    }
    for (Site& site : history.sites()) {
      for (std::size_t i = messages.size(); i > 1; --i) {
        std::swap(messages[i - 1], messages[history.random().Below(i)]);
      }
      for (const std::string& message : messages) {
        history.MergeFrom(site, message);
      }
      site.bytes = Fold(site.bytes, history.folds()).value();
    }
    for (const Site& site : history.sites()) {
      ASSERT_EQ(site.bytes, history.sites()[0].bytes) << "seed " << seed;
    }
  }
}

TEST_P(Laws, BytesAndJsonComeBack) {
  Type type = GetParam().type;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    History history(type, seed);
    for (int step = 0; step < 60; ++step) {
      history.Step();
    }
    for (const std::string& bytes : history.seen()) {
      Result<std::string> json = ToJson(bytes);
      ASSERT_TRUE(json.ok());
      Result<std::string> back = FromJson(type, json.value());
      ASSERT_TRUE(back.ok()) << json.value();
      ASSERT_EQ(back.value(), bytes) << json.value();
      ASSERT_LE(Merge(bytes, bytes, history.folds()).value().size(), MergeBound(bytes, bytes));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, Laws, testing::ValuesIn(kTypes),
                         [](const auto& type) { return std::string(type.param.name); });

// Against a model: no increment is lost or doubled, whatever is merged, folded and reset around it.
TEST(CounterModel, EveryIncrementCountsOnce) {
  for (uint64_t seed = 1; seed <= 150; ++seed) {
    Random random(seed);
    FoldTable folds;
    std::vector<Counter> sites(4, Counter(Type::kPnCounter));
    std::vector<uint16_t> incarnations(4, 1);
    int64_t sum = 0;
    for (int step = 0; step < 100; ++step) {
      std::size_t i = random.Below(4);
      Origin origin{SiteId(static_cast<uint16_t>(i + 1)), incarnations[i]};
      if (random.Chance(2, 3)) {
        auto difference = static_cast<int64_t>(random.Below(21)) - 10;
        ASSERT_TRUE(sites[i].Add(origin, difference).ok());
        sum += difference;
      } else if (random.Chance(9, 10)) {
        ASSERT_TRUE(sites[i].Join(sites[random.Below(4)], folds).ok());
      } else {
        for (Counter& site : sites) {
          ASSERT_TRUE(site.Join(sites[i], folds).ok());
        }
        folds.Append(origin);
        ++incarnations[i];
      }
    }
    for (const Counter& site : sites) {
      ASSERT_TRUE(sites[0].Join(site, folds).ok());
    }
    ASSERT_EQ(sites[0].Value().value(), sum) << "seed " << seed;
  }
}

// Against a model: an element is there iff some addition was seen by no removal.
TEST(OrSetModel, AdditionsWinOverRemovalsThatHaveNotSeenThem) {
  struct Model {
    std::set<std::pair<std::string, uint64_t>> added;  // (element, number of the addition)
    std::set<uint64_t> removed;
  };
  for (uint64_t seed = 1; seed <= 150; ++seed) {
    Random random(seed);
    FoldTable folds;
    std::vector<OrSet> sites(4);
    std::vector<Model> models(4);
    std::vector<uint16_t> incarnations(4, 1);
    uint64_t number = 0;
    auto merge = [&](std::size_t to, std::size_t from) {
      ASSERT_TRUE(sites[to].Join(sites[from], folds).ok());
      models[to].added.insert(models[from].added.begin(), models[from].added.end());
      models[to].removed.insert(models[from].removed.begin(), models[from].removed.end());
    };
    for (int step = 0; step < 120; ++step) {
      std::size_t i = random.Below(4);
      Origin origin{SiteId(static_cast<uint16_t>(i + 1)), incarnations[i]};
      std::string_view word = kWords[random.Below(6)];
      uint64_t draw = random.Below(20);
      if (draw < 8) {
        ASSERT_TRUE(sites[i].Add(word, {origin, ++number}).ok());
        models[i].added.emplace(word, number);
      } else if (draw < 12) {
        sites[i].Remove(word);
        for (const auto& [element, addition] : models[i].added) {
          if (element == word) {
            models[i].removed.insert(addition);
          }
        }
      } else if (draw < 19) {
        merge(i, random.Below(4));
      } else {
        for (std::size_t to = 0; to < 4; ++to) {
          merge(to, i);
        }
        folds.Append(origin);
        ++incarnations[i];
      }
      for (std::size_t s = 0; s < 4; ++s) {
        std::set<std::string> expected;
        for (const auto& [element, addition] : models[s].added) {
          if (!models[s].removed.contains(addition)) {
            expected.insert(element);
          }
        }
        std::set<std::string> there;
        for (const OrSet::Element& element : sites[s].elements()) {
          there.emplace(element.value);
        }
        ASSERT_EQ(there, expected) << "seed " << seed << " step " << step;
      }
    }
  }
}

}  // namespace
}  // namespace pgquorum::crdt
