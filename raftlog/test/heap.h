// How much of the heap is in use, for tests that show a bound. One file of a program includes it.
#pragma once

#include <malloc.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace pgquorum::raft::test {

inline std::atomic<int64_t> heap_bytes{0};

inline void* Take(std::size_t size) {
  void* memory = std::malloc(size);
  if (memory == nullptr) {
    std::abort();
  }
  heap_bytes += static_cast<int64_t>(::malloc_usable_size(memory));
  return memory;
}

inline void Give(void* memory) {
  heap_bytes -= static_cast<int64_t>(::malloc_usable_size(memory));
  std::free(memory);
}

// What has been added since it was made.
class Heap {
 public:
  int64_t grown() const { return heap_bytes - before_; }

 private:
  int64_t before_ = heap_bytes;
};

}  // namespace pgquorum::raft::test

void* operator new(std::size_t size) {
  return pgquorum::raft::test::Take(size);
}
void operator delete(void* memory) noexcept {
  pgquorum::raft::test::Give(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  pgquorum::raft::test::Give(memory);
}

#include "base/pure.h"
