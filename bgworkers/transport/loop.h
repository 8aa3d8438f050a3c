// The transport's own thread: runs what others post, connects, lets in, and keeps time. Everything
// that calls gRPC by a wish of the owner's happens here, never on the owner's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "base/status.h"
#include "bgworkers/transport/door.h"
#include "bgworkers/transport/prober.h"

namespace pgquorum::transport {

class Loop {
 public:
  // Called after everything else of a turn; returns when the next one is due (CLOCK_BOOTTIME, ns).
  using Turn = std::function<int64_t()>;

  Loop() = default;
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // With all signals blocked by the caller, so that the thread has them blocked, too.
  Status Start(Turn turn);
  // Joins. What was posted and has not run is forgotten.
  void Stop();

  // From any thread, before Start() too.
  void Post(std::function<void()> task);
  void Wake();

  // On the loop's thread only, or before Start().
  Prober& prober() { return prober_; }
  Door& door() { return door_; }

 private:
  void Run();
  void Wait(int64_t until_ns);

  std::mutex mutex_;
  std::vector<std::function<void()>> tasks_;
  bool stopping_ = false;
  int event_fd_ = -1;  // written under mutex_
  bool woken_ = false;

  Turn turn_;
  Prober prober_;
  Door door_;
  std::vector<pollfd> fds_;
  std::thread thread_;
};

}  // namespace pgquorum::transport
