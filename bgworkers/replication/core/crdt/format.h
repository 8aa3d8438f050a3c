// Internal: the bytes of replicated values. FORMAT.md is their description.
//
// There is one encoding for each state, so equal states are equal bytes: a merge that changed
// nothing is seen by memcmp, and hashes of values are hashes of their bytes. The reader therefore
// refuses what the writer never writes: numbers in more bytes than needed, entries out of order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>

#include "base/check.h"
#include "bgworkers/replication/core/clock/origin.h"
#include "bgworkers/replication/core/crdt/types.h"

namespace pgquorum::crdt {

using replication::Dot;
using replication::Origin;

inline constexpr uint8_t kFormatVersion = 1;

constexpr std::size_t NumberSize(uint64_t value) {
  std::size_t size = 1;
  for (; value >= 0x80; value >>= 7) {
    ++size;
  }
  return size;
}
constexpr std::size_t BytesSize(std::string_view value) {
  return NumberSize(value.size()) + value.size();
}
inline constexpr std::size_t kOriginSize = 4;
inline std::size_t DotSize(const Dot& dot) {
  return kOriginSize + NumberSize(dot.sequence);
}

class FlatReader {
 public:
  explicit FlatReader(std::string_view input) : rest_(input) {}

  uint8_t Byte() {
    if (rest_.empty()) {
      Fail();
      return 0;
    }
    auto byte = static_cast<uint8_t>(rest_[0]);
    rest_.remove_prefix(1);
    return byte;
  }
  // Seven bits a byte, the lowest first.
  uint64_t Number() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      uint8_t byte = Byte();
      uint64_t bits = byte & 0x7F;
      if (!ok_ || (shift == 63 && bits > 1)) {
        break;
      }
      value |= bits << shift;
      if ((byte & 0x80) == 0) {
        if (byte == 0 && shift > 0) {
          break;  // longer than needed
        }
        return value;
      }
    }
    Fail();
    return 0;
  }
  Origin ReadOrigin() {
    uint32_t packed = 0;
    for (int i = 0; i < 4; ++i) {
      packed = (packed << 8) | Byte();
    }
    return Origin::Unpack(packed);
  }
  Dot ReadDot() {
    Origin origin = ReadOrigin();
    Dot dot{origin, Number()};
    if (!dot.origin || dot.sequence == 0) {
      Fail();
    }
    return dot;
  }
  // A view into the input.
  std::string_view Bytes() {
    uint64_t length = Number();
    if (length > rest_.size()) {
      Fail();
      return {};
    }
    std::string_view value = rest_.substr(0, length);
    rest_.remove_prefix(length);
    return value;
  }
  // How many elements follow, each at least `least_size` bytes long.
  std::size_t Count(std::size_t least_size) {
    uint64_t count = Number();
    if (count > rest_.size() / least_size) {
      Fail();
      return 0;
    }
    return static_cast<std::size_t>(count);
  }
  void Fail() {
    ok_ = false;
    rest_ = {};
  }
  bool ok() const { return ok_; }
  bool Finished() const { return ok_ && rest_.empty(); }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

// Writes into memory of the caller, which has asked EncodedSize() before.
class FlatWriter {
 public:
  explicit FlatWriter(std::span<char> out) : rest_(out) {}

  void Byte(uint8_t value) {
    PGQUORUM_CHECK(!rest_.empty());
    rest_[0] = static_cast<char>(value);
    rest_ = rest_.subspan(1);
  }
  void Number(uint64_t value) {
    for (; value >= 0x80; value >>= 7) {
      Byte(static_cast<uint8_t>(value | 0x80));
    }
    Byte(static_cast<uint8_t>(value));
  }
  void WriteOrigin(Origin origin) {
    for (int shift = 24; shift >= 0; shift -= 8) {
      Byte(static_cast<uint8_t>(origin.Packed() >> shift));
    }
  }
  void WriteDot(const Dot& dot) {
    WriteOrigin(dot.origin);
    Number(dot.sequence);
  }
  void Bytes(std::string_view value) {
    Number(value.size());
    PGQUORUM_CHECK(value.size() <= rest_.size());
    if (!value.empty()) {
      std::memcpy(rest_.data(), value.data(), value.size());
    }
    rest_ = rest_.subspan(value.size());
  }
  std::size_t left() const { return rest_.size(); }

 private:
  std::span<char> rest_;
};

// A register's value: text, or the explicit null that was assigned last.
using OptionalText = std::optional<std::string_view>;

inline std::size_t OptionalSize(const OptionalText& value) {
  return 1 + (value ? BytesSize(*value) : 0);
}
inline void WriteOptional(const OptionalText& value, FlatWriter& out) {
  out.Byte(value ? 1 : 0);
  if (value) {
    out.Bytes(*value);
  }
}
inline OptionalText ReadOptional(FlatReader& in) {
  uint8_t present = in.Byte();
  if (present > 1) {
    in.Fail();
  }
  return present == 1 ? OptionalText(in.Bytes()) : std::nullopt;
}

inline void WriteHeader(Type type, FlatWriter& out) {
  out.Byte(static_cast<uint8_t>(type));
  out.Byte(kFormatVersion);
}
inline void ReadHeader(Type type, FlatReader& in) {
  if (in.Byte() != static_cast<uint8_t>(type) || in.Byte() != kFormatVersion) {
    in.Fail();
  }
}

replication::VersionVector ReadVector(FlatReader& in);
void WriteVector(const replication::VersionVector& vector, FlatWriter& out);
std::size_t VectorSize(const replication::VersionVector& vector);

Status Malformed(Type type);

}  // namespace pgquorum::crdt

#include "base/pure.h"
