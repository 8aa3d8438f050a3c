// What makes the log durable: a thread, or whoever helps. Everything that waits when the disk is
// free goes into the next write and sync; there is never more than one under way.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "base/histogram.h"
#include "base/status.h"
#include "raftlog/output.h"
#include "raftlog/storage/log_store.h"
#include "raftlog/storage/snapshot_store.h"

namespace pgquorum::raft {

// One piece of work; carried out in order.
struct LogJob {
  std::optional<Persist> persist;
  bool refill_done = false;  // before `persist`
  // A published snapshot of the state machine: its marker.
  std::optional<SnapshotMeta> mark;
  // The log up to here, and every snapshot older than `keep`, may go.
  std::optional<Index> release;
  SnapshotMeta keep;
};

class LogWriter {
 public:
  // All called by whoever writes.
  struct Events {
    std::function<void(Message)> send;                // messages that had to wait for the disk
    std::function<void(const Persist&)> persisted;    // the last batch that is durable now
    std::function<void(const SnapshotMeta&)> marked;  // or a newer one is already
    std::function<void(Status)> failed;               // the disk is lost; the thread has ended
  };
  struct Stats {
    uint64_t queued_batches = 0;
    uint64_t queued_bytes = 0;
    Histogram sync_us;
    Histogram group;
  };

  LogWriter(LogStore& log, SnapshotStore& snapshots, Events events);
  ~LogWriter() { Stop(); }

  void Start();
  // Finishes the write under way; what is queued is dropped: nobody was told of it.
  void Stop();
  // With `wake` false the caller is going to Help().
  void Submit(LogJob job, bool wake = true);
  // Carries out one group on the caller's thread, unless somebody is writing already.
  void Help();
  uint64_t queued_bytes() const;
  Stats stats() const;

 private:
  void Loop();
  void RunGroup(std::unique_lock<std::mutex>& lock);
  Status Carry(std::vector<LogJob>& group);
  Status WriteBatches(std::vector<LogJob>& group);

  LogStore& log_;
  SnapshotStore& snapshots_;
  Events events_;
  std::thread thread_;
  std::vector<LogJob> group_;  // of whoever writes

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable idle_;  // not busy_
  std::deque<LogJob> queue_;
  bool busy_ = false;  // somebody writes
  bool stop_ = false;
  bool failed_ = false;
  Stats stats_;
};

}  // namespace pgquorum::raft

#include "base/pure.h"
