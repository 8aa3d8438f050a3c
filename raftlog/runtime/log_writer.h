// The thread that makes the log durable. Everything that waits when it becomes free goes into its
// next write and sync; there is never more than one under way.
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
  // All called on the writer's thread.
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
  void Submit(LogJob job);
  uint64_t queued_bytes() const;
  Stats stats() const;

 private:
  void Loop();
  bool TakeGroup(std::vector<LogJob>& group);
  Status Carry(std::vector<LogJob>& group);
  Status WriteBatches(std::vector<LogJob>& group);

  LogStore& log_;
  SnapshotStore& snapshots_;
  Events events_;
  std::thread thread_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<LogJob> queue_;
  bool stop_ = false;
  bool failed_ = false;
  Stats stats_;
};

}  // namespace pgquorum::raft

#include "base/pure.h"
