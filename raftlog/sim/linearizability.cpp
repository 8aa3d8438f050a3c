#include "raftlog/sim/linearizability.h"

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/check.h"

#include "base/pure.h"

namespace pgquorum::raft::sim {
namespace {

using Kind = Operation::Kind;

std::string Describe(const Operation& operation) {
  const char* name = operation.kind == Kind::kWrite  ? "write"
                     : operation.kind == Kind::kRead ? "read"
                                                     : "increment";
  std::string text = std::string(name) + " of key " + std::to_string(operation.key) + " ";
  text += operation.kind == Kind::kWrite ? "value " : "answered ";
  text += std::to_string(operation.value) + ", called at " + std::to_string(operation.called);
  return operation.answered == Operation::kNever
             ? text
             : text + ", answered at " + std::to_string(operation.answered);
}

// False: in this state it cannot have had the answer that it had.
bool Step(const Operation& operation, uint64_t& state) {
  switch (operation.kind) {
    case Kind::kWrite:
      state = operation.value;
      return true;
    case Kind::kRead:
      return state == operation.value;
    case Kind::kIncrement:
      ++state;
      return operation.answered == Operation::kNever || state == operation.value;
  }
  return false;
}

// The search for one key. Calls and answers stand in a doubly linked list in the order of time;
// taking an operation as the next one to have had its effect lifts both of its entries out.
class Search {
 public:
  Search(std::vector<Operation> operations, std::size_t max_states)
      : operations_(std::move(operations)), max_states_(max_states) {
    BuildList();
  }

  Verdict Run();

 private:
  static constexpr std::size_t kNone = SIZE_MAX;
  struct Entry {
    std::size_t operation = 0;
    bool call = true;
    std::size_t previous = kNone;
    std::size_t next = kNone;
    std::size_t answer = kNone;  // of a call
  };
  struct Taken {
    std::size_t entry;
    uint64_t state_before;
    bool certain;  // no other choice can succeed where this one fails
  };
  struct Hash {
    std::size_t operator()(const std::vector<uint64_t>& words) const {
      uint64_t hash = 0xCBF29CE484222325ULL;
      for (uint64_t word : words) {
        hash = (hash ^ word) * 0x9E3779B97F4A7C15ULL;
        hash ^= hash >> 29;
      }
      return hash;
    }
  };

  void BuildList();
  void Unlink(std::size_t entry);
  void Relink(std::size_t entry);
  void Lift(std::size_t call);
  void PutBack(std::size_t call);
  bool VisitedBefore();
  bool Certain(const Operation& operation) const;
  bool DeadEnd(const Operation& operation) const;
  uint64_t ReadsLeft(uint64_t value) const;
  std::size_t TakeBack(std::vector<Taken>& taken);

  std::vector<Operation> operations_;
  std::size_t max_states_;
  std::vector<Entry> entries_;  // the first one is the list's head
  std::size_t open_answers_ = 0;
  uint64_t state_ = 0;
  std::vector<uint64_t> done_;  // a bit an operation, and the state in the last word
  std::unordered_set<std::vector<uint64_t>, Hash> visited_;
  std::unordered_map<uint64_t, uint64_t> reads_left_;  // of each value, not taken yet
};

void Search::BuildList() {
  std::vector<std::pair<uint64_t, std::size_t>> times;  // entry numbers without links yet
  entries_.push_back({});
  for (std::size_t i = 0; i < operations_.size(); ++i) {
    times.emplace_back(operations_[i].called, entries_.size());
    entries_.push_back({i, true, kNone, kNone, kNone});
    if (operations_[i].kind == Kind::kRead) {
      ++reads_left_[operations_[i].value];
    }
    if (operations_[i].answered != Operation::kNever) {
      PGQUORUM_CHECK(operations_[i].answered > operations_[i].called);
      entries_.back().answer = entries_.size();
      times.emplace_back(operations_[i].answered, entries_.size());
      entries_.push_back({i, false, kNone, kNone, kNone});
      ++open_answers_;
    }
  }
  std::sort(times.begin(), times.end());
  std::size_t last = 0;
  for (const auto& [time, entry] : times) {
    entries_[last].next = entry;
    entries_[entry].previous = last;
    last = entry;
  }
  done_.resize(operations_.size() / 64 + 2);
}

void Search::Unlink(std::size_t entry) {
  entries_[entries_[entry].previous].next = entries_[entry].next;
  if (entries_[entry].next != kNone) {
    entries_[entries_[entry].next].previous = entries_[entry].previous;
  }
}

void Search::Relink(std::size_t entry) {
  entries_[entries_[entry].previous].next = entry;
  if (entries_[entry].next != kNone) {
    entries_[entries_[entry].next].previous = entry;
  }
}

void Search::Lift(std::size_t call) {
  const Operation& operation = operations_[entries_[call].operation];
  if (operation.kind == Kind::kRead) {
    --reads_left_[operation.value];
  }
  Unlink(call);
  if (entries_[call].answer != kNone) {
    Unlink(entries_[call].answer);
    --open_answers_;
  }
}

void Search::PutBack(std::size_t call) {
  const Operation& operation = operations_[entries_[call].operation];
  if (operation.kind == Kind::kRead) {
    ++reads_left_[operation.value];
  }
  if (entries_[call].answer != kNone) {
    Relink(entries_[call].answer);
    ++open_answers_;
  }
  Relink(call);
}

bool Search::VisitedBefore() {
  done_.back() = state_;
  return !visited_.insert(done_).second;
}

uint64_t Search::ReadsLeft(uint64_t value) const {
  auto found = reads_left_.find(value);
  return found == reads_left_.end() ? 0 : found->second;
}

// Written values are distinct, so a value that is overwritten never comes back.
bool Search::DeadEnd(const Operation& operation) const {
  return operation.kind == Kind::kWrite && ReadsLeft(state_) > 0;
}

// A read that fits now changes nothing by being taken now; neither does a write that nobody reads
// in place of a value that nobody reads any more.
bool Search::Certain(const Operation& operation) const {
  return operation.kind == Kind::kRead ||
         (operation.kind == Kind::kWrite && ReadsLeft(operation.value) == 0);
}

// Back to the last choice that could have been another one; its entry, or kNone.
std::size_t Search::TakeBack(std::vector<Taken>& taken) {
  while (!taken.empty()) {
    Taken last = taken.back();
    taken.pop_back();
    state_ = last.state_before;
    std::size_t operation = entries_[last.entry].operation;
    done_[operation / 64] &= ~(uint64_t{1} << (operation % 64));
    PutBack(last.entry);
    if (!last.certain) {
      return last.entry;
    }
  }
  return kNone;
}

Verdict Search::Run() {
  std::vector<Taken> taken;
  std::size_t deepest = 0;
  std::size_t stuck_at = kNone;
  std::size_t entry = entries_[0].next;
  while (open_answers_ > 0) {
    if (entries_[entry].call) {
      std::size_t operation = entries_[entry].operation;
      uint64_t before = state_;
      bool certain = Certain(operations_[operation]);
      done_[operation / 64] |= uint64_t{1} << (operation % 64);
      if (!DeadEnd(operations_[operation]) && Step(operations_[operation], state_) &&
          (certain || !VisitedBefore())) {
        if (visited_.size() > max_states_) {
          return {Verdict::Kind::kUndecided, "too many configurations"};
        }
        taken.push_back({entry, before, certain});
        Lift(entry);
        entry = entries_[0].next;
        continue;
      }
      state_ = before;
      done_[operation / 64] &= ~(uint64_t{1} << (operation % 64));
      entry = entries_[entry].next;
      continue;
    }
    // An answer: its operation, and so one of those tried, must come before. Take the last back.
    if (stuck_at == kNone || taken.size() >= deepest) {
      deepest = taken.size();
      stuck_at = entries_[entry].operation;
    }
    std::size_t call = TakeBack(taken);
    if (call == kNone) {
      return {Verdict::Kind::kViolated, "no order explains the " + Describe(operations_[stuck_at]) +
                                            " (" + std::to_string(deepest) + " of " +
                                            std::to_string(operations_.size()) +
                                            " operations of the key could be ordered)"};
    }
    entry = entries_[call].next;
  }
  return {};
}

// A write of unknown fate whose value nobody has read may as well never have happened: without it
// every order that explains the rest still does.
std::vector<Operation> WithoutUnseenWrites(const std::vector<Operation>& operations) {
  std::set<uint64_t> seen;
  for (const Operation& operation : operations) {
    if (operation.kind == Kind::kRead) {
      seen.insert(operation.value);
    }
  }
  std::vector<Operation> rest;
  std::copy_if(operations.begin(), operations.end(), std::back_inserter(rest),
               [&seen](const Operation& operation) {
                 return operation.kind != Kind::kWrite || operation.answered != Operation::kNever ||
                        seen.contains(operation.value);
               });
  return rest;
}

}  // namespace

uint64_t History::Call(Operation::Kind kind, uint32_t key, uint64_t value) {
  items_.push_back({{kind, key, value, ++clock_, Operation::kNever}, Fate::kOpen});
  return items_.size();
}

void History::Answer(uint64_t operation, uint64_t value) {
  Item& item = items_.at(operation - 1);
  PGQUORUM_CHECK(item.fate == Fate::kOpen);
  item.fate = Fate::kAnswered;
  item.operation.answered = ++clock_;
  if (item.operation.kind != Kind::kWrite) {
    item.operation.value = value;
  }
}

void History::Refuse(uint64_t operation) {
  Item& item = items_.at(operation - 1);
  PGQUORUM_CHECK(item.fate == Fate::kOpen);
  item.fate = Fate::kRefused;
}

std::vector<Operation> History::Operations() const {
  std::vector<Operation> operations;
  for (const Item& item : items_) {
    bool unanswered_read =
        item.fate == Fate::kOpen && item.operation.kind == Kind::kRead;  // has no effect
    if (item.fate != Fate::kRefused && !unanswered_read) {
      operations.push_back(item.operation);
    }
  }
  return operations;
}

Verdict CheckLinearizable(const std::vector<Operation>& operations, std::size_t max_states) {
  std::map<uint32_t, std::vector<Operation>> keys;
  for (const Operation& operation : operations) {
    keys[operation.key].push_back(operation);
  }
  Verdict undecided;
  for (auto& [key, of_key] : keys) {
    Verdict verdict = Search(WithoutUnseenWrites(of_key), max_states).Run();
    if (verdict.kind == Verdict::Kind::kViolated) {
      return verdict;
    }
    if (verdict.kind == Verdict::Kind::kUndecided) {
      undecided = verdict;
    }
  }
  return undecided;
}

}  // namespace pgquorum::raft::sim
