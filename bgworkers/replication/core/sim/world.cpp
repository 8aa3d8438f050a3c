#include "bgworkers/replication/core/sim/world.h"

#include <algorithm>
#include <cstdio>
#include <stdexcept>

#include "base/check.h"
#include "bgworkers/replication/core/sim/script.h"

#include "base/pure.h"

namespace pgquorum::replication::sim {
namespace {

struct CheckError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

[[noreturn]] void RaiseCheck(const char* file, int line, const char* condition) {
  throw CheckError(std::string("check failed: ") + condition + " at " + file + ":" +
                   std::to_string(line));
}

// Turns a failed check of the product into a failed run, for as long as it lives.
class ChecksRaise {
 public:
  ChecksRaise() : before_(SetCheckFailureHandler(RaiseCheck)) {}
  ~ChecksRaise() { SetCheckFailureHandler(before_); }

 private:
  CheckFailureHandler before_;
};

constexpr const char* kPolicies[] = {
    "t a b u n:pn_counter key_update=split unique=u",
    "t a b u n:pn_counter column_level=on key_update=split",
    "t a b u n:pn_counter column_level=on check=sum",
    "t a b u n:pn_counter strategy=first_write_wins key_update=split",
    "t a b u n:pn_counter strategy=first_write_wins column_level=on",
    "t a b u n:pn_counter strategy=primary primary=2 unique=u",
    "t a b u n:pn_counter strategy=vector_clock column_level=on",
    "t a b u n:pn_counter strategy=multi_value",
    "t a b u n:pn_counter strategy=custom",
};
constexpr const char* kChildren[] = {"c p ref=p:p orphan=null", "c p ref=p:p orphan=cascade",
                                     "c p ref=p:p orphan=revive"};

}  // namespace

World::World(uint64_t seed, const WorldBugs& bugs, Coverage& coverage, bool trace)
    : random_(seed), bugs_(bugs), coverage_(coverage), trace_(trace) {}

std::string World::Run() {
  ChecksRaise raising;
  try {
    Start();
    Chaos();
    if (failure_.empty()) {
      Heal();
    }
    if (failure_.empty()) {
      CheckQuiet();
    }
  } catch (const CheckError& error) {
    Fail(error.what());
  }
  return failure_;
}

void World::Start() {
  tables_ = {ParseTable(Words("acc n:pn_counter tags:or_set")),
             ParseTable(Words(kPolicies[random_.Below(std::size(kPolicies))])),
             ParseTable(Words("p a")),
             ParseTable(Words(kChildren[random_.Below(std::size(kChildren))]))};
  spool_options_ = {random_.Between(1, 300), random_.Between(1'000, 20'000), uint64_t{1} << 40};
  std::size_t count = random_.Between(2, 4);
  Database start(tables_);
  Origin nobody{SiteId(60'000), 1};
  uint64_t sequence = 0;
  for (const char* statement : {"insert acc 1", "insert acc 2", "insert p 1 a=1", "insert p 2 a=2",
                                "insert t 1 a=1 b=1 u=1 n+1", "insert t 2 a=2 b=2 u=2 n+2"}) {
    Dot dot{nobody, ++sequence};
    start.Run(ParseStatement(Words(statement)), dot, {Hlc(sequence), nobody}, sequence);
  }
  for (std::size_t i = 0; i < count; ++i) {
    Site site;
    site.index = i;
    site.origin = {SiteId(static_cast<uint16_t>(i + 1)), 1};
    site.database = start;
    site.durable_bound = Hlc(1'000);
    log_.push_back({Entry::Kind::kAdd, site.origin, 0, SiteId()});
    sites_.push_back(std::move(site));
  }
  for (Site& site : sites_) {
    for (const Entry& entry : log_) {
      site.members.insert(entry.origin);
    }
    site.entries = log_.size();
    Restart(site);
  }
}

void World::Fail(const std::string& what) {
  if (failure_.empty()) {
    failure_ = what;
  }
}

void World::Trace(const Site& site, const std::string& what) {
  if (trace_) {
    std::printf("%10.3f ms  site %s: %s\n", static_cast<double>(now_us_ - 1'000'000'000) / 1000,
                site.origin.ToString().c_str(), what.c_str());
  }
}

Hlc World::WallOf(const Site& site) const {
  return Hlc(static_cast<uint64_t>(static_cast<int64_t>(now_us_) + site.skew_us));
}

Site* World::RandomUp() {
  Site& site = sites_[random_.Below(sites_.size())];
  return site.up ? &site : nullptr;
}

bool World::Cut(std::size_t a, std::size_t b) const {
  return !healing_ && cuts_.contains({std::min(a, b), std::max(a, b)});
}

// One crash in a hundred places where one matters.
bool World::CrashHere(Site& site, Point point) {
  if (healing_ || !random_.Chance(1, 120)) {
    return false;
  }
  coverage_.Hit(point);
  Trace(site, std::string("dies: ") + Name(point));
  Crash(site);
  return true;
}

void World::Chaos() {
  uint64_t steps = random_.Between(150, 500);
  for (uint64_t step = 0; step < steps && failure_.empty(); ++step) {
    if (random_.Chance(1, 40)) {
      std::size_t a = random_.Below(sites_.size());
      std::size_t b = random_.Below(sites_.size());
      if (a != b) {
        cuts_.insert({std::min(a, b), std::max(a, b)});
        coverage_.Hit(Point::kPartition);
      }
    }
    if (random_.Chance(1, 30)) {
      cuts_.clear();
    }
    if (random_.Chance(1, 60)) {
      Site& site = sites_[random_.Below(sites_.size())];
      int64_t range = random_.Chance(1, 4) ? 9'000'000 : 1'000'000;
      site.skew_us = static_cast<int64_t>(random_.Below(static_cast<uint64_t>(range))) - range / 2;
      coverage_.Hit(Point::kClockJump);
    }
    if (random_.Chance(1, 120)) {
      LoseSite();
    }
    if (random_.Chance(1, 60)) {
      JoinSite();
    }
    Step(false);
  }
}

void World::Step(bool healing) {
  now_us_ += random_.Below(20'000);
  for (Site& site : sites_) {
    if (!site.up && !site.gone && site.restart_at_us <= now_us_) {
      Restart(site);
      coverage_.Hit(Point::kRestart);
    }
  }
  // Deliver what is due, in any order.
  std::vector<Message> due;
  for (std::size_t i = 0; i < network_.size();) {
    if (network_[i].at_us <= now_us_) {
      due.push_back(std::move(network_[i]));
      network_[i] = std::move(network_.back());
      network_.pop_back();
    } else {
      ++i;
    }
  }
  for (const Message& message : due) {
    Deliver(message);
  }
  for (Site& site : sites_) {
    if (site.up && (healing || random_.Chance(1, 2))) {
      ApplyEntries(site);
    }
    if (site.up && !healing && random_.Chance(1, 2)) {
      WriteHere(site);
    }
    if (site.up && (healing || random_.Chance(1, 2))) {
      Sync(site);
    }
    if (site.up && (healing || random_.Chance(2, 3))) {
      ApplySome(site);
    }
    if (site.up && (healing || random_.Chance(1, 2))) {
      SendAll(site);
    }
    if (site.up && random_.Chance(1, 4)) {
      Trim(site);
      UpdateStable(site);
    }
  }
  Coordinate();
}

void World::Heal() {
  healing_ = true;
  cuts_.clear();
  for (Site& site : sites_) {
    site.skew_us = 0;
  }
  for (int step = 0; step < 6'000 && failure_.empty(); ++step) {
    Step(true);
    if (step % 20 == 19 && Quiet()) {
      return;
    }
  }
  if (failure_.empty()) {
    std::string state;
    for (const Site& site : sites_) {
      state += "\n  site " + site.origin.ToString() + (site.up ? " up" : " down");
      for (const auto& [origin, window] : site.applied) {
        state += "  " + origin.ToString() + ":" + std::to_string(window.watermark());
        if (site.up) {
          Watermarks marks = site.index_of_spool->Of(origin);
          state += "/" + std::to_string(marks.durable) + "/" + std::to_string(marks.received);
        }
      }
    }
    Fail("the sites did not come to rest" + state);
  }
}

}  // namespace pgquorum::replication::sim
