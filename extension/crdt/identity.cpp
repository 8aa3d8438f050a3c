// Who writes replicated values here, and the clock that tells operations apart.
//
// Readings are microseconds like commit timestamps, and one more than the last where the wall clock
// does not move: never twice on this server, and above everything that it handed out before a
// restart or a restore, because time has moved on since.
#include <algorithm>
#include <atomic>
#include <new>

#include "extension/crdt/values.h"
#include "extension/guc.h"

extern "C" {
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
}

namespace pgquorum::crdt_types {

namespace {

using Clock = std::atomic<uint64_t>;

Clock* g_clock = nullptr;

uint64_t NextReading(Clock& clock) {
  auto wall = static_cast<uint64_t>(std::max<int64_t>(GetCurrentTimestamp(), 1));
  uint64_t last = clock.load();
  uint64_t next = 0;
  do {
    next = std::max(wall, last + 1);
  } while (!clock.compare_exchange_weak(last, next));
  return next;
}

}  // namespace

std::size_t SharedMemorySize() {
  return MAXALIGN(sizeof(Clock));
}

void AttachClock() {
  if (g_clock == nullptr) {
    bool found = false;
    LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
    void* memory = ShmemInitStruct("pgquorum crdt clock", sizeof(Clock), &found);
    g_clock = found ? static_cast<Clock*>(memory) : new (memory) Clock(0);
    LWLockRelease(AddinShmemInitLock);
  }
}

crdt::Author Self() {
  PGQUORUM_CHECK(g_clock != nullptr);
  crdt::Author author;
  author.origin.site = replication::SiteId(static_cast<uint16_t>(guc::crdt_site_id));
  author.origin.incarnation = static_cast<uint16_t>(guc::crdt_incarnation);
  Clock* clock = g_clock;
  // What a value has seen raises readings for that value, not for all others: one value with a time
  // of the far future does not drag the server along.
  author.tick = [clock](uint64_t above) {
    return std::max(NextReading(*clock), above == UINT64_MAX ? above : above + 1);
  };
  return author;
}

}  // namespace pgquorum::crdt_types

PGQUORUM_FUNCTION(pgquorum_crdt_origin) {
  char origin[16];
  snprintf(origin, sizeof(origin), "%d.%d", pgquorum::guc::crdt_site_id,
           pgquorum::guc::crdt_incarnation);
  return PointerGetDatum(cstring_to_text(origin));
}
