// A thread that receives no signal: inside PostgreSQL a signal taken by a side thread is a wake-up
// that the main thread never sees.
#pragma once

#include <pthread.h>
#include <signal.h>

#include <string>
#include <thread>
#include <utility>

namespace pgquorum::raft {

// Blocks every signal in the calling thread, which new threads inherit, and restores its mask.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

// `name` is at most 15 characters (Linux).
template <typename Function>
std::thread StartThread(const char* name, Function function) {
  SignalsBlocked blocked;
  std::thread thread(std::move(function));
  pthread_setname_np(thread.native_handle(), name);
  return thread;
}

}  // namespace pgquorum::raft

#include "base/pure.h"
