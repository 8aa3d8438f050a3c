// The oracle: what must hold in the end. It computes from what was acknowledged, not from states.
#include <algorithm>

#include "bgworkers/replication/core/sim/world.h"

#include "base/pure.h"

namespace pgquorum::replication::sim {

void World::Remember(const Transaction& transaction, const Statement& statement) {
  written_[transaction.origin].push_back({transaction, statement});
}

// Whoever writes has seen all that is at his site, and so wins there.
void World::CheckOwnWrite(const Site& site, const Statement& statement) {
  using Kind = Statement::Kind;
  bool gone = statement.kind == Kind::kDelete || statement.kind == Kind::kRekey;
  bool wrong = statement.kind != Kind::kTruncate &&
               site.database->Live(statement.table, statement.key) == gone;
  wrong = wrong || (statement.kind == Kind::kRekey &&
                    !site.database->Live(statement.table, statement.new_key));
  if (wrong) {
    Fail("site " + site.origin.ToString() + ": its own statement on " + statement.table + " " +
         statement.key + " has not done what it says");
  }
}

// What a lost origin had not passed on is lost with it; everything else counts.
bool World::Counts(const Transaction& transaction) const {
  auto closed = closed_at_.find(transaction.origin);
  return closed == closed_at_.end() || transaction.sequence <= closed->second;
}

// Everybody has heard everything.
bool World::Quiet() const {
  if (evicting_ || joining_) {
    return false;
  }
  for (const Site& site : sites_) {
    if (site.gone) {
      continue;
    }
    if (!site.up || site.entries != log_.size()) {
      return false;
    }
    for (const auto& [origin, written] : written_) {
      auto closed = closed_at_.find(origin);
      uint64_t last =
          closed != closed_at_.end() ? closed->second : written.back().transaction.sequence;
      auto window = site.applied.find(origin);
      uint64_t have = origin == site.origin          ? site.sequence
                      : window == site.applied.end() ? 0
                                                     : window->second.watermark();
      if (have < last) {
        return false;
      }
    }
  }
  return true;
}

void World::CheckQuiet() {
  const Site* first = nullptr;
  for (Site& site : sites_) {
    if (site.gone) {
      continue;
    }
    CheckCounters(site);
    if (first == nullptr) {
      first = &site;
    } else {
      CheckSame(*first, site);
    }
  }
  // Now everything is stable: nothing but rows may be left, and they must be as before.
  for (Site& site : sites_) {
    if (!site.gone && failure_.empty()) {
      auto shown = site.database->Shown();
      site.database->Compact(kHlcMax, kHlcMax);
      if (site.database->Shown() != shown) {
        Fail("site " + site.origin.ToString() + ": the clean-up has changed rows");
      }
    }
  }
  for (Site& site : sites_) {
    if (!site.gone && failure_.empty()) {
      CheckSame(*first, site);
      if (first->database->states() != site.database->states()) {
        Fail("sites keep different states after the clean-up");
      }
    }
  }
}

void World::CheckSame(const Site& a, const Site& b) {
  auto left = a.database->Shown();
  auto right = b.database->Shown();
  for (const auto& [table, rows] : left) {
    for (const auto& [key, row] : rows) {
      auto other = right[table].find(key);
      if (other == right[table].end() || other->second != row) {
        Fail("sites " + a.origin.ToString() + " and " + b.origin.ToString() + " differ: " + table +
             " " + key + " is (" + row + ") and (" +
             (other == right[table].end() ? "nothing" : other->second) + ")");
        return;
      }
    }
    if (rows.size() != right[table].size()) {
      Fail("sites " + a.origin.ToString() + " and " + b.origin.ToString() + " differ: " + table +
           " has more rows");
    }
  }
}

void World::CheckCounters(const Site& site) {
  std::map<std::string, int64_t> sums = {{"1", 0}, {"2", 0}};
  // Of a lost origin everybody has the agreed prefix. What it had committed after that may still be
  // in the counter: images that others wrote carry what they had seen of it (a joiner copied from
  // it).
  std::map<std::string, std::set<int64_t>> possible = {{"1", {0}}, {"2", {0}}};
  // A word is added once; a removal takes it away where it was seen. What is removed is known from
  // the effect: the statement names a word, and the row of the statement may not have held it.
  std::map<std::string, std::set<std::string>> words;
  std::map<std::string, std::set<std::string>> removals;
  for (const auto& [origin, transactions] : written_) {
    std::map<std::string, std::set<int64_t>> tails = {{"1", {0}}, {"2", {0}}};
    std::map<std::string, int64_t> tail;
    for (const Written& written : transactions) {
      const Statement& statement = written.statement;
      if (statement.table != "acc") {
        continue;
      }
      if (auto tag = statement.remove.find("tags"); tag != statement.remove.end()) {
        removals[statement.key].insert(tag->second);
      }
      if (!Counts(written.transaction)) {
        tail[statement.key] += std::stoll(statement.add.at("n"));
        tails[statement.key].insert(tail[statement.key]);
        continue;
      }
      sums[statement.key] += std::stoll(statement.add.at("n"));
      if (auto tag = statement.add.find("tags"); tag != statement.add.end()) {
        words[statement.key].insert(tag->second);
      }
    }
    for (auto& [key, sums_before] : possible) {
      std::set<int64_t> sums_after;
      for (int64_t before : sums_before) {
        for (int64_t more : tails[key]) {
          sums_after.insert(before + more);
        }
      }
      sums_before = std::move(sums_after);
    }
  }
  auto shown = site.database->Shown()["acc"];
  for (const auto& [key, sum] : sums) {
    std::optional<int64_t> value = site.database->CounterOf("acc", key);
    if (!value || !possible[key].contains(*value - sum)) {
      Fail("site " + site.origin.ToString() + ": counter " + key + " is " +
           std::to_string(value.value_or(-1)) + ", acknowledged were " + std::to_string(sum));
      return;
    }
    for (const std::string& word : words[key]) {
      bool there = shown[key].find("{" + word + ",") != std::string::npos ||
                   shown[key].find("," + word + ",") != std::string::npos ||
                   shown[key].find("," + word + "}") != std::string::npos ||
                   shown[key].find("{" + word + "}") != std::string::npos;
      if (!there && !removals[key].contains(word)) {
        Fail("site " + site.origin.ToString() + ": set " + key + " has lost " + word);
        return;
      }
    }
  }
}

}  // namespace pgquorum::replication::sim
