// The text format of pgquorum's small files: readable by people, checked by programs.
//
//   pgquorum <kind> <version>
//   key = value
//   …
//   crc32c = 1a2b3c4d
//
// Keys are [a-z0-9_]; a value is the rest of the line, with \\ and \n escaped. The last line is the
// CRC-32C of every byte before it. A reader refuses another kind, a version above its own and a
// wrong CRC; keys that it does not know are ignored, so that an older program reads a file to which
// a newer one of the same version has added keys.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/status.h"

namespace pgquorum::identity {

// Largest file that is read.
inline constexpr std::size_t kMaxRecordBytes = 64 * 1024;

class TextRecord {
 public:
  TextRecord(std::string_view kind, uint32_t version) : kind_(kind), version_(version) {}

  // Errors: XX001 (not such a file, damaged), 0A000-like 55000 (version too new).
  static Result<TextRecord> Parse(std::string_view text, std::string_view kind,
                                  uint32_t max_version);
  std::string Format() const;

  void Set(std::string_view key, std::string_view value);
  void SetNumber(std::string_view key, uint64_t value);
  void SetHex(std::string_view key, uint64_t value);  // 16 digits

  // Every getter returns XX001 when the key is missing or the value is not of its type.
  Result<std::string> Get(std::string_view key) const;
  Result<uint64_t> GetNumber(std::string_view key) const;
  Result<uint64_t> GetHex(std::string_view key) const;
  std::string GetOr(std::string_view key, std::string_view fallback) const;

  uint32_t version() const { return version_; }

 private:
  std::string kind_;
  uint32_t version_;
  std::map<std::string, std::string, std::less<>> values_;
};

}  // namespace pgquorum::identity

#include "base/pure.h"
