#include "base/storage/log_record.h"

#include <algorithm>

#include "base/check.h"
#include "base/crc32c.h"

#include "base/pure.h"

namespace pgquorum {
namespace {

constexpr std::size_t kChecksumBytes = 4;
constexpr std::size_t kCheckedHeaderBytes = 26;  // after the checksum, before the check

template <typename T>
void Put(char* to, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    to[i] = static_cast<char>(static_cast<uint64_t>(value) >> (8 * i));
  }
}

template <typename T>
T Get(const char* from) {
  uint64_t value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    value |= uint64_t{static_cast<unsigned char>(from[i])} << (8 * i);
  }
  return static_cast<T>(value);
}

// Tells a header from arbitrary bytes before its length is believed, so that a search for records
// in a damaged region does not compute a checksum of megabytes at every position.
uint16_t HeaderCheck(const char* record, uint32_t seed) {
  return static_cast<uint16_t>(Crc32c({record + kChecksumBytes, kCheckedHeaderBytes}, ~seed));
}

uint32_t Checksum(const char* record, std::string_view payload, uint32_t seed) {
  uint32_t crc = Crc32c({record + kChecksumBytes, kLogRecordHeaderBytes - kChecksumBytes}, seed);
  return Crc32c(payload, crc);
}

}  // namespace

void AppendLogRecord(const LogRecordHeader& header, std::string_view payload, uint32_t seed,
                     std::string& out) {
  PGQUORUM_CHECK(header.kind != 0 && payload.size() <= UINT32_MAX);
  std::size_t start = out.size();
  out.resize(start + kLogRecordHeaderBytes);
  char* p = out.data() + start;
  Put<uint32_t>(p + 4, static_cast<uint32_t>(payload.size()));
  Put<uint64_t>(p + 8, header.first);
  Put<uint64_t>(p + 16, header.second);
  Put<uint32_t>(p + 24, header.durable_back);
  Put<uint8_t>(p + 28, header.kind);
  Put<uint8_t>(p + 29, header.tag);
  Put<uint16_t>(p + 30, HeaderCheck(p, seed));
  Put<uint32_t>(p, Checksum(p, payload, seed));
  out.append(payload);
  out.resize(start + LogRecordBytes(payload.size()), '\0');
}

std::optional<LogRecordHeader> ParseLogRecordHeader(std::string_view bytes, uint32_t seed,
                                                    std::size_t max_payload) {
  if (bytes.size() < kLogRecordHeaderBytes) {
    return std::nullopt;
  }
  const char* p = bytes.data();
  LogRecordHeader header;
  header.length = Get<uint32_t>(p + 4);
  header.first = Get<uint64_t>(p + 8);
  header.second = Get<uint64_t>(p + 16);
  header.durable_back = Get<uint32_t>(p + 24);
  header.kind = Get<uint8_t>(p + 28);
  header.tag = Get<uint8_t>(p + 29);
  bool valid = header.kind != 0 && header.length <= max_payload &&
               Get<uint16_t>(p + 30) == HeaderCheck(p, seed);
  return valid ? std::optional(header) : std::nullopt;
}

std::optional<LogRecord> ParseLogRecord(std::string_view bytes, uint32_t seed,
                                        std::size_t max_payload) {
  std::optional<LogRecordHeader> header = ParseLogRecordHeader(bytes, seed, max_payload);
  if (!header || LogRecordBytes(header->length) > bytes.size()) {
    return std::nullopt;
  }
  LogRecord record;
  record.header = *header;
  record.payload = bytes.substr(kLogRecordHeaderBytes, header->length);
  record.bytes = LogRecordBytes(header->length);
  if (Get<uint32_t>(bytes.data()) != Checksum(bytes.data(), record.payload, seed)) {
    return std::nullopt;
  }
  return record;
}

LogTail JudgeLogTail(std::string_view content, uint64_t from, uint32_t seed,
                     std::size_t max_payload) {
  LogTail tail;
  for (uint64_t at = from; at < content.size(); at += kLogRecordAlignment) {
    std::optional<LogRecord> record = ParseLogRecord(content.substr(at), seed, max_payload);
    if (!record) {
      continue;
    }
    if (at - std::min<uint64_t>(record->header.durable_back, at) > from) {
      tail.proven = true;
      return tail;
    }
    tail.torn_bytes = at + record->bytes - from;
    at += record->bytes - kLogRecordAlignment;
  }
  return tail;
}

}  // namespace pgquorum
