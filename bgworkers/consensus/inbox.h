// What other threads hand to the main loop: closures that run there, in order. Posting pokes an
// eventfd in the loop's wait set, because setting a latch is PostgreSQL's and not for threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>

namespace pgquorum::consensus {

class Inbox {
 public:
  using Task = std::function<void()>;

  Inbox();  // PGQUORUM_CHECKs that the eventfd could be made
  ~Inbox();
  Inbox(const Inbox&) = delete;
  Inbox& operator=(const Inbox&) = delete;

  // Droppable: news that is repeated anyway (reports, lease messages); refused beyond kMaxDroppable
  // queued tasks. Routine is droppable and does not wake the loop. Answers to own requests are
  // never dropped: their number is bounded by the requests'.
  enum class Kind { kDroppable, kRoutine, kAnswer };
  static constexpr std::size_t kMaxDroppable = 1024;

  // From any thread. After Close() nothing is taken any more.
  void Post(Kind kind, Task task);
  // Wakes the loop without a task.
  void Poke();

  // Main loop: runs what is queued now. Returns how many tasks ran.
  std::size_t Run();
  void Close();

  int fd() const { return fd_; }
  uint64_t dropped() const;

 private:
  int fd_;
  mutable std::mutex mutex_;
  std::deque<Task> tasks_;
  bool closed_ = false;
  uint64_t dropped_ = 0;
};

}  // namespace pgquorum::consensus
