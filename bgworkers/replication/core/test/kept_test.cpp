// A server that keeps beside a row only what the row does not say, beside a model that keeps the
// whole state of every row: after every step both know the same.
#include "bgworkers/replication/core/conflict/kept.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/random.h"
#include "bgworkers/replication/core/crdt/counter.h"
#include "bgworkers/replication/core/crdt/registry.h"

#include "base/pure.h"

namespace pgquorum::replication {
namespace {

const crdt::FoldTable kNoFolds;

std::string Counted(std::string_view bytes, Origin origin, int64_t add) {
  std::string empty = crdt::Empty(crdt::Type::kPnCounter);
  auto counter =
      crdt::Counter::Decode(crdt::Type::kPnCounter, bytes.empty() ? empty : bytes).value();
  EXPECT_TRUE(counter.Add(origin, add).ok());
  return crdt::Encode(counter);
}

// Readable failures.
std::string Show(const Merging& merging) {
  std::string text = DotOf(merging.life).ToString() + (merging.whole ? " whole" : "");
  for (const std::string& value : merging.values) {
    text += " " + (value.empty() ? "null" : crdt::ToJson(value).value());
  }
  return text;
}

struct Place {
  Origin origin;
  RowState model;
  std::optional<Kept> kept;
  std::optional<TableRow> row;
  std::vector<std::size_t> applied;  // of every site's transactions
  int stored = 0;
};

struct Sent {
  Stamp stamp;
  std::vector<Change> changes;
};

class World {
 public:
  World(const TablePolicy& policy, uint64_t seed) : policy_(policy), random_(seed), sent_(3) {
    for (uint16_t i = 1; i <= 3; ++i) {
      places_.emplace_back().origin = {SiteId(i), 1};
      places_.back().applied.resize(3);
    }
  }

  void Step() {
    std::size_t at = random_.Below(3);
    if (random_.Chance(1, 2)) {
      Transaction(at);
    } else {
      Deliver(at, random_.Below(3));
    }
  }
  void DeliverAll() {
    for (std::size_t at = 0; at < 3; ++at) {
      for (std::size_t from = 0; from < 3; ++from) {
        while (from != at && places_[at].applied[from] < sent_[from].size()) {
          Deliver(at, from);
        }
      }
    }
  }
  void CheckEqual() {
    Presented first = Present(places_[0].model, policy_, Stamp());
    for (Place& place : places_) {
      Presented row = Present(place.model, policy_, Stamp());
      EXPECT_EQ(row.live, first.live);
      if (row.live) {
        EXPECT_EQ(row.image, first.image);
      }
      EXPECT_EQ(Show(place.model.merging), Show(places_[0].model.merging));
    }
  }
  int stored() const { return places_[0].stored + places_[1].stored + places_[2].stored; }

 private:
  Surroundings Around() const { return {policy_, Stamp(), kNoFolds, StableLine()}; }

  RowState Loaded(Place& place) {
    Result<RowState> state =
        Load(place.kept ? &*place.kept : nullptr, place.row ? &*place.row : nullptr, Around());
    EXPECT_TRUE(state.ok());
    return state.value();
  }

  // A site's users: one to three statements on the row, committed at `now`.
  void Transaction(std::size_t at) {
    Place& place = places_[at];
    now_ += random_.Below(2);
    Stamp stamp{Hlc(std::max(now_, HighestStamp(place.model).hlc.value() + 1)), place.origin};
    now_ = stamp.hlc.value();
    Stamp pending = PendingStamp(place.origin);
    Sent sent{stamp, {}};
    uint32_t writer = ++writers_;
    std::size_t statements = 1 + (random_.Chance(1, 2) ? random_.Below(4) : 0);
    for (std::size_t i = 0; i < statements; ++i) {
      if (std::optional<Change> change = Statement(place, pending, writer)) {
        RowShape shape = policy_.shape();
        Finish(*change, stamp);
        Supersede(place.model, *change, shape);
        EXPECT_TRUE(Join(place.model, StateOf(*change, shape), shape, kNoFolds).ok());
        sent.changes.push_back(*change);
      }
    }
    if (place.kept && IsPending(place.kept->stamp)) {
      place.kept->stamp = stamp;
    }
    if (place.row && IsPending(place.row->stamp)) {
      place.row->stamp = stamp;
    }
    sent_[at].push_back(sent);
    Check(place);
  }

  // What the guard does: nothing is known of the time at which it will commit.
  std::optional<Change> Statement(Place& place, const Stamp& pending, uint32_t writer) {
    RowShape shape = policy_.shape();
    RowState local = Loaded(place);
    bool live = place.row.has_value();
    bool removal = live && random_.Chance(1, 4);
    Operation operation = removal ? Operation::kDelete
                          : live  ? Operation::kUpdate
                                  : Operation::kInsert;
    TableRow row{writer, pending, Image(2), std::vector<std::string>(1)};
    if (live) {
      row.image = place.row->image;
      row.merging = place.row->merging;
    }
    for (Value& value : row.image) {
      if (!live || random_.Chance(1, 2)) {
        value = Value::Of(std::to_string(random_.Below(3)));
      }
    }
    if (random_.Chance(1, 2)) {
      row.merging[0] = Counted(row.merging[0], place.origin, 1 + int64_t(random_.Below(3)));
    }
    Change change =
        Write(operation, "", local, row.image, row.merging, DotOf(pending), pending, Around());
    RowState after = local;
    Supersede(after, change, shape);
    EXPECT_TRUE(Join(after, StateOf(change, shape), shape, kNoFolds).ok());
    bool keep = MustKeep(operation, place.kept ? &*place.kept : nullptr, shape);
    if (keep) {
      Store(place, after, removal ? nullptr : &row, writer, pending);
    }
    place.row = removal ? std::nullopt : std::optional(row);
    return change;
  }

  void Store(Place& place, const RowState& after, const TableRow* row, uint32_t writer,
             const Stamp& stamp) {
    auto bytes = ToKeep(place.kept ? &*place.kept : nullptr, after, row, Around());
    ASSERT_TRUE(bytes.ok());
    if (bytes.value()) {
      place.kept = Kept{row == nullptr ? 0 : writer, stamp, *bytes.value()};
      ++place.stored;
    }
  }

  // As the transaction is decoded, after its commit.
  void Finish(Change& change, const Stamp& stamp) {
    Version& version = change.version;
    version.stamp = stamp;
    version.dot = DotOf(stamp);
    version.before.reset();
    Resolve(version.seen, stamp);
    if (policy_.shape().by_causality) {
      version.seen.Raise(stamp.origin, stamp.hlc.value() - 1);
    }
    for (Mark& mark : version.marks) {
      Resolve(mark.stamp, stamp);
      mark.dot = DotOf(mark.stamp);
    }
    Resolve(change.merging.life, stamp);
  }

  void Deliver(std::size_t at, std::size_t from) {
    Place& place = places_[at];
    if (at == from || place.applied[from] == sent_[from].size()) {
      return;
    }
    const Sent& sent = sent_[from][place.applied[from]++];
    RowShape shape = policy_.shape();
    uint32_t writer = ++writers_;
    for (const Change& change : sent.changes) {
      Supersede(place.model, change, shape);
      EXPECT_TRUE(Join(place.model, StateOf(change, shape), shape, kNoFolds).ok());
      RowState local = Loaded(place);
      Supersede(local, change, shape);
      Decision decision = Decide(local, change, Around()).value();
      std::optional<TableRow> row;
      if (decision.row.live) {
        row = {writer, sent.stamp, decision.row.image, decision.after.merging.values};
        bool same =
            place.row && place.row->image == row->image && place.row->merging == row->merging;
        row = same ? place.row : row;
      }
      Store(place, decision.after, row ? &*row : nullptr, row ? row->writer : 0, sent.stamp);
      place.row = row;
    }
    Check(place);
  }

  void Check(Place& place) {
    RowState loaded = Loaded(place);
    Presented mine = Present(loaded, policy_, Stamp());
    Presented wanted = Present(place.model, policy_, Stamp());
    ASSERT_EQ(place.row.has_value(), wanted.live);
    ASSERT_EQ(mine.live, wanted.live);
    ASSERT_EQ(mine.others.size(), wanted.others.size());
    if (wanted.live) {
      ASSERT_EQ(mine.image, wanted.image);
      ASSERT_EQ(mine.stamp, wanted.stamp);
      ASSERT_EQ(place.row->image, wanted.image);
      ASSERT_EQ(place.row->merging, place.model.merging.values);
    }
    ASSERT_EQ(Show(loaded.merging), Show(place.model.merging));
  }

  TablePolicy policy_;
  Random random_;
  std::vector<Place> places_;
  std::vector<std::vector<Sent>> sent_;
  uint64_t now_ = 10;
  uint32_t writers_ = 0;
};

struct Case {
  const char* name;
  Strategy strategy;
  bool column_level;
};

class KeptStates : public testing::TestWithParam<Case> {};

TEST_P(KeptStates, SayTheSameAsWholeOnes) {
  TablePolicy policy;
  policy.strategy = GetParam().strategy;
  policy.column_level = GetParam().column_level;
  policy.primary = SiteId(2);
  policy.columns = 2;
  policy.merging_columns = 1;
  int stored = 0;
  for (uint64_t seed = 1; seed <= 80 && !HasFatalFailure(); ++seed) {
    SCOPED_TRACE(seed);
    World world(policy, seed);
    for (int step = 0; step < 120 && !HasFatalFailure(); ++step) {
      world.Step();
    }
    world.DeliverAll();
    world.CheckEqual();
    stored += world.stored();
  }
  EXPECT_GT(stored, 0);
}

INSTANTIATE_TEST_SUITE_P(
    All, KeptStates,
    testing::Values(Case{"LastWriter", Strategy::kLastWriterWins, false},
                    Case{"LastWriterByColumn", Strategy::kLastWriterWins, true},
                    Case{"FirstWrite", Strategy::kFirstWriteWins, false},
                    Case{"FirstWriteByColumn", Strategy::kFirstWriteWins, true},
                    Case{"Primary", Strategy::kPrimary, false},
                    Case{"PrimaryByColumn", Strategy::kPrimary, true},
                    Case{"VectorClock", Strategy::kVectorClock, false},
                    Case{"VectorClockByColumn", Strategy::kVectorClock, true},
                    Case{"MultiValue", Strategy::kMultiValue, false}),
    [](const auto& one) { return one.param.name; });

// A site inserts a row that another one has deleted, and is heard before that one: what it counts
// in the new life stays, whatever the other's transaction did beside the deletion. It was lost by
// whoever heard them in this order.
class LateDeletion : public testing::TestWithParam<Strategy> {
 protected:
  LateDeletion() {
    policy_.strategy = GetParam();
    policy_.primary = SiteId(2);
    policy_.columns = 1;
    policy_.merging_columns = 1;
  }
  Change At(Operation operation, const RowState& known, uint64_t time, uint16_t site, int64_t add) {
    Origin origin{SiteId(site), 1};
    Stamp stamp{Hlc(time), origin};
    std::string counter = known.merging.values.empty() || operation == Operation::kInsert
                              ? std::string()
                              : known.merging.values[0];
    Change change = Write(operation, "", known, {Value::Of("x")}, {Counted(counter, origin, add)},
                          DotOf(stamp), stamp, Around());
    if (policy_.shape().by_causality) {
      change.version.seen.Raise(origin, time - 1);
    }
    return change;
  }
  void Take(RowState& state, const std::vector<Change>& transaction) {
    for (const Change& change : transaction) {
      Supersede(state, change, policy_.shape());
      state = Decide(state, change, Around()).value().after;
    }
  }
  Surroundings Around() const { return {policy_, Stamp(), kNoFolds, StableLine()}; }

  TablePolicy policy_;
};

TEST_P(LateDeletion, LeavesTheNewLifeAlone) {
  RowState start;
  Take(start, {At(Operation::kInsert, start, 10, 1, 100)});
  for (std::size_t statements = 1; statements <= 4; ++statements) {
    SCOPED_TRACE(statements);
    RowState second = start;
    std::vector<Change> deletion;
    for (std::size_t i = 0; i < statements; ++i) {
      Operation operation = i % 2 == 0 ? Operation::kDelete : Operation::kInsert;
      deletion.push_back(At(operation, second, 20, 2, 7));
      Take(second, {deletion.back()});
    }
    RowState first = start;
    Take(first, deletion);
    EXPECT_EQ(first, second);
    bool live = statements % 2 == 0;
    std::vector<Change> late = {
        At(live ? Operation::kUpdate : Operation::kInsert, first, 30, 1, 5)};
    Take(first, late);
    Take(second, late);
    RowState third = start;
    Take(third, late);
    Take(third, deletion);
    ASSERT_EQ(Show(third.merging), Show(first.merging));
    EXPECT_EQ(third, first);
    EXPECT_EQ(second, first);
    auto counter = crdt::Counter::Decode(crdt::Type::kPnCounter, third.merging.values[0]).value();
    EXPECT_EQ(counter.Value().value(), live ? 12 : 5);
  }
}

INSTANTIATE_TEST_SUITE_P(All, LateDeletion,
                         testing::Values(Strategy::kLastWriterWins, Strategy::kFirstWriteWins,
                                         Strategy::kPrimary, Strategy::kVectorClock,
                                         Strategy::kMultiValue),
                         [](const auto& one) { return std::string(NameOf(one.param)); });

TEST(KeptState, NothingIsKeptOfWhatTheRowSays) {
  TablePolicy policy;
  policy.columns = 1;
  policy.merging_columns = 1;
  Surroundings around{policy, Stamp(), kNoFolds, StableLine()};
  TableRow row{7, {Hlc(20), {SiteId(2), 1}}, {Value::Of("x")}, {Counted("", {SiteId(2), 1}, 1)}};
  RowState state = Load(nullptr, &row, around).value();
  EXPECT_EQ(state.newest->stamp, row.stamp);
  EXPECT_EQ(ToKeep(nullptr, state, &row, around).value(), std::nullopt);
  EXPECT_EQ(ToKeep(nullptr, RowState(), nullptr, around).value(), std::nullopt);
  // A merge of an older change: the row is written by its transaction, and is newer than that.
  TableRow merged{
      8, {Hlc(10), {SiteId(1), 1}}, row.image, {Counted(row.merging[0], {SiteId(1), 1}, 5)}};
  state.merging.values = merged.merging;
  std::string bytes = ToKeep(nullptr, state, &merged, around).value().value();
  Kept kept{8, merged.stamp, bytes};
  EXPECT_EQ(Load(&kept, &merged, around).value().newest->stamp, row.stamp);
}

TEST(KeptState, DamageIsRefused) {
  TablePolicy policy;
  policy.columns = 1;
  policy.strategy = Strategy::kMultiValue;
  Surroundings around{policy, Stamp(), kNoFolds, StableLine()};
  Stamp stamp{Hlc(20), {SiteId(2), 1}};
  Change removal = Write(Operation::kDelete, "", RowState(), {}, {}, DotOf(stamp), stamp, around);
  RowState state = StateOf(removal, policy.shape());
  std::string bytes = ToKeep(nullptr, state, nullptr, around).value().value();
  EXPECT_TRUE(Load(std::make_unique<Kept>(Kept{0, stamp, bytes}).get(), nullptr, around).ok());
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    Kept cut{0, stamp, bytes.substr(0, i)};
    EXPECT_EQ(Load(&cut, nullptr, around).status().sqlstate(), "RX200") << i;
  }
  Kept longer{0, stamp, bytes + "x"};
  EXPECT_FALSE(Load(&longer, nullptr, around).ok());
}

}  // namespace
}  // namespace pgquorum::replication
