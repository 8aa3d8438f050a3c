// Hybrid logical time: the wall clock where it moves, one microsecond more where it does not.
//
// A reading has the resolution and epoch of PostgreSQL's TimestampTz (microseconds since
// 2000-01-01 UTC), so that a commit timestamp is one without conversion. The promises:
//   1. Every reading handed out is above every reading handed out or observed before, restarts
//      included: both stay at or below a bound that is durable first.
//   2. A reading is never more than `max_skew_us` ahead of the wall, unless the action is kAccept:
//      one site with a wrong clock does not drag the others along.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/strong_id.h"
#include "bgworkers/replication/core/clock/origin.h"

namespace pgquorum::replication {

using Hlc = StrongId<struct HlcTag, uint64_t>;  // zero: before everything

// The year 10000: a reading above it is no clock's.
inline constexpr Hlc kHlcMax{252'455'616'000'000'000ULL};

// When and by whom something was written. The order is total: ties go to the higher site, then the
// higher incarnation, of whoever wrote the row, never of whoever compares, so that all sites decide
// alike.
struct Stamp {
  Hlc hlc;
  Origin origin;

  auto operator<=>(const Stamp&) const = default;
  explicit constexpr operator bool() const { return static_cast<bool>(hlc); }
};

inline constexpr std::size_t kStampSize = 12;

// Fixed size, big endian, ordered like the stamps themselves: memcmp compares.
void EncodeStamp(const Stamp& stamp, char* out);
// `bytes` holds at least kStampSize.
Stamp DecodeStamp(std::string_view bytes);

// What to do with a reading that is too far ahead of the own wall clock.
enum class SkewAction : uint8_t {
  kRefuse,  // end the session with its sender and raise an alert
  kPark,    // keep the change until the wall has come near enough
  kAccept,  // take it, and run ahead of the wall from now on
};

struct ClockOptions {
  uint64_t max_skew_us = 5'000'000;
  SkewAction action = SkewAction::kPark;
  // How far the durable bound is put ahead of the wall: one small write in half this time.
  uint64_t reserve_us = 1'000'000;
};

enum class Observed : uint8_t {
  kAccepted,
  kNeedsBound,  // make WantedBound(remote) durable, then observe again
  kParked,      // observe again once the wall has reached ParkedUntil(remote)
  kRefused,
};

class HybridClock {
 public:
  // `durable_bound`: the last one reported by BoundPersisted, zero for a new site.
  HybridClock(const ClockOptions& options, Hlc durable_bound)
      : options_(options), last_(durable_bound), bound_(durable_bound) {}

  // A new reading, or nothing when WantedBound(wall) has to be made durable first.
  std::optional<Hlc> Next(Hlc wall);
  // Call before anything stamped `remote` becomes visible here.
  Observed Observe(Hlc remote, Hlc wall);
  Hlc ParkedUntil(Hlc remote) const;

  // Ask for it ahead of need, so that no commit waits for the disk.
  bool ShouldPersist(Hlc wall) const;
  // The bound to make durable so that the next reading, and `also` when given, fit below.
  Hlc WantedBound(Hlc wall, Hlc also = Hlc()) const;
  void BoundPersisted(Hlc bound);

  // How long a commit has to wait until the wall is above every reading so far: what a server
  // whose commit timestamps are plain wall time needs, microseconds.
  uint64_t WaitForWall(Hlc wall) const { return last_ >= wall ? last_ - wall + 1 : 0; }
  Hlc last() const { return last_; }
  Hlc bound() const { return bound_; }

 private:
  Hlc Candidate(Hlc wall) const { return wall > last_ ? wall : last_ + 1; }

  ClockOptions options_;
  Hlc last_;   // highest reading handed out or observed, or what may have been before a restart
  Hlc bound_;  // durable
};

}  // namespace pgquorum::replication

#include "base/pure.h"
