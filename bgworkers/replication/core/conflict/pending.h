// The stamp of a transaction that has not committed: its time is not known to itself, but what it
// leaves behind has to name it. It is written down as *pending* and means the stamp of whoever
// wrote it down; a reader who knows that stamp puts it in.
#pragma once

#include <cstdint>

#include "bgworkers/replication/core/clock/hlc.h"
#include "bgworkers/replication/core/clock/version_vector.h"

namespace pgquorum::replication {

// Above every reading, as what is written now is above all that it has seen.
inline constexpr uint64_t kPendingTime = UINT64_MAX;

inline constexpr Stamp PendingStamp(Origin origin) {
  return {Hlc(kPendingTime), origin};
}
inline constexpr bool IsPending(const Stamp& stamp) {
  return stamp.hlc.value() == kPendingTime;
}

inline void Resolve(Stamp& stamp, const Stamp& writer) {
  if (IsPending(stamp)) {
    stamp = writer;
  }
}
inline void Resolve(VersionVector& seen, const Stamp& writer) {
  if (seen.Of(writer.origin) == kPendingTime) {
    seen.Erase(writer.origin);
    seen.Raise(writer.origin, writer.hlc.value());
  }
}

// A transaction writes a row once, as others see it: its stamp names the version.
inline constexpr Dot DotOf(const Stamp& stamp) {
  return {stamp.origin, stamp.hlc.value()};
}

}  // namespace pgquorum::replication

#include "base/pure.h"
