// Records of an append-only log: framed, checksummed, and each a witness of what was durable before
// it. What a log's records mean is its owner's business.
//
//   0  u32  CRC-32C of everything behind it, up to the payload's end, continued from the seed
//   4  u32  length of the payload
//   8  u64  two numbers of the owner, readable without the payload
//   16 u64
//   24 u32  durable_back
//   28 u8   kind, u8 tag: the owner's; kind 0 is no record, so that zeroes are none
//   30 u16  check of the header alone
//   32      payload, padded with zeroes to a multiple of 8
//
// The seed comes from the identity of the file: bytes of another file never verify.
//
// `durable_back` tells a torn tail from damage. Bytes that do not verify are torn when no later
// record says that they were durable: the write was under way when the power went, nobody was told
// of it. When one does, the log has lost what it promised.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pgquorum {

inline constexpr std::size_t kLogRecordHeaderBytes = 32;
inline constexpr std::size_t kLogRecordAlignment = 8;

struct LogRecordHeader {
  uint32_t length = 0;  // of the payload; filled in by AppendLogRecord
  uint64_t first = 0;
  uint64_t second = 0;
  // Everything in this file up to this many bytes before the record's start was durable when it was
  // written.
  uint32_t durable_back = 0;
  uint8_t kind = 0;
  uint8_t tag = 0;
};

inline std::size_t LogRecordBytes(std::size_t payload) {
  return (kLogRecordHeaderBytes + payload + kLogRecordAlignment - 1) & ~(kLogRecordAlignment - 1);
}

void AppendLogRecord(const LogRecordHeader& header, std::string_view payload, uint32_t seed,
                     std::string& out);

// The header at the start of `bytes` when its own check verifies and the payload is not longer than
// `max_payload`; the payload may be damaged, or lie behind the end of `bytes`.
std::optional<LogRecordHeader> ParseLogRecordHeader(std::string_view bytes, uint32_t seed,
                                                    std::size_t max_payload);

struct LogRecord {
  LogRecordHeader header;
  std::string_view payload;  // into the input
  std::size_t bytes = 0;     // with padding: the next record's distance
};
// The record at the start of `bytes`, or nothing if there is none that verifies.
std::optional<LogRecord> ParseLogRecord(std::string_view bytes, uint32_t seed,
                                        std::size_t max_payload);

// What lies behind the last record that could be read.
struct LogTail {
  bool proven = false;      // a later record says that the bytes at `from` were durable: damage
  uint64_t torn_bytes = 0;  // up to the end of the last record that verifies; 0: there is none
};
// `from`: where records of the file with the given content end.
LogTail JudgeLogTail(std::string_view content, uint64_t from, uint32_t seed,
                     std::size_t max_payload);

}  // namespace pgquorum

#include "base/pure.h"
