// Values in chains of overflow pages: shared and let go by versions, and power lost at every
// operation.
#include <gtest/gtest.h>

#include <array>
#include <map>
#include <set>

#include "base/random.h"
#include "base/storage/errors.h"
#include "cachefusion/table/table_check.h"
#include "cachefusion/table/test/table_world.h"

namespace pgquorum::fusion {
namespace {

// A row: its number, the number of its value and that value's length. The value is in the chain.
struct Row {
  uint64_t id;
  uint64_t value;
  uint64_t length;
};

std::string Bytes(const Row& row) {
  return std::string(reinterpret_cast<const char*>(&row), sizeof(row));
}

Row Parse(const std::string& bytes) {
  Row row{};
  std::memcpy(&row, bytes.data(), sizeof(row));
  return row;
}

std::string ValueOf(uint64_t number, std::size_t length) {
  Random random(number);
  std::string value(length, '\0');
  for (char& c : value) {
    c = static_cast<char>(random.Below(256));
  }
  return value;
}

Result<std::string> ReadValue(TableSession& session, uint32_t head, uint32_t total,
                              uint32_t from = 0, uint32_t length = UINT32_MAX) {
  length = std::min(length, total - from);
  std::string value(length, '?');
  ChainReading reading{head, total, 0, 0, 0};
  for (;;) {
    Result<bool> done = session.table.overflow().ReadSome(reading, from, length, value.data(), 2);
    if (!done.ok()) {
      return done.status();
    }
    if (done.value()) {
      return value;
    }
  }
}

Result<RowAddress> InsertRow(TableSession& session, const Row& row) {
  Result<ChainLink> chain =
      session.table.overflow().Write(ValueOf(row.value, row.length), session.AsWriter().word);
  if (!chain.ok()) {
    return chain.status();
  }
  return session.table.Insert(NewRow(Bytes(row), {&chain.value(), 1}), session.AsWriter());
}

// `fresh`: a value of its own; otherwise the old version's chain is shared.
Status ReplaceRow(TableSession& session, const FoundRow& old, const Row& row, bool fresh) {
  ChainLink chain = old.chains.at(0);
  chain.flags = kChainBorrowed;
  if (fresh) {
    Result<ChainLink> written =
        session.table.overflow().Write(ValueOf(row.value, row.length), session.AsWriter().word);
    if (!written.ok()) {
      return written.status();
    }
    chain = written.value();
  }
  Result<Replaced> replaced =
      session.table.Replace(old.at, NewRow(Bytes(row), {&chain, 1}), RowLock::kNoKeyUpdate,
                            session.AsWriter(), session.visibility);
  if (!replaced.ok()) {
    return replaced.status();
  }
  return replaced.value().touch.result == TouchResult::kOk
             ? Status::Ok()
             : Status::Error("XX000", "could not replace a row");
}

using Rows = std::map<uint64_t, uint64_t>;  // id → number of its value

// What is visible, each value compared with what it must be.
Result<Rows> Look(TableSession& session) {
  Result<std::vector<FoundRow>> found = session.Visible();
  if (!found.ok()) {
    return found.status();
  }
  Rows rows;
  for (const FoundRow& one : found.value()) {
    Row row = Parse(one.row);
    Result<std::string> value =
        ReadValue(session, one.chains.at(0).head, static_cast<uint32_t>(row.length));
    if (!value.ok()) {
      return value.status();
    }
    if (value.value() != ValueOf(row.value, row.length)) {
      return Status::Error("XX000", "row " + std::to_string(row.id) + " has a wrong value");
    }
    if (!rows.emplace(row.id, row.value).second) {
      return Status::Error("XX000", "row " + std::to_string(row.id) + " is there twice");
    }
  }
  return rows;
}

std::vector<std::string> Faults(Storage& storage, TableSession& session) {
  TableCheck check(storage, kAccounts);
  for (;;) {
    Result<bool> more = check.Step(session.visibility, session.transactions.Horizon());
    if (!more.ok()) {
      return {more.status().ToString()};
    }
    if (!more.value()) {
      return check.faults();
    }
  }
}

std::size_t OverflowPages(Storage& storage, TableSession& session) {
  std::size_t pages = 0;
  uint32_t blocks = session.table.space().Blocks().value();
  for (uint32_t block = 0; block < blocks; ++block) {
    Result<PageGuard> guard = storage.pages().Fetch({kAccounts, block}, LatchMode::kShared);
    pages += guard.value().header().kind == PageKind::kOverflow ? 1 : 0;
  }
  return pages;
}

std::size_t PagesFor(std::size_t length) {
  return (length + kOverflowBytes - 1) / kOverflowBytes;
}

class LargeValue : public testing::Test {
 protected:
  LargeValue() {
    EXPECT_TRUE(MakeStorage(fs_).ok());
    life_ = std::make_unique<Life>(fs_);
    EXPECT_TRUE(life_->status.ok());
    session_ = std::make_unique<TableSession>(life_->storage, slots_, 0);
    EXPECT_TRUE(session_->table.space().Create().ok());
  }
  TableSession& S() { return *session_; }
  std::vector<std::string> Wrong() { return Faults(life_->storage, S()); }
  std::size_t Pages() { return OverflowPages(life_->storage, S()); }
  FoundRow Only() {
    std::vector<FoundRow> rows = S().Visible().value();
    EXPECT_EQ(rows.size(), 1u);
    return rows.at(0);
  }
  void Insert(const Row& row) {
    S().Begin();
    ASSERT_TRUE(InsertRow(S(), row).ok());
    ASSERT_TRUE(S().Commit().ok());
  }

  MemoryFileSystem fs_;
  std::unique_ptr<Life> life_;
  std::vector<TxSlot> slots_ = std::vector<TxSlot>(2);
  std::unique_ptr<TableSession> session_;
};

TEST_F(LargeValue, IsReadBackWholeAndInPartsAndItsPagesAreUsedAgain) {
  uint32_t blocks = 0;
  for (std::size_t length :
       {std::size_t{40} * kOverflowBytes, std::size_t{1}, kOverflowBytes - 1, kOverflowBytes,
        kOverflowBytes + 1, 5 * kOverflowBytes, 5 * kOverflowBytes + 77}) {
    std::string value = ValueOf(length, length);
    S().Begin();
    ChainLink chain = S().table.overflow().Write(value, S().AsWriter().word).value();
    EXPECT_EQ(Pages(), PagesFor(length));
    auto total = static_cast<uint32_t>(length);
    EXPECT_EQ(ReadValue(S(), chain.head, total).value(), value);
    Random random(length);
    for (int i = 0; i < 20; ++i) {
      auto from = static_cast<uint32_t>(random.Below(length));
      auto part = static_cast<uint32_t>(random.Below(length - from + 1));
      EXPECT_EQ(ReadValue(S(), chain.head, total, from, part).value(), value.substr(from, part));
    }
    EXPECT_EQ(ReadValue(S(), chain.head, total + 1).status().sqlstate(), kErrDamaged);
    EXPECT_TRUE(S().table.overflow().Free(chain).ok());
    EXPECT_EQ(Pages(), 0u);
    EXPECT_EQ(ReadValue(S(), chain.head, total).status().sqlstate(), kErrDamaged);
    EXPECT_TRUE(S().table.overflow().Free(chain).ok());  // again: nothing
    ASSERT_TRUE(S().Commit().ok());
    blocks = blocks == 0 ? S().table.space().Blocks().value() : blocks;
    EXPECT_EQ(S().table.space().Blocks().value(), blocks);
  }
}

TEST_F(LargeValue, IsSharedByVersionsThatDoNotChangeIt) {
  Insert({1, 1, 20000});
  for (uint64_t i = 0; i < 3; ++i) {
    S().Begin();
    ASSERT_TRUE(ReplaceRow(S(), Only(), {1, 1, 20000}, false).ok());
    ASSERT_TRUE(S().Commit().ok());
    EXPECT_EQ(Pages(), PagesFor(20000));
    ASSERT_TRUE(S().Vacuum().ok());
    EXPECT_EQ(Wrong(), std::vector<std::string>());
    S().Begin();
    EXPECT_EQ(Look(S()).value(), (Rows{{1, 1}}));
    S().End();
  }
  // An update that is undone leaves the value to its row.
  S().Begin();
  ASSERT_TRUE(ReplaceRow(S(), Only(), {1, 1, 20000}, false).ok());
  ASSERT_TRUE(S().Abort().ok());
  ASSERT_TRUE(S().Vacuum().ok());
  S().Begin();
  EXPECT_EQ(Look(S()).value(), (Rows{{1, 1}}));
  S().End();
  // Another value: the old one goes with its version.
  S().Begin();
  ASSERT_TRUE(ReplaceRow(S(), Only(), {1, 2, 9000}, true).ok());
  ASSERT_TRUE(S().Commit().ok());
  EXPECT_EQ(Pages(), PagesFor(20000) + PagesFor(9000));
  ASSERT_TRUE(S().Vacuum().ok());
  EXPECT_EQ(Pages(), PagesFor(9000));
  S().Begin();
  FoundRow last = Only();
  ASSERT_EQ(S().table.Remove(last.at, S().AsWriter(), S().visibility).value().result,
            TouchResult::kOk);
  ASSERT_TRUE(S().Commit().ok());
  ASSERT_TRUE(S().Vacuum().ok());
  EXPECT_EQ(Pages(), 0u);
  EXPECT_EQ(Wrong(), std::vector<std::string>());
}

TEST_F(LargeValue, AValueThatItsOldVersionDoesNotHaveIsNotBorrowed) {
  Insert({1, 1, 9000});
  S().Begin();
  FoundRow row = Only();
  row.chains[0].serial += 1;
  EXPECT_EQ(ReplaceRow(S(), row, {1, 1, 9000}, false).sqlstate(), kErrDamaged);
  ASSERT_TRUE(S().Abort().ok());
}

TEST_F(LargeValue, WhatAbortedIsGivenBackByVacuum) {
  S().Begin();
  ASSERT_TRUE(InsertRow(S(), {1, 1, 30000}).ok());
  // Half a chain, as an error leaves it.
  ChainWriting half;
  ASSERT_TRUE(S().table.overflow().WriteSome(half, ValueOf(2, 50000), S().AsWriter().word, 3).ok());
  EXPECT_FALSE(half.done);
  ASSERT_TRUE(S().Abort().ok());
  EXPECT_EQ(Pages(), PagesFor(30000) + 3);
  EXPECT_EQ(Wrong(), std::vector<std::string>());
  ASSERT_TRUE(S().Vacuum().ok());
  ASSERT_TRUE(S().Vacuum().ok());
  EXPECT_EQ(Pages(), 0u);
  EXPECT_EQ(Wrong(), std::vector<std::string>());
}

TEST_F(LargeValue, ASnapshotKeepsTheValueThatItSees) {
  Insert({1, 1, 20000});
  TableSession reader(life_->storage, slots_, 1);
  reader.Begin();
  S().Begin();
  ASSERT_TRUE(ReplaceRow(S(), Only(), {1, 2, 20000}, true).ok());
  ASSERT_TRUE(S().Commit().ok());
  ASSERT_TRUE(S().Vacuum().ok());
  EXPECT_EQ(Look(reader).value(), (Rows{{1, 1}}));
  reader.End();
  ASSERT_TRUE(S().Vacuum().ok());
  EXPECT_EQ(Pages(), PagesFor(20000));
}

TEST_F(LargeValue, TheCheckFindsBrokenChainsAndPagesOfNoRow) {
  Insert({1, 1, 5 * kOverflowBytes});
  ASSERT_TRUE(S().Vacuum().ok());
  EXPECT_EQ(Wrong(), std::vector<std::string>());
  S().Begin();
  ChainLink chain = Only().chains[0];
  S().End();
  uint32_t second = 0;
  {
    PageGuard head =
        life_->storage.pages().Fetch({kAccounts, chain.head}, LatchMode::kExclusive).value();
    second = OverflowOn(head.page()).next;
    EXPECT_FALSE(TxWord(OverflowOn(head.page()).creator).stamped());  // not written by vacuum
    // The chain is cut: four of its pages are nobody's.
    Mutation mutation(life_->storage.pages(), 0);
    SetOverflowNext(mutation.Change(head), 0);
    ASSERT_TRUE(mutation.Commit().ok());
  }
  std::vector<std::string> faults = Wrong();
  ASSERT_EQ(faults.size(), 5u);
  EXPECT_NE(faults[0].find("its length is wrong"), std::string::npos) << faults[0];
  EXPECT_NE(faults[1].find("of no row"), std::string::npos) << faults[1];
  {
    PageGuard head =
        life_->storage.pages().Fetch({kAccounts, chain.head}, LatchMode::kExclusive).value();
    Mutation mutation(life_->storage.pages(), 0);
    SetOverflowNext(mutation.Change(head), second);
    ASSERT_TRUE(mutation.Commit().ok());
  }
  EXPECT_EQ(Wrong(), std::vector<std::string>());
  {
    PageGuard page =
        life_->storage.pages().Fetch({kAccounts, second}, LatchMode::kExclusive).value();
    Mutation mutation(life_->storage.pages(), 0);
    mutation.Change(page).Format(PageKind::kTable);
    ASSERT_TRUE(mutation.Commit().ok());
  }
  faults = Wrong();
  ASSERT_GE(faults.size(), 1u);
  EXPECT_NE(faults[0].find("a page is not there"), std::string::npos) << faults[0];
  S().Begin();
  EXPECT_EQ(Look(S()).status().sqlstate(), kErrDamaged);
  S().End();
}

// One step of a random history on the rows that are visible; `model` follows.
Status Change(TableSession& session, Random& random, uint64_t number, Rows& model) {
  Result<std::vector<FoundRow>> rows = session.Visible();
  if (!rows.ok()) {
    return rows.status();
  }
  std::size_t length = 1 + random.Below(4 * kOverflowBytes);
  if (rows.value().size() < 3 || random.Chance(1, 4)) {
    model[number] = number;
    return InsertRow(session, {number, number, length}).status();
  }
  const FoundRow& row = rows.value()[random.Below(rows.value().size())];
  Row content = Parse(row.row);
  ++session.command;
  if (random.Chance(1, 3)) {
    model.erase(content.id);
    return session.table.Remove(row.at, session.AsWriter(), session.visibility).status();
  }
  bool fresh = random.Chance(1, 2);
  if (fresh) {
    model[content.id] = number;
    content = {content.id, number, length};
  }
  return ReplaceRow(session, row, content, fresh);
}

TEST_F(LargeValue, ARandomHistoryLosesNoValueAndNoPage) {
  Random random(11);
  Rows model;
  uint64_t number = 1;
  for (int round = 0; round < 150; ++round) {
    S().Begin();
    Rows changed = model;
    for (uint64_t i = random.Between(1, 4); i > 0; --i, ++number) {
      ++S().command;
      ASSERT_TRUE(Change(S(), random, number, changed).ok());
      ++S().command;
      if (random.Chance(1, 3)) {  // a subtransaction, undone or not
        S().AsWriter();
        TxWord child = S().Child();
        Rows inside = changed;
        ASSERT_TRUE(Change(S(), random, ++number, inside).ok());
        ++S().command;
        if (random.Chance(1, 2)) {
          ASSERT_TRUE(S().AbortChild().ok());
        } else {
          changed = inside;
        }
        (void)child;
      }
    }
    Result<Rows> inside = Look(S());
    ASSERT_TRUE(inside.ok()) << inside.status().ToString();
    ASSERT_EQ(inside.value(), changed) << round;
    if (random.Chance(1, 3)) {
      ASSERT_TRUE(S().Abort().ok());
    } else {
      ASSERT_TRUE(S().Commit().ok());
      model = changed;
    }
    if (random.Chance(1, 2)) {
      ASSERT_TRUE(S().Vacuum().ok());
    }
    ASSERT_EQ(Wrong(), std::vector<std::string>()) << round;
    S().Begin();
    ASSERT_EQ(Look(S()).value(), model) << round;
    S().End();
  }
  S().Begin();
  std::size_t expected = 0;
  const std::vector<FoundRow> rows = S().Visible().value();
  for (const FoundRow& row : rows) {
    expected += PagesFor(Parse(row.row).length);
  }
  S().End();
  ASSERT_TRUE(S().Vacuum().ok());
  ASSERT_TRUE(S().Vacuum().ok());
  EXPECT_EQ(Pages(), expected);
}

// ---- power lost at every operation --------------------------------------------------------------

constexpr uint64_t kTransactions = 14;

// Runs the history on a storage that may lose power; how many transactions were acknowledged, and
// what is there after each of them.
uint64_t Work(Storage& storage, std::span<TxSlot> slots, std::vector<Rows>& states) {
  TableSession session(storage, slots, 0);
  Random random(21);
  uint64_t acknowledged = 0;
  for (uint64_t number = 1; number <= kTransactions; ++number) {
    session.Begin();
    Rows model = states.back();
    Status status = Change(session, random, number, model);
    bool undone = status.ok() && number % 4 == 0;
    if (undone) {
      model = states.back();
      status = session.Abort();
    } else if (status.ok()) {
      states.push_back(model);
      status = session.Commit();
    }
    if (status.ok() && number % 3 == 0) {
      status = session.Vacuum();
    }
    if (status.ok() && number % 5 == 0) {
      status = storage.Checkpoint(session.transactions.OldestUnresolved());
    }
    if (!status.ok()) {
      break;
    }
    acknowledged = states.size() - 1;
  }
  return acknowledged;
}

void CheckAfterLoss(MemoryFileSystem& fs, const std::vector<Rows>& states, uint64_t acknowledged,
                    uint64_t at) {
  Life life(fs);
  ASSERT_TRUE(life.status.ok()) << life.status.ToString() << "; operation " << at;
  std::vector<TxSlot> slots(1);
  TableSession session(life.storage, slots, 0);
  ASSERT_TRUE(session.transactions
                  .Resolve(life.report.control.oldest_unresolved,
                           [](uint64_t) -> Result<bool> { return false; })
                  .ok());
  session.Begin();
  Result<Rows> rows = Look(session);
  session.End();
  ASSERT_TRUE(rows.ok()) << rows.status().ToString() << "; operation " << at;
  bool found = false;
  for (uint64_t i = acknowledged; i < states.size(); ++i) {
    found = found || states[i] == rows.value();
  }
  ASSERT_TRUE(found) << "operation " << at;
  ASSERT_EQ(Faults(life.storage, session), std::vector<std::string>()) << "operation " << at;
  // Everything that is nobody's is given back.
  ASSERT_TRUE(session.Vacuum().ok());
  ASSERT_TRUE(session.Vacuum().ok());
  std::size_t expected = 0;
  session.Begin();
  const std::vector<FoundRow> left = session.Visible().value();
  for (const FoundRow& row : left) {
    expected += PagesFor(Parse(row.row).length);
  }
  ASSERT_EQ(Look(session).value(), rows.value()) << "operation " << at;
  session.End();
  ASSERT_EQ(OverflowPages(life.storage, session), expected) << "operation " << at;
}

TEST(LargeValueCrash, PowerLostAtEveryOperationLosesNoValueAndNoPage) {
  bool finished = false;
  for (uint64_t at = 1; !finished; ++at) {
    MemoryFileSystem fs;
    ASSERT_TRUE(MakeStorage(fs).ok());
    std::vector<TxSlot> slots(1);
    std::vector<Rows> states(1);
    uint64_t acknowledged = 0;
    {
      Life life(fs);
      TableStore table(life.storage, kAccounts);
      ASSERT_TRUE(table.space().Create().ok());
      ASSERT_TRUE(life.storage.FlushRedo(life.storage.redo().end()).ok());
      uint64_t before = fs.operations();
      fs.FailAt(before + at, MemoryFault::kCrash);
      acknowledged = Work(life.storage, slots, states);
      finished = fs.operations() - before < at;
    }
    Random random(at);
    fs.PowerCycle(random, MemoryLoss::kRandom);
    ASSERT_NO_FATAL_FAILURE(CheckAfterLoss(fs, states, acknowledged, at));
  }
}

}  // namespace
}  // namespace pgquorum::fusion
