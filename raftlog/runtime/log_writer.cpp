#include "raftlog/runtime/log_writer.h"

#include <chrono>
#include <utility>

#include "raftlog/runtime/threads.h"

#include "base/pure.h"

namespace pgquorum::raft {
namespace {

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
}

void LogWriter::Submit(LogJob job) {
  {
    std::lock_guard lock(mutex_);
    if (failed_ || stop_) {
      return;
    }
    ++stats_.queued_batches;
    stats_.queued_bytes += BytesOf(job);
    queue_.push_back(std::move(job));
  }
  wake_.notify_one();
}

uint64_t LogWriter::queued_bytes() const {
  std::lock_guard lock(mutex_);
  return stats_.queued_bytes;
}

LogWriter::Stats LogWriter::stats() const {
  std::lock_guard lock(mutex_);
  return stats_;
}

// Consecutive batches make a group; a marker or a release stands alone. Empty: idle.
bool LogWriter::TakeGroup(std::vector<LogJob>& group) {
  group.clear();
  std::unique_lock lock(mutex_);
  wake_.wait_for(lock, kIdleBeforeProof, [this] { return stop_ || !queue_.empty(); });
  if (stop_) {
    return false;
  }
  uint64_t bytes = 0;
  while (!queue_.empty() && bytes < kMaxGroupBytes) {
    bool alone = !queue_.front().persist;
    if (alone && !group.empty()) {
      break;
    }
    bytes += BytesOf(queue_.front());
    group.push_back(std::move(queue_.front()));
    queue_.pop_front();
    if (alone) {
      break;
    }
  }
  return true;
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
  Status written = log_.Write(batches);
  if (!written.ok()) {
    return written;
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
  std::vector<LogJob> group;
  while (TakeGroup(group)) {
    steady_clock::time_point start = steady_clock::now();
    Status status = group.empty() ? log_.Prove() : Carry(group);
    auto took =
        std::chrono::duration_cast<std::chrono::microseconds>(steady_clock::now() - start).count();
    std::unique_lock lock(mutex_);
    if (!status.ok()) {
      failed_ = true;
      queue_.clear();
      lock.unlock();
      events_.failed(std::move(status));
      return;
    }
    if (!group.empty() && group.front().persist) {
      stats_.sync_us.Record(static_cast<uint64_t>(took));
      stats_.group.Record(group.size());
    }
    for (const LogJob& job : group) {
      --stats_.queued_batches;
      stats_.queued_bytes -= BytesOf(job);
    }
  }
}

}  // namespace pgquorum::raft
