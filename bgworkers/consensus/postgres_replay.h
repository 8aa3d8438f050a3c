// Replay on a standby: has it ended, and what is in its way.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"
#include "bgworkers/consensus/postgres_facts.h"

namespace pgquorum::consensus {

// Tells when a standby has replayed all WAL it has on disk, so that its replay end is its position.
//
// "Settled" needs all of these at once:
//  1. no upstream: primary_conninfo and restore_command are empty in force, and no walreceiver
//  exists or
//     is being started;
//  2. the startup process sits in the wait between two searches for WAL, seen at two observations
//  that a
//     wake-up (WakeupRecovery) separates, with the same replay end;
//  3. this process itself reads the WAL files at the replay end and finds no valid record that
//  follows.
// 2 alone could see the same wait twice (the wake-up is asynchronous); 3 alone could be deceived by
// a startup process that has read ahead. 3 is what makes the answer exact.
//
// Poll() is called from the main loop, at most every few ms; it does not wait. Start over (Reset)
// when the upstream changes.
class ReplayEndDetector {
 public:
  void Reset();

  // True when settled now; `facts` is fresh and `startup_pid` is FactGatherer::startup_pid(). Once
  // true it stays true until Reset() or until the replay end moves, which then means that the
  // precondition was broken by someone else: position() is withdrawn.
  bool Poll(const PostgresFacts& facts, int32_t startup_pid);

  // Why it is not settled, for logs: "walreceiver is running", "replay is paused", ...
  const std::string& obstacle() const { return obstacle_; }

  failover::Position position() const { return position_; }

 private:
  bool NotYet(const char* why);

  int waits_seen_ = 0;
  Lsn end_at_wait_;
  failover::Position position_;
  std::string obstacle_ = "not looked yet";
};

// True when a valid WAL record starts at or right after `from` on `timeline` or a child of it whose
// files are in pg_wal. Reads a few pages. XX001/58030 when the files cannot be read (a missing
// segment means "no record").
Result<bool> WalRecordFollows(const failover::History& history, Lsn from);

// Cancels every query and idle-in-transaction session that could hold replay up, with the error
// that PostgreSQL itself gives for a recovery conflict (40001). Returns how many were told.
Result<int> CancelReplayConflicts();

// Ends the walreceiver if there is one: SIGTERM, upon which it flushes what it has received and
// exits. Call it at each turn of the main loop while `receiver.running` although the configuration
// in force names no (or another) upstream. The startup process alone would end it only when it next
// runs out of received WAL: never while replay is paused, delayed or in conflict with a query, and
// meanwhile the receiver goes on receiving *and acknowledging*. (Before the startup process has
// read the new configuration it starts another receiver; hence the repetition.)
void EndReceiver(const ReceiverFact& receiver);

// The startup process has replayed what there is and waits for more, by streaming or by looking.
bool ReplayAwaitsWal(int32_t startup_pid);

// Ends a replay pause (pg_wal_replay_pause, or hot-standby parameters lower than the primary's:
// then promotion is the only cure and PostgreSQL pauses again). The delay is lifted by the
// configuration (PostgresSettings::lift_replay_delay).
Status LiftReplayPause();

// Makes the startup process look for WAL now instead of after wal_retrieve_retry_interval.
void WakeReplay();

}  // namespace pgquorum::consensus
