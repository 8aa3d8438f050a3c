#include "bgworkers/consensus/inbox.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <utility>

#include "base/check.h"

namespace pgquorum::consensus {

Inbox::Inbox() : fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  PGQUORUM_CHECK(fd_ >= 0);
}

Inbox::~Inbox() {
  close(fd_);
}

void Inbox::Post(Kind kind, Task task) {
  {
    std::lock_guard lock(mutex_);
    if (closed_) {
      return;
    }
    if (kind != Kind::kAnswer && tasks_.size() >= kMaxDroppable) {
      ++dropped_;
      return;
    }
    tasks_.push_back(std::move(task));
  }
  if (kind != Kind::kRoutine) {
    Poke();
  }
}

void Inbox::Poke() {
  uint64_t one = 1;
  // The only failure is a full counter, which means that the loop is being woken already.
  [[maybe_unused]] ssize_t written = write(fd_, &one, sizeof(one));
}

std::size_t Inbox::Run() {
  uint64_t count = 0;
  [[maybe_unused]] ssize_t got = read(fd_, &count, sizeof(count));
  std::deque<Task> tasks;
  {
    std::lock_guard lock(mutex_);
    tasks.swap(tasks_);
  }
  for (Task& task : tasks) {
    task();
  }
  return tasks.size();
}

void Inbox::Close() {
  std::lock_guard lock(mutex_);
  closed_ = true;
  tasks_.clear();
}

uint64_t Inbox::dropped() const {
  std::lock_guard lock(mutex_);
  return dropped_;
}

}  // namespace pgquorum::consensus
