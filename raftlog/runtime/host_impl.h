// The inside of raft::Host. Members belong to the turn (turn_) unless they say otherwise.
#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "raftlog/runtime/host.h"
#include "raftlog/runtime/inbox.h"
#include "raftlog/runtime/log_writer.h"
#include "raftlog/runtime/task_thread.h"
#include "raftlog/storage/snapshot_store.h"
#include "raftlog/storage/state_directory.h"

namespace pgquorum::raft {

class Host::Impl {
 public:
  using Clock = std::chrono::steady_clock;

  Impl(HostOptions options, Transport& transport, StateMachine& machine, HostObservers observers);

  // From any thread.
  Status Start();
  void Stop();
  void Receive(NodeId from, std::string_view bytes, bool more);
  void Enqueue(EntryType type, std::string data, ProposeDone done);
  // False: the host does not run, the task never will.
  bool Post(std::function<void()> task) {
    bool posted = inbox_.Task(task);
    if (posted) {
      inbox_.Wake();
    }
    return posted;
  }
  void ProposeConfig(std::vector<ConfigChange> changes, std::string context, ProposeDone done);
  void ReadIndex(ReadMode mode, ReadDone done);
  void TransferLeadership(NodeId target, std::function<void(Status)> done);
  std::shared_ptr<const HostStatus> status() const {
    std::lock_guard lock(status_mutex_);
    return status_;
  }

  // In a turn.
  void TakeSnapshot();
  Core* core() { return fatal_.ok() ? core_.get() : nullptr; }

 private:
  // A proposal that is in the log and waits to be applied here.
  struct Waiter {
    Term term;
    ProposeDone done;
    Clock::time_point since;
  };
  struct Forwarded {
    ProposeDone done;
    Clock::time_point since;
  };
  // Kept while forwarded proposals are unanswered: theirs may be applied before the answer comes.
  struct RecentResult {
    Term term;
    Status status;
    std::string result;
  };
  struct Reading {
    Index index;
    ReadDone done;
  };

  // host_start.cpp
  Status OpenStores();
  Status RestoreMachine(const SnapshotMeta& meta);
  Status ReportRecovered();
  std::string EncodeState();
  Status DecodeState(const SnapshotMeta& meta, std::string_view bytes);

  // host_loop.cpp
  void Loop();
  void Turn(bool leave_proposals);
  void TakeTurn(bool may_write);
  // From any thread: proposals wait for the disk, which tells when it is free.
  bool Gathering() const {
    return options_.gather_proposals &&
           submitted_.load(std::memory_order_relaxed) > durable_.load(std::memory_order_relaxed);
  }
  void Feed(InboxContent& content);
  void FeedProposal(Proposal proposal);
  void MaybeTick();
  void Drain();
  void ObserveEntries(const Persist& persist);
  void SubmitPersist(Persist persist);
  void Send(const Message& message);
  void Apply(std::vector<Entry> entries);
  void Resolve(const Entry& entry, Status status, std::string result);
  void AnswerForward(ForwardResult& forward);
  void AnswerRead(ReadResult& read);
  void ReleaseReads();
  static void RecordSince(Clock::time_point since, Histogram& histogram) {
    auto took = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - since);
    histogram.Record(static_cast<uint64_t>(took.count()));
  }
  void ExpireWaiters();
  void Fail(Status status);
  void FailAll(const Status& status);
  void PublishStatus();

  // host_snapshots.cpp
  void MaybeSnapshot();
  void SnapshotSaved(const SnapshotMeta& meta);
  void SendPiece(SnapshotSend send);
  void WritePiece(SnapshotWrite write);
  void Restore(const SnapshotMeta& meta);
  void Release(const SnapshotMeta& meta);
  void PrepareSpares();
  uint64_t BootTimeNs() const;

  HostOptions options_;
  Transport& transport_;
  StateMachine& machine_;
  HostObservers observers_;
  FileSystem& fs_;

  std::unique_ptr<StateDirectory> directory_;
  std::unique_ptr<SnapshotStore> snapshots_;
  std::unique_ptr<LogStore> log_;
  std::unique_ptr<Core> core_;
  SessionTable sessions_;

  Inbox inbox_;
  std::mutex turn_;  // whoever holds it runs the core
  InboxContent content_;
  bool helping_ = false;  // whoever has the turn is going to write what it submits
  std::unique_ptr<LogWriter> writer_;
  TaskThread files_;
  std::thread thread_;
  bool started_ = false;  // Start and Stop come from one thread

  Status fatal_;
  Clock::time_point next_tick_;
  uint64_t last_boottime_ns_ = 0;
  Index appended_;  // what on_appended was told
  Index applied_;
  // Written in turns, read by any thread. A stale value is harmless: see TakeTurn.
  std::atomic<uint64_t> submitted_{0};  // sequence of the newest batch given to the writer
  std::atomic<uint64_t> durable_{0};    // and of the newest confirmed one
  bool refilling_ = false;
  bool refill_done_ = false;  // to be told to the log with the next batch
  uint64_t next_request_ = 1;
  std::multimap<Index, Waiter> waiters_;
  std::map<uint64_t, Forwarded> forwards_;
  std::map<Index, RecentResult> recent_;
  std::map<uint64_t, ReadDone> reads_;
  std::deque<Reading> readings_;  // waiting for the state machine
  bool snapshot_busy_ = false;
  Leadership leadership_;
  Histogram commit_us_;
  Histogram read_us_;
  Histogram snapshot_us_;
  Clock::time_point snapshot_since_;
  uint64_t snapshots_taken_ = 0;
  uint64_t stalls_ = 0;
  uint64_t ticks_ = 0;

  std::atomic<uint64_t> dropped_messages_{0};
  std::atomic<uint64_t> malformed_messages_{0};
  std::atomic<uint64_t> refused_proposals_{0};
  mutable std::mutex status_mutex_;
  std::shared_ptr<const HostStatus> status_ = std::make_shared<HostStatus>();
};

}  // namespace pgquorum::raft

#include "base/pure.h"
