// Keeps the mark (extension/identity/mark.h) up to date, on a thread of its own: the main loop
// never waits for the disk because of it.
//
// Main thread of the worker only.
#pragma once

#include <mutex>
#include <string>

#include "base/status.h"
#include "bgworkers/consensus/mark_policy.h"
#include "extension/identity/mark.h"
#include "raftlog/runtime/task_thread.h"

namespace pgquorum::consensus {

class MarkKeeper {
 public:
  explicit MarkKeeper(std::string path) : path_(std::move(path)) {}
  ~MarkKeeper() { writer_.Stop(); }

  // Reads the mark that the postmaster wrote for this start.
  Status Open();
  failover::Position position() const {
    return {failover::Timeline(mark_.timeline), failover::Lsn(mark_.lsn)};
  }
  const std::string& restored() const { return mark_.restored; }

  // Writes the position when it is due. Not before replay's end was compared with the mark, and not
  // for a restored directory: that would make the mark forget what is missing.
  void Note(failover::Position survives, failover::TimeNs now);

  // The directory is this node's own from now on, wherever it ends. Waits for the disk.
  Status Accept();

  // What went wrong since the last call; ok: nothing.
  Status TakeError();

 private:
  std::string path_;
  identity::Mark mark_;
  failover::TimeNs written_at_ = 0;
  std::mutex mutex_;  // of the two below
  bool writing_ = false;
  Status error_;
  bool started_ = false;
  raft::TaskThread writer_;  // last: ends before what it uses
};

}  // namespace pgquorum::consensus

#include "base/pure.h"
