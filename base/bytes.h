// Byte coding for wire messages and disk records: little endian, length-prefixed, bounded.
//
// ByteReader never reads past its input and never allocates more than the input holds: after the
// first malformed field ok() is false and every later read returns a zero value, so a decoder reads
// all its fields and checks once at the end with Finished().
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

namespace pgquorum {

class ByteWriter {
 public:
  template <std::unsigned_integral T>
  void Fixed(T value) {
    char bytes[sizeof(T)];
    for (std::size_t i = 0; i < sizeof(T); ++i) {
      bytes[i] = static_cast<char>(value >> (8 * i));
    }
    buffer_.append(bytes, sizeof(T));
  }
  // What is known to follow will not make the buffer grow in steps.
  void Reserve(std::size_t bytes) { buffer_.reserve(bytes); }
  void U8(uint8_t value) { Fixed(value); }
  void U16(uint16_t value) { Fixed(value); }
  void U32(uint32_t value) { Fixed(value); }
  void U64(uint64_t value) { Fixed(value); }
  void I64(int64_t value) { Fixed(static_cast<uint64_t>(value)); }
  void Bool(bool value) { U8(value ? 1 : 0); }
  // A 32-bit length, then the bytes.
  void Bytes(std::string_view value) {
    U32(static_cast<uint32_t>(value.size()));
    buffer_.append(value);
  }
  void Raw(std::string_view value) { buffer_.append(value); }

  std::size_t size() const { return buffer_.size(); }
  const std::string& data() const& { return buffer_; }
  std::string Take() && { return std::move(buffer_); }

 private:
  std::string buffer_;
};

class ByteReader {
 public:
  explicit ByteReader(std::string_view input) : rest_(input) {}

  template <std::unsigned_integral T>
  T Fixed() {
    if (rest_.size() < sizeof(T)) {
      Fail();
      return 0;
    }
    uint64_t value = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) {
      value |= uint64_t{static_cast<unsigned char>(rest_[i])} << (8 * i);
    }
    rest_.remove_prefix(sizeof(T));
    return static_cast<T>(value);
  }
  uint8_t U8() { return Fixed<uint8_t>(); }
  uint16_t U16() { return Fixed<uint16_t>(); }
  uint32_t U32() { return Fixed<uint32_t>(); }
  uint64_t U64() { return Fixed<uint64_t>(); }
  int64_t I64() { return static_cast<int64_t>(Fixed<uint64_t>()); }
  // Any byte but 0 and 1 is malformed.
  bool Bool() {
    uint8_t value = U8();
    if (value > 1) {
      Fail();
    }
    return value == 1;
  }
  // A view into the input: valid as long as the input is. Fails when longer than `max_length`.
  std::string_view Bytes(std::size_t max_length) {
    std::size_t length = U32();
    if (length > max_length || length > rest_.size()) {
      Fail();
      return {};
    }
    std::string_view value = rest_.substr(0, length);
    rest_.remove_prefix(length);
    return value;
  }
  // A count of elements that follow, each at least `min_element_size` bytes long, so that a hostile
  // count cannot make the caller reserve memory that the input does not back.
  std::size_t Count(std::size_t max_count, std::size_t min_element_size) {
    std::size_t count = U32();
    if (count > max_count || count * min_element_size > rest_.size()) {
      Fail();
      return 0;
    }
    return count;
  }

  void Fail() {
    ok_ = false;
    rest_ = {};
  }
  bool ok() const { return ok_; }
  std::size_t remaining() const { return rest_.size(); }
  // Everything was read and nothing was malformed.
  bool Finished() const { return ok_ && rest_.empty(); }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace pgquorum

#include "base/pure.h"
