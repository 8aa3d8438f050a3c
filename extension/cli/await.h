// Waiting for other processes: the one place of the command line where time passes.
#pragma once

#include <chrono>

namespace pgquorum::cli {

using SteadyTime = std::chrono::steady_clock::time_point;

inline SteadyTime After(std::chrono::milliseconds time) {
  return std::chrono::steady_clock::now() + time;
}

void Pause(std::chrono::milliseconds time);

// Asks until the answer is true; false when it is not before the deadline.
template <typename Condition>
bool AwaitUntil(SteadyTime deadline, std::chrono::milliseconds interval, Condition condition) {
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) {
      return false;
    }
    Pause(interval);
  }
  return true;
}

}  // namespace pgquorum::cli
