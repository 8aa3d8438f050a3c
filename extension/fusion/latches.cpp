#include "extension/fusion/latches.h"

namespace pgquorum::fusion::server {
namespace {

LWLockMode ModeOf(LatchMode mode) {
  return mode == LatchMode::kShared ? LW_SHARED : LW_EXCLUSIVE;
}

}  // namespace

ServerLatches::ServerLatches() : locks_(LatchArray()) {
  LWLockRegisterTranche(Memory()->latch_tranche, "pgquorum_fusion");
}

void ServerLatches::Acquire(LatchId latch, LatchMode mode) {
  LWLockAcquire(&locks_[latch], ModeOf(mode));
}

bool ServerLatches::TryAcquire(LatchId latch, LatchMode mode) {
  return LWLockConditionalAcquire(&locks_[latch], ModeOf(mode));
}

void ServerLatches::Release(LatchId latch) {
  LWLockRelease(&locks_[latch]);
}

bool ServerLatches::AcquireOrWait(LatchId latch) {
  return LWLockAcquireOrWait(&locks_[latch], LW_EXCLUSIVE);
}

}  // namespace pgquorum::fusion::server
