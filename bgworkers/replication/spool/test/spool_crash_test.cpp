// The spool against a model, with the power lost at every operation and with every loss: what was
// called durable is there, what was not is there or not, nothing else ever is.
#include <algorithm>
#include <cstdlib>
#include <optional>

#include "base/random.h"
#include "bgworkers/replication/spool/test/spool_fixture.h"

namespace pgquorum::replication {
namespace {

struct Model {
  uint64_t durable = 0;   // was reported
  uint64_t appended = 0;  // may be there
  uint64_t applied = 0;
  uint64_t trimmed = 0;  // nobody needs what lies below
};

class Lives {
 public:
  explicit Lives(uint64_t seed) : random_(seed) {}

  void Run(int lives) {
    for (int i = 0; i < lives && !::testing::Test::HasFatalFailure(); ++i) {
      OneLife();
    }
  }

 private:
  void OneLife() {
    Applied applied;
    for (auto& [origin, model] : models_) {
      applied[origin] = model.applied;
    }
    Result<std::unique_ptr<Spool>> opened = OpenSpool(fs_, applied);
    if (!opened.ok()) {
      ASSERT_TRUE(crash_planned_) << opened.status().ToString();
      Crash();
      return;
    }
    std::unique_ptr<Spool> spool = std::move(opened).value();
    Check(*spool);
    spool->AddPeer(SiteId(2));
    spool->AddPeer(SiteId(3));
    fs_.FailAt(fs_.operations() + 1 + random_.Below(40), Fault());
    while (!::testing::Test::HasFatalFailure() && Step(*spool)) {
    }
    spool.reset();
    Crash();
  }

  // An error of the disk first, in some lives; the process then ends and another one looks.
  MemoryFault Fault() {
    return random_.Chance(1, 4) ? static_cast<MemoryFault>(random_.Between(1, 3))
                                : MemoryFault::kCrash;
  }

  void Crash() {
    if (random_.Chance(1, 4)) {
      fs_.PowerCycle(random_, MemoryLoss::kNone);  // the process was killed, the power stays
    } else {
      fs_.PowerCycle(random_, random_.Chance(1, 4) ? MemoryLoss::kAll : MemoryLoss::kRandom);
    }
    crash_planned_ = random_.Chance(1, 4);
    if (crash_planned_) {
      fs_.FailAt(fs_.operations() + 1 + random_.Below(12), MemoryFault::kCrash);
    }
  }

  // False: the disk has failed.
  bool Step(Spool& spool) {
    auto& [origin, model] = *std::next(models_.begin(), static_cast<int>(random_.Below(2)));
    switch (random_.Below(10)) {
      case 0:
        return spool.Prove().ok();
      case 1:
        return Trim(spool, origin, model);
      case 2:
      case 3:
        return Sync(spool);
      case 4:
        model.applied = random_.Between(model.applied, model.durable);
        return spool.MarkApplied(origin, model.applied).ok();
      default:
        return Append(spool, origin, model);
    }
  }

  bool Append(Spool& spool, Origin origin, Model& model) {
    uint64_t count = random_.Between(1, 20);
    for (uint64_t i = 0; i < count; ++i) {
      uint64_t next = model.appended + 1;
      model.appended = next;
      Result<SpoolIndex::Appended> appended =
          spool.Append(origin, next, Hlc(next), Payload(origin, next, Size(next)));
      if (!appended.ok()) {
        return false;
      }
      if (appended.value() == SpoolIndex::Appended::kFull) {
        model.appended = next - 1;
        return true;
      }
      EXPECT_EQ(appended.value(), SpoolIndex::Appended::kYes);
    }
    return true;
  }

  static std::size_t Size(uint64_t sequence) {
    return sequence % 97 == 0 ? 70'000 : sequence * 37 % 900;
  }

  bool Sync(Spool& spool) {
    if (!spool.Sync().ok()) {
      return false;
    }
    for (auto& [origin, model] : models_) {
      model.durable = model.appended;
      model.applied = origin == kOwn ? model.durable : model.applied;
    }
    return true;
  }

  bool Trim(Spool& spool, Origin origin, Model& model) {
    uint64_t everybody = random_.Between(model.trimmed, model.durable);
    for (SiteId peer : {SiteId(2), SiteId(3)}) {
      EXPECT_TRUE(spool.Acknowledge(peer, origin, {everybody, everybody, 0}).ok());
    }
    model.trimmed = everybody;
    return spool.Trim().ok();
  }

  void Check(Spool& spool) {
    for (const SpoolDamage& damage : spool.damage()) {
      FAIL() << damage.origin.ToString() << " " << damage.first_lost << ": " << damage.what;
    }
    for (auto& [origin, model] : models_) {
      Watermarks marks = spool.index().Of(origin);
      ASSERT_GE(marks.durable, model.durable);
      ASSERT_LE(marks.durable, model.appended);
      ASSERT_EQ(marks.received, marks.durable);
      // Whatever somebody may still need is there.
      SpoolReader reader = spool.Read(origin, std::min(model.trimmed, model.applied) + 1);
      while (reader.next() <= marks.durable) {
        Result<std::vector<SpooledTransaction>> read = reader.Read(marks.durable, 50'000);
        ASSERT_TRUE(read.ok()) << read.status().ToString();
        for (const SpooledTransaction& found : read.value()) {
          ASSERT_EQ(found.bytes, Payload(origin, found.sequence, Size(found.sequence)));
          ASSERT_EQ(found.hlc, Hlc(found.sequence));
        }
      }
      model.durable = marks.durable;
      model.appended = marks.durable;
      model.applied = origin == kOwn ? marks.durable : model.applied;
    }
  }

  Random random_;
  MemoryFileSystem fs_;
  std::map<Origin, Model> models_{{kOwn, {}}, {kOther, {}}};
  bool crash_planned_ = false;
};

// SPOOL_SEEDS=n runs more, SPOOL_SEED=s only one.
uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr ? std::strtoull(value, nullptr, 10) : otherwise;
}

TEST(SpoolCrash, KeepsWhatItCalledDurable) {
  uint64_t only = FromEnvironment("SPOOL_SEED", 0);
  uint64_t seeds = only != 0 ? only : FromEnvironment("SPOOL_SEEDS", 150);
  for (uint64_t seed = only != 0 ? only : 1; seed <= seeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Lives(seed).Run(12);
    if (HasFatalFailure()) {
      return;
    }
  }
}

// Rotation, trimming of everything, and a start after a copy: the power goes at each operation.
TEST(SpoolCrash, EveryOperationOfALifeMayBeTheLast) {
  for (uint64_t point = 1;; ++point) {
    bool finished = false;
    for (uint64_t seed = 0; seed < 8; ++seed) {
      SCOPED_TRACE("operation " + std::to_string(point) + " seed " + std::to_string(seed));
      MemoryFileSystem fs;
      Random random(seed);
      uint64_t durable = 0;
      bool copied = false;
      {
        Result<std::unique_ptr<Spool>> opened = OpenSpool(fs);
        ASSERT_TRUE(opened.ok());
        Spool& spool = *opened.value();
        fs.FailAt(fs.operations() + point, MemoryFault::kCrash);
        bool alive = true;
        for (uint64_t i = 1; i <= 12 && alive; ++i) {
          alive = spool.Append(kOther, i, Hlc(i), Payload(kOther, i, 20'000)).ok() &&
                  (i % 2 != 0 || spool.Sync().ok());
          durable = alive && i % 2 == 0 ? i : durable;
        }
        alive = alive && spool.MarkApplied(kOther, 12).ok() && spool.Trim().ok();
        alive = alive && spool.Append(kOther, 13, Hlc(13), Payload(kOther, 13, 20'000)).ok() &&
                spool.Sync().ok();
        copied = alive;
        finished = alive && spool.StartAt(kOther, 50).ok();
      }
      fs.PowerCycle(random, MemoryLoss::kRandom);
      // The copy is complete before the spool is told.
      uint64_t tables = copied ? 50 : durable;
      Result<std::unique_ptr<Spool>> opened = OpenSpool(fs, {{kOther, tables}});
      ASSERT_TRUE(opened.ok()) << opened.status().ToString();
      Spool& spool = *opened.value();
      EXPECT_TRUE(spool.damage().empty()) << spool.damage()[0].what;
      uint64_t there = spool.index().Of(kOther).durable;
      EXPECT_GE(there, tables);
      Fill(spool, kOther, there + 1, there + 3, 20'000);
      EXPECT_EQ(CheckAll(spool, kOther, there + 1, 20'000), 3U);
    }
    if (finished) {
      EXPECT_GT(point, 20U);
      return;
    }
  }
}

}  // namespace
}  // namespace pgquorum::replication
