// What one site does: what its workers will do around the cores.
#include <algorithm>

#include "base/check.h"
#include "bgworkers/replication/core/sim/script.h"
#include "bgworkers/replication/core/sim/world.h"

#include "base/pure.h"

namespace pgquorum::replication::sim {
namespace {

constexpr uint64_t kTransactionBytes = 50;
constexpr std::size_t kBatch = 3;
constexpr std::size_t kWorkers = 3;

uint64_t HashOf(const std::string& table, const std::string& key) {
  return std::hash<std::string>{}(table + "/" + key);
}

}  // namespace

void World::Crash(Site& site) {
  site.up = false;
  // Its connections break, with what is on them.
  std::erase_if(network_, [&](const Message& one) { return one.to == site.index; });
  site.restart_at_us = now_us_ + random_.Below(200'000);
  site.clock.reset();
  site.index_of_spool.reset();
  site.memory.clear();
  site.schedulers.clear();
  site.executing.clear();
  site.promises.clear();
  site.complete.clear();
  site.reports.clear();
  site.heard.clear();
  site.clocks.clear();
  site.lines.clear();
  site.boots.clear();
  if (bugs_.progress_not_atomic && !site.old_applied.empty()) {
    site.applied = site.old_applied;
  }
}

void World::Restart(Site& site) {
  site.up = true;
  ++site.boot;
  ClockOptions options;
  options.max_skew_us = 3'000'000;
  site.clock.emplace(options, bugs_.bound_not_durable ? Hlc(1'000) : site.durable_bound);
  site.index_of_spool.emplace(site.origin.site, spool_options_);
  for (Origin member : site.members) {
    if (member != site.origin) {
      site.index_of_spool->AddPeer(member.site);
    }
  }
  // What is on disk: one segment a transaction, the finest that an index can be given.
  std::set<Origin> origins;
  for (const auto& [origin, window] : site.applied) {
    origins.insert(origin);
  }
  for (const auto& [origin, disk] : site.disk) {
    origins.insert(origin);
  }
  for (Origin origin : origins) {
    std::vector<Segment> segments;
    for (const Transaction& transaction : site.disk[origin]) {
      segments.push_back({transaction.sequence, transaction.sequence, kTransactionBytes});
    }
    uint64_t applied = origin == site.origin ? site.sequence : site.applied[origin].watermark();
    Status recovered = site.index_of_spool->Recover(origin, segments, applied);
    if (!recovered.ok()) {
      Fail("site " + site.origin.ToString() + ": " + recovered.ToString());
    }
  }
}

// Makes the clock's bound durable. False when the site has died over it.
bool World::PersistFor(Site& site, Hlc also) {
  Hlc bound = site.clock->WantedBound(WallOf(site), also);
  if (CrashHere(site, Point::kCrashBeforeSync)) {
    return false;
  }
  site.durable_bound = bound;
  site.clock->BoundPersisted(bound);
  coverage_.Hit(Point::kBoundPersisted);
  return true;
}

Statement World::Draw(Site& site) {
  auto text = [&](uint64_t bound) { return std::to_string(random_.Below(bound)); };
  std::string line;
  uint64_t draw = random_.Below(20);
  if (draw < 8) {
    bool down = random_.Chance(1, 3);
    line = "update acc " + std::to_string(random_.Between(1, 2)) + " n" + (down ? "-" : "+") +
           std::to_string(random_.Between(1, 9));
    if (random_.Chance(1, 2)) {
      line += " tags+w" + std::to_string(++words_);
    } else if (words_ > 0) {
      line += " tags-w" + std::to_string(random_.Between(1, words_));
    }
  } else if (draw < 10) {
    line = (random_.Chance(1, 2) ? "insert p " : "delete p ") + text(4);
    line += line[0] == 'i' ? " a=" + text(5) : "";
  } else if (draw < 12) {
    line = random_.Chance(3, 4) ? "insert c " + text(6) + " p=" + text(4) : "delete c " + text(6);
  } else if (draw == 12 && random_.Chance(1, 6)) {
    line = "truncate t";
  } else {
    std::string key = text(4);
    constexpr const char* kVerbs[] = {"insert t ", "update t ", "update t ",
                                      "update t ", "delete t ", "rekey t "};
    std::string verb = kVerbs[random_.Below(6)];
    line = verb + key;
    line += verb == "rekey t " ? " " + std::to_string(4 + random_.Below(3)) : "";
    bool all = verb == "insert t ";
    for (const char* column : {"a", "b", "u"}) {
      if (verb != "delete t " && (all || random_.Chance(1, 2))) {
        line += std::string(" ") + column + "=" + text(5);
      }
    }
    line += verb != "delete t " && random_.Chance(1, 2) ? " n+" + text(5) : "";
  }
  (void)site;
  return ParseStatement(Words(line));
}

void World::WriteHere(Site& site) {
  if (site.index_of_spool->Pressure() >= 700) {
    coverage_.Hit(Point::kSpoolFull);
    return;
  }
  Statement statement = Draw(site);
  std::optional<Hlc> reading = site.clock->Next(WallOf(site));
  if (!reading) {
    if (!PersistFor(site, Hlc())) {
      return;
    }
    reading = site.clock->Next(WallOf(site));
  }
  PGQUORUM_CHECK(reading.has_value());
  if (CrashHere(site, Point::kCrashBeforeCommit)) {
    return;
  }
  Commit(site, statement, {*reading, site.origin});
}

void World::Commit(Site& site, const Statement& statement, const Stamp& stamp) {
  Transaction transaction;
  transaction.origin = site.origin;
  transaction.sequence = site.sequence + 1;
  transaction.stamp = stamp;
  transaction.entries = site.entries;
  transaction.effects =
      site.database->Run(statement, {site.origin, transaction.sequence}, stamp, site.dot_sequence);
  if (transaction.effects.empty()) {
    return;
  }
  if (stamp <= last_stamp_[site.origin]) {
    Fail("site " + site.origin.ToString() + ": its clock has gone back");
  }
  last_stamp_[site.origin] = stamp;
  for (const Effect& effect : transaction.effects) {
    transaction.barrier = transaction.barrier || !effect.change;
    transaction.keys.push_back(HashOf(effect.table, effect.change ? effect.change->key : ""));
  }
  coverage_.Hit(Point::kLocalWrite);
  coverage_.Hit(Point::kTruncated, transaction.barrier ? 1 : 0);
  coverage_.Hit(Point::kKeyUpdated, transaction.effects.size() > 1 ? 1 : 0);
  CheckOwnWrite(site, statement);
  Trace(site, "commits " + std::to_string(transaction.sequence) + " at " +
                  std::to_string(stamp.hlc.value()) + ": " + ToString(statement));
  // Rows, the sequence and what WAL says of them are durable at once.
  site.sequence = transaction.sequence;
  site.disk[site.origin].push_back(transaction);
  Remember(transaction, statement);
  SpoolIndex& index = *site.index_of_spool;
  // Writers were held up before the own part was full.
  PGQUORUM_CHECK(index.Append(site.origin, transaction.sequence, kTransactionBytes) ==
                 SpoolIndex::Appended::kYes);
  PGQUORUM_CHECK(index.MarkDurable(site.origin, transaction.sequence).ok());
  PGQUORUM_CHECK(index.MarkApplied(site.origin, transaction.sequence).ok());
  CrashHere(site, Point::kCrashAfterCommit);
}

void World::SendAll(Site& site) {
  SpoolIndex& index = *site.index_of_spool;
  Message progress;
  progress.from = site.origin;
  progress.boot = site.boot;
  for (Origin origin : index.origins()) {
    progress.marks[origin] = index.Of(origin);
    if (bugs_.ack_before_sync) {
      progress.marks[origin].durable = progress.marks[origin].received;
    }
  }
  // Nothing that commits here from now on has a reading at or below the last one.
  progress.promise = site.clock->last();
  progress.promise_last = site.sequence;
  progress.report = site.reports[site.origin];
  for (Origin member : site.members) {
    if (member == site.origin) {
      continue;
    }
    Message message = progress;
    message.to = member.site.value() - 1U;
    bool heard = site.heard.contains(member);
    std::vector<Origin> mine = {site.origin};
    for (const auto& [origin, level] : site.levels) {
      if (level.second == site.origin.site) {
        mine.push_back(origin);
      }
    }
    for (Origin origin : mine) {
      uint64_t next = index.PeerAt(member.site, origin).received + 1;
      if (!heard) {
        continue;
      }
      if (!index.CanServe(origin, next) && next <= index.Of(origin).received) {
        Fail("site " + member.ToString() + " needs " + origin.ToString() + ":" +
             std::to_string(next) + ", which site " + site.origin.ToString() + " has let go");
        return;
      }
      std::size_t sent = 0;
      for (const Transaction& transaction : site.disk[origin]) {
        if (transaction.sequence >= next && sent < kBatch) {
          message.transactions.push_back(transaction);
          ++sent;
        }
      }
    }
    // Lost, cut, late, doubled.
    int copies = healing_ || !random_.Chance(1, 12) ? 1 : 2;
    coverage_.Hit(Point::kMessageDoubled, copies > 1 ? 1 : 0);
    if (Cut(site.index, message.to)) {
      coverage_.Hit(Point::kMessageCut);
      continue;
    }
    if (!healing_ && random_.Chance(1, 10)) {
      coverage_.Hit(Point::kMessageLost);
      continue;
    }
    for (; copies > 0; --copies) {
      message.at_us = now_us_ + random_.Below(healing_ ? 10'000 : 100'000);
      network_.push_back(message);
    }
  }
}

void World::Deliver(const Message& message) {
  Site& site = sites_[message.to];
  if (!site.up) {
    return;
  }
  bool fenced = site.fenced.contains(message.from) && !bugs_.evicted_heard;
  bool known = site.members.contains(message.from) ||
               (bugs_.evicted_heard && site.fenced.contains(message.from));
  if (fenced || !known) {
    return;
  }
  uint64_t& boot = site.boots[message.from];
  if (message.boot < boot) {
    return;  // of a session that is over
  }
  if (message.boot > boot) {
    site.index_of_spool->Reconnected(message.from.site);
    boot = message.boot;
  }
  for (const auto& [origin, marks] : message.marks) {
    // A site that was evicted is no peer any more, even if it is heard.
    Status said = site.index_of_spool->Acknowledge(message.from.site, origin, marks);
    if (!said.ok() && site.members.contains(message.from)) {
      Fail("site " + site.origin.ToString() + ": " + said.ToString());
      return;
    }
  }
  site.heard.insert(message.from);
  auto promise = site.promises.find(message.from);
  bool kept = promise == site.promises.end() ||
              site.applied[message.from].watermark() >= promise->second.second;
  if (kept) {
    site.promises[message.from] = {message.promise, message.promise_last};
  }
  site.clocks[message.from] = std::max(site.clocks[message.from], message.promise);
  site.reports[message.from] = std::max(site.reports[message.from], message.report);
  for (const Transaction& transaction : message.transactions) {
    if (site.up) {
      Receive(site, transaction);
    }
  }
}

void World::Receive(Site& site, const Transaction& transaction) {
  bool wanted = site.members.contains(transaction.origin) ||
                site.levels.contains(transaction.origin) || bugs_.evicted_heard;
  if (!wanted) {
    return;
  }
  SpoolIndex::Appended appended =
      site.index_of_spool->Append(transaction.origin, transaction.sequence, kTransactionBytes);
  switch (appended) {
    case SpoolIndex::Appended::kYes:
      site.memory[transaction.origin].push_back(transaction);
      break;
    case SpoolIndex::Appended::kDuplicate:
      coverage_.Hit(Point::kDuplicateReceived);
      break;
    case SpoolIndex::Appended::kGap:
      coverage_.Hit(Point::kGapReceived);
      break;
    case SpoolIndex::Appended::kFull:
      coverage_.Hit(Point::kSpoolFull);
      break;
  }
}

void World::Sync(Site& site) {
  for (auto& [origin, memory] : site.memory) {
    if (memory.empty()) {
      continue;
    }
    if (CrashHere(site, Point::kCrashBeforeSync)) {
      return;
    }
    std::deque<Transaction>& disk = site.disk[origin];
    disk.insert(disk.end(), memory.begin(), memory.end());
    memory.clear();
    PGQUORUM_CHECK(site.index_of_spool->MarkDurable(origin, disk.back().sequence).ok());
    if (CrashHere(site, Point::kCrashAfterSync)) {
      return;
    }
  }
}

void World::ApplySome(Site& site) {
  std::vector<Origin> origins;
  for (const auto& [origin, disk] : site.disk) {
    if (origin != site.origin) {
      origins.push_back(origin);
    }
  }
  for (Origin origin : origins) {
    AppliedWindow& window = site.applied[origin];
    auto [place, fresh] =
        site.schedulers.try_emplace(origin, ApplyScheduler::Options{8, 64}, window.watermark());
    ApplyScheduler& scheduler = place->second;
    for (const Transaction& transaction : site.disk[origin]) {
      if (transaction.sequence == scheduler.applied() + scheduler.size() + 1 &&
          !scheduler.Submit(transaction.sequence, transaction.keys, transaction.barrier)) {
        break;
      }
    }
    for (int turn = 0; turn < 6 && site.up; ++turn) {
      if (!RunOne(site, origin, scheduler)) {
        break;
      }
    }
    if (!site.up) {
      return;
    }
  }
}

// One step of an origin's appliers. False when there is nothing to do, or the site has died.
bool World::RunOne(Site& site, Origin origin, ApplyScheduler& scheduler) {
  std::set<uint64_t>& executing = site.executing[origin];
  auto transaction = [&](uint64_t sequence) -> const Transaction& {
    auto found = std::find_if(site.disk[origin].begin(), site.disk[origin].end(),
                              [&](const Transaction& one) { return one.sequence == sequence; });
    PGQUORUM_CHECK(found != site.disk[origin].end());
    return *found;
  };
  if (std::optional<uint64_t> ready = scheduler.NextToCommit(); ready && random_.Chance(1, 2)) {
    const Transaction& one = transaction(*ready);
    if (one.entries > site.entries) {
      ApplyEntries(site);  // the membership first: values may have been folded by it
    }
    Observed seen = site.up ? site.clock->Observe(one.stamp.hlc, WallOf(site)) : Observed::kParked;
    if (seen == Observed::kParked) {
      coverage_.Hit(Point::kParkedForSkew, site.up ? 1 : 0);
      return false;
    }
    if (seen == Observed::kNeedsBound) {
      if (!PersistFor(site, one.stamp.hlc)) {
        return false;
      }
      seen = site.clock->Observe(one.stamp.hlc, WallOf(site));
    }
    PGQUORUM_CHECK(seen == Observed::kAccepted);
    CommitRemote(site, origin, *ready);
    return site.up;
  }
  std::vector<uint64_t> younger = scheduler.Yield();
  if (!younger.empty() && !healing_ && random_.Chance(1, 30)) {
    coverage_.Hit(Point::kYielded);
    for (uint64_t sequence : younger) {
      scheduler.Failed(sequence);
      executing.erase(sequence);
    }
  }
  std::optional<uint64_t> next = executing.size() < kWorkers ? scheduler.Next() : std::nullopt;
  if (!next) {
    return scheduler.NextToCommit().has_value();
  }
  for (uint64_t other : executing) {
    coverage_.Hit(Point::kSideBySide);
    for (uint64_t key : transaction(other).keys) {
      const std::vector<uint64_t>& mine = transaction(*next).keys;
      if (std::count(mine.begin(), mine.end(), key) > 0) {
        Fail("site " + site.origin.ToString() + ": " + origin.ToString() + ":" +
             std::to_string(*next) + " runs beside " + std::to_string(other) + ", same key");
      }
    }
  }
  executing.insert(*next);
  scheduler.Executed(*next);
  return !CrashHere(site, Point::kCrashWhileExecuting);
}

void World::CommitRemote(Site& site, Origin origin, uint64_t sequence) {
  AppliedWindow& window = site.applied[origin];
  auto found = std::find_if(site.disk[origin].begin(), site.disk[origin].end(),
                            [&](const Transaction& one) { return one.sequence == sequence; });
  const Transaction transaction = *found;
  if (sequence != window.watermark() + 1) {
    Fail("site " + site.origin.ToString() + ": commits " + origin.ToString() + ":" +
         std::to_string(sequence) + " after " + std::to_string(window.watermark()));
    return;
  }
  if (!applied_once_[site.index].emplace(origin, sequence).second) {
    Fail("site " + site.origin.ToString() + ": applies " + origin.ToString() + ":" +
         std::to_string(sequence) + " twice");
  }
  if (transaction.stamp.hlc <= site.database->stable()) {
    Fail("site " + site.origin.ToString() + ": " + origin.ToString() + ":" +
         std::to_string(sequence) + " arrives below the stable line");
  }
  Trace(site, "applies " + origin.ToString() + ":" + std::to_string(sequence));
  site.old_applied = site.applied;
  for (const Effect& effect : transaction.effects) {
    Decision decision;
    site.database->Apply(effect, &decision);
    coverage_.Hit(Point::kConflict, decision.conflict != ConflictKind::kNone ? 1 : 0);
    coverage_.Hit(Point::kMerged, decision.outcome == Outcome::kMerged ? 1 : 0);
    coverage_.Hit(Point::kKeptBoth, decision.outcome == Outcome::kKeptBoth ? 1 : 0);
  }
  if (!site.database->broken().empty()) {
    Fail("site " + site.origin.ToString() + ": " + site.database->broken());
  }
  coverage_.Hit(Point::kRemoteApply);
  window.Record(sequence);
  site.executing[origin].erase(sequence);
  site.schedulers.at(origin).Committed(sequence);
  PGQUORUM_CHECK(site.index_of_spool->MarkApplied(origin, sequence).ok());
  if (CrashHere(site, Point::kCrashAfterApply)) {
    return;
  }
  site.old_applied.clear();
}

void World::Trim(Site& site) {
  SpoolIndex& index = *site.index_of_spool;
  for (Origin origin : index.origins()) {
    std::vector<Segment> segments = index.Trimmable(origin);
    if (segments.empty()) {
      continue;
    }
    uint64_t last = segments.back().last;
    std::deque<Transaction>& disk = site.disk[origin];
    while (!disk.empty() && disk.front().sequence <= last) {
      disk.pop_front();
    }
    index.Trimmed(origin, last);
    coverage_.Hit(Point::kTrimmed);
  }
}

}  // namespace pgquorum::replication::sim
