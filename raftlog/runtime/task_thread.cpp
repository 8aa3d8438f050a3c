#include "raftlog/runtime/task_thread.h"

#include <utility>

#include "raftlog/runtime/threads.h"

#include "base/pure.h"

namespace pgquorum::raft {

void TaskThread::Start(const char* name) {
  thread_ = StartThread(name, [this] { Loop(); });
}

void TaskThread::Stop() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) {
    thread_.join();
  }
}

void TaskThread::Submit(std::function<void()> task) {
  {
    std::lock_guard lock(mutex_);
    if (stop_) {
      return;
    }
    queue_.push_back(std::move(task));
  }
  wake_.notify_one();
}

std::size_t TaskThread::queued() const {
  std::lock_guard lock(mutex_);
  return queue_.size();
}

void TaskThread::Loop() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stop_ || !queue_.empty(); });
    if (stop_) {
      return;
    }
    std::function<void()> task = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    task();
    task = nullptr;  // what it holds is freed without the lock
    lock.lock();
  }
}

}  // namespace pgquorum::raft
