// A world of sites made of one seed. The sites are the classes that ship (clock, spool index,
// scheduler, windows, conflict decision, replicated types) around a model of a database whose
// commits are atomic; the world supplies wall clocks, a network, disks that forget what was not
// synced, crashes, and the agreed log of the membership.
//
// Checked at every step: readings of a clock rise, restarts included; a transaction is applied
// once, in its origin's order; no two writers of a key run at once; nothing arrives below the
// stable line, or that has not seen what was forgotten; a member finds what it needs in some spool;
// a statement has done at its own site what it says. Checked at the end, after healing: all
// sites show the same rows and hold the same states; every counter is the sum of what was
// acknowledged; sets hold what was added and not removed.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "bgworkers/replication/core/clock/applied_window.h"
#include "bgworkers/replication/core/clock/hlc.h"
#include "bgworkers/replication/core/sim/coverage.h"
#include "bgworkers/replication/core/sim/database.h"
#include "bgworkers/replication/core/stream/apply_scheduler.h"
#include "bgworkers/replication/core/stream/spool_index.h"

namespace pgquorum::replication::sim {

// Deliberate defects of the world, that is, of what workers have to do around the cores.
struct WorldBugs {
  bool bound_not_durable = false;       // the clock's bound is lost in a crash
  bool ack_before_sync = false;         // acknowledges as durable what is in memory
  bool progress_not_atomic = false;     // progress is written after the rows
  bool stable_without_members = false;  // forgets tombstones by its own progress
  bool close_before_level = false;      // an origin is closed before everybody has everything
  bool evicted_heard = false;           // listens to a site after saying how much it has of it
  bool incarnation_kept = false;        // a site that lost its data comes back as who it was
  bool copy_before_hold = false;        // a joiner is copied before the others keep things for it
};

struct Transaction {
  Origin origin;
  uint64_t sequence = 0;
  Stamp stamp;
  std::vector<Effect> effects;
  std::vector<uint64_t> keys;
  bool barrier = false;
  std::size_t entries = 0;  // of the agreed log that the writer had applied
};

struct Message {
  uint64_t at_us = 0;
  std::size_t to = 0;
  Origin from;
  uint64_t boot = 0;  // of the sender: its session
  std::vector<Transaction> transactions;
  // Progress of the sender.
  std::map<Origin, Watermarks> marks;
  Hlc promise;                // all of its transactions up to this reading are
  uint64_t promise_last = 0;  // … these
  Hlc report;                 // it has applied everything of everybody up to here
};

// The agreed log.
struct Entry {
  enum class Kind : uint8_t { kAdd, kEvict, kLevel, kClosed };
  Kind kind = Kind::kAdd;
  Origin origin;
  uint64_t target = 0;
  SiteId source;
};

struct Site {
  std::size_t index = 0;
  Origin origin;
  bool up = false;
  bool gone = false;  // its disk is lost

  // Durable.
  std::optional<Database> database;
  std::map<Origin, AppliedWindow> applied;
  uint64_t sequence = 0;      // of transactions
  uint64_t dot_sequence = 0;  // of operations on replicated values
  Hlc durable_bound;
  std::map<Origin, std::deque<Transaction>> disk;
  std::size_t entries = 0;  // of the agreed log
  uint64_t boot = 0;        // starts of this site
  std::set<Origin> members;
  std::set<Origin> fenced;                               // evicted, not listened to
  std::map<Origin, std::pair<uint64_t, SiteId>> levels;  // evicted origins being levelled
  std::map<Origin, AppliedWindow> old_applied;           // for progress_not_atomic

  // Lost in a crash.
  std::optional<HybridClock> clock;
  std::optional<SpoolIndex> index_of_spool;
  std::map<Origin, std::deque<Transaction>> memory;
  std::map<Origin, ApplyScheduler> schedulers;
  std::map<Origin, std::set<uint64_t>> executing;  // begun, not committed
  std::map<Origin, std::pair<Hlc, uint64_t>> promises;
  std::map<Origin, Hlc> complete;
  std::map<Origin, Hlc> reports;
  std::map<Origin, Hlc> clocks;           // the highest promise of each member
  std::deque<std::pair<Hlc, Hlc>> lines;  // stable line, highest promise when it was found
  std::map<Origin, uint64_t> boots;       // of the peers, as last heard
  std::set<Origin> heard;                 // peers that have said what they have

  int64_t skew_us = 0;
  uint64_t restart_at_us = 0;
};

class World {
 public:
  World(uint64_t seed, const WorldBugs& bugs, Coverage& coverage, bool trace);
  // Empty, or what went wrong.
  std::string Run();

 private:
  // world.cpp
  void Start();
  void Chaos();
  void Heal();
  void Step(bool healing);
  void Fail(const std::string& what);
  void Trace(const Site& site, const std::string& what);
  Hlc WallOf(const Site& site) const;
  Site* RandomUp();
  bool Cut(std::size_t a, std::size_t b) const;
  bool CrashHere(Site& site, Point point);

  // world_sites.cpp
  void Crash(Site& site);
  void Restart(Site& site);
  bool PersistFor(Site& site, Hlc also);
  void WriteHere(Site& site);
  Statement Draw(Site& site);
  void Commit(Site& site, const Statement& statement, const Stamp& stamp);
  void SendAll(Site& site);
  void Deliver(const Message& message);
  void Receive(Site& site, const Transaction& transaction);
  void Sync(Site& site);
  void ApplySome(Site& site);
  bool RunOne(Site& site, Origin origin, ApplyScheduler& scheduler);
  void CommitRemote(Site& site, Origin origin, uint64_t sequence);
  void Trim(Site& site);
  void UpdateStable(Site& site);

  // world_members.cpp
  void ApplyEntries(Site& site);
  void Carry(Site& site, const Entry& entry);
  void Coordinate();
  void LoseSite();
  void JoinSite();
  void FinishJoin();
  void CopyFrom(const Site& source, Site& joiner);

  // world_checks.cpp
  void Remember(const Transaction& transaction, const Statement& statement);
  void CheckOwnWrite(const Site& site, const Statement& statement);
  void CheckQuiet();
  void CheckSame(const Site& a, const Site& b);
  void CheckCounters(const Site& site);
  bool Counts(const Transaction& transaction) const;
  bool Quiet() const;

  Random random_;
  WorldBugs bugs_;
  Coverage& coverage_;
  bool trace_;
  std::string failure_;
  uint64_t now_us_ = 1'000'000'000;
  bool healing_ = false;

  std::vector<TableModel> tables_;
  std::vector<Site> sites_;
  std::vector<Message> network_;
  std::set<std::pair<std::size_t, std::size_t>> cuts_;
  std::vector<Entry> log_;
  std::optional<Origin> evicting_;
  std::map<SiteId, uint64_t> evict_reports_;
  bool level_logged_ = false;
  std::optional<std::size_t> joining_;
  uint64_t joins_ = 0;
  SpoolOptions spool_options_;

  // What the checks know.
  struct Written {
    Transaction transaction;
    Statement statement;
  };
  std::map<Origin, std::vector<Written>> written_;
  std::map<Origin, uint64_t> closed_at_;
  std::map<Origin, Stamp> last_stamp_;
  std::map<std::size_t, std::set<std::pair<Origin, uint64_t>>> applied_once_;
  uint64_t words_ = 0;
};

}  // namespace pgquorum::replication::sim

#include "base/pure.h"
