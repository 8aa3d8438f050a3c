// Accounts between which money moves: the sum is the same for whoever looks, whenever.
#pragma once

#include <cstring>
#include <map>
#include <string>

#include "base/random.h"
#include "cachefusion/table/test/table_world.h"

namespace pgquorum::fusion {

inline constexpr uint64_t kRows = 24;
// Rows behind the accounts, one for each process: the number of its latest transfer.
inline constexpr uint64_t kCounters = 4;
inline constexpr int64_t kEach = 1000;

struct Account {
  uint64_t id;
  int64_t balance;
  uint64_t last;  // the latest transfer that touched it
  char filling[300];
};

inline std::string Bytes(const Account& account) {
  return std::string(reinterpret_cast<const char*>(&account), sizeof(account));
}

inline Account Parse(const std::string& row) {
  Account account;
  std::memcpy(&account, row.data(), sizeof(account));
  return account;
}

inline Status Fund(Storage& storage, std::span<TxSlot> slots) {
  TableSession session(storage, slots, 0);
  Status status = session.table.space().Create();
  session.Begin();
  for (uint64_t i = 0; i < kRows + kCounters && status.ok(); ++i) {
    Account account{i, i < kRows ? kEach : 0, 0, {}};
    status = session.table.Insert(Bytes(account), session.AsWriter()).status();
  }
  return status.ok() ? session.Commit() : status;
}

// The rows as a snapshot shows them; an error when the sum is wrong.
inline Result<std::map<uint64_t, FoundRow>> Look(TableSession& session) {
  Result<std::vector<FoundRow>> rows = session.Visible();
  if (!rows.ok()) {
    return rows.status();
  }
  std::map<uint64_t, FoundRow> accounts;
  int64_t sum = 0;
  for (const FoundRow& row : rows.value()) {
    Account account = Parse(row.row);
    sum += account.balance;
    if (!accounts.emplace(account.id, row).second) {
      return Status::Error("XX000", "account " + std::to_string(account.id) + " seen twice");
    }
  }
  if (accounts.size() != kRows + kCounters || sum != static_cast<int64_t>(kRows) * kEach) {
    return Status::Error("XX000",
                         std::to_string(accounts.size()) + " accounts with " + std::to_string(sum));
  }
  return accounts;
}

// False: another was faster, nothing was done. Never waits, so never a deadlock.
inline Result<bool> Transfer(TableSession& session, Random& random, uint64_t number,
                             uint64_t counter = 0) {
  session.Begin();
  Result<std::map<uint64_t, FoundRow>> accounts = Look(session);
  if (!accounts.ok()) {
    return accounts.status();
  }
  uint64_t from = random.Below(kRows);
  uint64_t to = (from + 1 + random.Below(kRows - 1)) % kRows;
  auto amount = static_cast<int64_t>(random.Between(1, 50));
  bool done = true;
  for (uint64_t id : {from, to, kRows + counter}) {
    const FoundRow& row = accounts.value().at(id);
    Account account = Parse(row.row);
    account.balance += id >= kRows ? 0 : id == from ? -amount : amount;
    account.last = number;
    Result<Replaced> replaced = session.table.Replace(row.at, Bytes(account), RowLock::kNoKeyUpdate,
                                                      session.AsWriter(), session.visibility);
    if (!replaced.ok()) {
      return replaced.status();
    }
    if (replaced.value().touch.result != TouchResult::kOk) {
      done = false;
      break;
    }
  }
  Status ended = done ? session.Commit() : session.Abort();
  return ended.ok() ? Result<bool>(done) : ended;
}

}  // namespace pgquorum::fusion
