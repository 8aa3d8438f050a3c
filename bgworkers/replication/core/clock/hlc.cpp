#include "bgworkers/replication/core/clock/hlc.h"

#include <algorithm>

#include "base/check.h"
#include "bgworkers/replication/core/bug.h"

#include "base/pure.h"

namespace pgquorum::replication {
namespace {

void PutBigEndian(uint64_t value, std::size_t bytes, char* out) {
  for (std::size_t i = 0; i < bytes; ++i) {
    out[i] = static_cast<char>(value >> (8 * (bytes - 1 - i)));
  }
}

uint64_t GetBigEndian(std::string_view bytes) {
  uint64_t value = 0;
  for (char byte : bytes) {
    value = (value << 8) | static_cast<unsigned char>(byte);
  }
  return value;
}

}  // namespace

void EncodeStamp(const Stamp& stamp, char* out) {
  PutBigEndian(stamp.hlc.value(), 8, out);
  PutBigEndian(stamp.origin.Packed(), 4, out + 8);
}

Stamp DecodeStamp(std::string_view bytes) {
  PGQUORUM_CHECK(bytes.size() >= kStampSize);
  return {Hlc(GetBigEndian(bytes.substr(0, 8))),
          Origin::Unpack(static_cast<uint32_t>(GetBigEndian(bytes.substr(8, 4))))};
}

std::optional<Hlc> HybridClock::Next(Hlc wall) {
  Hlc next = Candidate(wall);
  PGQUORUM_CHECK(next <= kHlcMax);
  if (next > bound_) {
    return std::nullopt;
  }
  last_ = next;
  return next;
}

Observed HybridClock::Observe(Hlc remote, Hlc wall) {
  if (remote > kHlcMax) {
    return Observed::kRefused;
  }
  bool ahead = remote > wall && remote - wall > options_.max_skew_us;
  if (ahead && options_.action == SkewAction::kRefuse) {
    return Observed::kRefused;
  }
  if (ahead && options_.action == SkewAction::kPark) {
    return Observed::kParked;
  }
  if (remote > last_) {
    if (remote > bound_) {
      return Observed::kNeedsBound;
    }
    last_ = remote;
  }
  return Observed::kAccepted;
}

Hlc HybridClock::ParkedUntil(Hlc remote) const {
  return remote.value() > options_.max_skew_us ? remote - options_.max_skew_us : Hlc();
}

bool HybridClock::ShouldPersist(Hlc wall) const {
  return Candidate(wall) + options_.reserve_us / 2 > bound_;
}

Hlc HybridClock::WantedBound(Hlc wall, Hlc also) const {
  // A clock that is ahead of the wall (after a restart: by what is left of the reserve) asks for
  // small steps, or a server that restarts in a loop would run away from the wall.
  Hlc need = std::max(Candidate(wall), also);
  Hlc wanted = std::max(wall + options_.reserve_us, need + options_.reserve_us / 16);
  return std::min(std::max(wanted, bound_), kHlcMax);
}

void HybridClock::BoundPersisted(Hlc bound) {
  PGQUORUM_CHECK(bound >= bound_);
  bound_ = bound;
}

}  // namespace pgquorum::replication
