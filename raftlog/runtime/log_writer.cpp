#include "raftlog/runtime/log_writer.h"

#include <chrono>
#include <utility>

#include "raftlog/runtime/threads.h"

#include "base/pure.h"

namespace pgquorum::raft {
namespace {

using std::chrono::microseconds;
using std::chrono::steady_clock;

// A group is closed at this size, so that the first of a long queue is not held up by the last.
constexpr uint64_t kMaxGroupBytes = uint64_t{4} << 20;
// Quiet for so long: the last write is proven durable in the log itself.
constexpr auto kIdleBeforeProof = std::chrono::milliseconds(200);

uint64_t BytesOf(const LogJob& job) {
  uint64_t bytes = kEntryOverheadBytes;
  if (job.persist) {
    for (const Entry& entry : job.persist->entries) {
      bytes += SizeOf(entry);
    }
  }
  return bytes;
}

}  // namespace

LogWriter::LogWriter(LogStore& log, SnapshotStore& snapshots, Events events)
    : log_(log), snapshots_(snapshots), events_(std::move(events)) {}

void LogWriter::Start() {
  thread_ = StartThread("raft writer", [this] { Loop(); });
}

void LogWriter::Stop() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) {
    thread_.join();
  }
  std::unique_lock lock(mutex_);
  idle_.wait(lock, [this] { return !busy_; });
}

void LogWriter::Submit(LogJob job, bool wake) {
  {
    std::lock_guard lock(mutex_);
    if (failed_ || stop_) {
      return;
    }
    ++stats_.queued_batches;
    stats_.queued_bytes += BytesOf(job);
    queue_.push_back(std::move(job));
    wake = wake && !busy_;  // whoever is writing looks again
  }
  if (wake) {
    wake_.notify_one();
  }
}

void LogWriter::Help() {
  std::unique_lock lock(mutex_);
  if (!busy_ && !stop_ && !failed_ && !queue_.empty()) {
    RunGroup(lock);
    if (!queue_.empty()) {
      wake_.notify_one();
    }
  }
}

uint64_t LogWriter::queued_bytes() const {
  std::lock_guard lock(mutex_);
  return stats_.queued_bytes;
}

LogWriter::Stats LogWriter::stats() const {
  std::lock_guard lock(mutex_);
  return stats_;
}

Status LogWriter::WriteBatches(std::vector<LogJob>& group) {
  std::vector<const Persist*> batches;
  for (LogJob& job : group) {
    if (job.refill_done) {
      log_.RefillDone();
    }
    if (job.persist->install_snapshot) {
      Status published = snapshots_.Publish(*job.persist->install_snapshot);
      if (!published.ok()) {
        return published;
      }
    }
    batches.push_back(&*job.persist);
  }
  steady_clock::time_point start = steady_clock::now();
  Status written = log_.Write(batches);
  if (!written.ok()) {
    return written;
  }
  auto took = std::chrono::duration_cast<microseconds>(steady_clock::now() - start);
  {
    std::lock_guard lock(mutex_);
    stats_.sync_us.Record(static_cast<uint64_t>(took.count()));
    stats_.group.Record(group.size());
  }
  for (LogJob& job : group) {
    for (Message& message : job.persist->messages_after) {
      events_.send(std::move(message));
    }
  }
  events_.persisted(*group.back().persist);
  return Status::Ok();
}

Status LogWriter::Carry(std::vector<LogJob>& group) {
  if (group.front().persist) {
    return WriteBatches(group);
  }
  const LogJob& job = group.front();
  if (job.mark) {
    // A snapshot received meanwhile may be newer; then this one is of no use.
    bool older = job.mark->index <= log_.marked_snapshot();
    Status status = older ? Status::Ok() : log_.MarkSnapshot(*job.mark);
    if (status.ok()) {
      events_.marked(*job.mark);
    }
    return status;
  }
  Status status = Status::Ok();
  if (job.release) {
    status = log_.Release(std::min(*job.release, log_.marked_snapshot()));
    if (status.ok() && job.keep.index == log_.marked_snapshot()) {
      status = snapshots_.RemoveOlder(job.keep.index);
    }
  }
  return status;
}

void LogWriter::Loop() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait_for(lock, kIdleBeforeProof,
                   [this] { return stop_ || failed_ || (!queue_.empty() && !busy_); });
    if (stop_ || failed_) {
      return;
    }
    if (!busy_) {
      RunGroup(lock);
    }
  }
}

// Consecutive batches make a group; a marker or a release stands alone. None: the disk is idle.
void LogWriter::RunGroup(std::unique_lock<std::mutex>& lock) {
  busy_ = true;
  group_.clear();
  uint64_t bytes = 0;
  while (!queue_.empty() && bytes < kMaxGroupBytes) {
    bool alone = !queue_.front().persist;
    if (alone && !group_.empty()) {
      break;
    }
    bytes += BytesOf(queue_.front());
    group_.push_back(std::move(queue_.front()));
    queue_.pop_front();
    if (alone) {
      break;
    }
  }
  lock.unlock();
  Status status = group_.empty() ? log_.Prove() : Carry(group_);
  if (!status.ok()) {
    events_.failed(status);
  }
  lock.lock();
  if (!status.ok()) {
    failed_ = true;
    queue_.clear();
  }
  for (const LogJob& job : group_) {
    --stats_.queued_batches;
    stats_.queued_bytes -= BytesOf(job);
  }
  busy_ = false;
  if (stop_) {
    idle_.notify_all();
  }
}

}  // namespace pgquorum::raft
