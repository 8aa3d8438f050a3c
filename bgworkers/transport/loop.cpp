#include "bgworkers/transport/loop.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace pgquorum::transport {

namespace {
constexpr int64_t kLongestWaitNs = 1'000'000'000;
}  // namespace

Loop::~Loop() {
  Stop();
}

Status Loop::Start(Turn turn) {
  turn_ = std::move(turn);
  {
    std::lock_guard lock(mutex_);
    event_fd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (event_fd_ < 0) {
      return Status::Error(
          "58030", std::string("could not create an event descriptor: ") + std::strerror(errno));
    }
  }
  thread_ = std::thread([this] { Run(); });
  return Status::Ok();
}

void Loop::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  Wake();
  if (thread_.joinable()) {
    thread_.join();
  }
  door_.Close();
  std::lock_guard lock(mutex_);
  tasks_.clear();
  if (event_fd_ >= 0) {
    close(event_fd_);
    event_fd_ = -1;
  }
}

void Loop::Post(std::function<void()> task) {
  {
    std::lock_guard lock(mutex_);
    if (stopping_) {
      return;
    }
    tasks_.push_back(std::move(task));
  }
  Wake();
}

void Loop::Wake() {
  std::lock_guard lock(mutex_);
  if (event_fd_ < 0 || woken_) {
    return;
  }
  woken_ = true;
  eventfd_write(event_fd_, 1);
}

void Loop::Wait(int64_t until_ns) {
  fds_.clear();
  fds_.push_back({event_fd_, POLLIN, 0});
  prober_.AppendPollFds(fds_);
  door_.AppendPollFds(fds_);
  int64_t due_ns = std::min({until_ns, prober_.next_deadline(), door_.next_deadline()});
  int64_t wait_ns = std::clamp<int64_t>(due_ns - BootTimeNs(), 0, kLongestWaitNs);
  timespec timeout{wait_ns / 1'000'000'000, wait_ns % 1'000'000'000};
  ppoll(fds_.data(), fds_.size(), &timeout, nullptr);
}

void Loop::Run() {
  int64_t due_ns = 0;
  std::vector<std::function<void()>> tasks;
  for (;;) {
    Wait(due_ns);
    {
      std::lock_guard lock(mutex_);
      if (stopping_) {
        return;
      }
      if (woken_) {
        eventfd_t ignored = 0;
        eventfd_read(event_fd_, &ignored);
        woken_ = false;
      }
      tasks.swap(tasks_);
    }
    for (std::function<void()>& task : tasks) {
      task();
    }
    tasks.clear();
    prober_.Step();
    door_.Step();
    due_ns = turn_();
  }
}

}  // namespace pgquorum::transport
