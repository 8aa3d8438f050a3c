// A thread that runs tasks in order. What is still queued at Stop() is dropped.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace pgquorum::raft {

class TaskThread {
 public:
  ~TaskThread() { Stop(); }
  void Start(const char* name);
  void Stop();
  void Submit(std::function<void()> task);
  std::size_t queued() const;

 private:
  void Loop();

  std::thread thread_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> queue_;
  bool stop_ = false;
};

}  // namespace pgquorum::raft

#include "base/pure.h"
