// One writer publishes a plain structure to many readers without locks (a sequence lock).
//
// Why not an LWLock: the writer must never wait for a backend that was stopped or killed while it
// held the lock, and readers sit on the path of every connection. A reader that meets the writer
// tries again; it gives up after a bound, so that a writer that died half-way (kill -9, before the
// postmaster reinitialises shared memory) cannot make it spin.
//
// The payload is copied word by word with relaxed atomics: no data race in the sense of C++.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace pgquorum::shared {

template <typename T>
class SeqLocked {
  static_assert(std::is_trivially_copyable_v<T> && std::is_default_constructible_v<T>);
  static constexpr std::size_t kWords = (sizeof(T) + 7) / 8;

 public:
  // Tries of one Read(): a copy of the largest payload takes microseconds, so this is milliseconds.
  static constexpr int kTries = 1000;

  // Only one process, and in it only one thread, may call this.
  void Publish(const T& value) {
    std::array<uint64_t, kWords> copy{};
    std::memcpy(copy.data(), &value, sizeof(T));
    // A predecessor that died half-way left an odd number: start from the next even one.
    uint64_t before = (sequence_.load(std::memory_order_relaxed) + 1) & ~uint64_t{1};
    sequence_.store(before + 1, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_release);
    for (std::size_t i = 0; i < kWords; ++i) {
      words_[i].store(copy[i], std::memory_order_relaxed);
    }
    sequence_.store(before + 2, std::memory_order_release);
  }

  // False when nothing was ever published, or when no consistent copy could be had.
  bool Read(T& value) const {
    std::array<uint64_t, kWords> copy;
    for (int attempt = 0; attempt < kTries; ++attempt) {
      uint64_t before = sequence_.load(std::memory_order_acquire);
      if (before == 0) {
        return false;
      }
      if (before % 2 == 0) {
        for (std::size_t i = 0; i < kWords; ++i) {
          copy[i] = words_[i].load(std::memory_order_relaxed);
        }
        std::atomic_thread_fence(std::memory_order_acquire);
        if (sequence_.load(std::memory_order_relaxed) == before) {
          std::memcpy(static_cast<void*>(&value), copy.data(), sizeof(T));
          return true;
        }
      }
    }
    return false;
  }

  // Grows with every publication; equal numbers mean that nothing has changed.
  uint64_t sequence() const { return sequence_.load(std::memory_order_acquire); }

 private:
  std::atomic<uint64_t> sequence_{0};
  std::array<std::atomic<uint64_t>, kWords> words_{};
};

}  // namespace pgquorum::shared

#include "base/pure.h"
