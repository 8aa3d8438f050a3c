// The bytes of the spool on disk: FORMAT.md describes them, a golden file in testdata/ pins them.
// Everything here is pure: no file is touched.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "base/storage/log_record.h"
#include "bgworkers/replication/core/clock/hlc.h"
#include "bgworkers/replication/core/clock/origin.h"

namespace pgquorum::replication {

inline constexpr std::string_view kErrForeignSpool = "RX205";  // of another group or site
inline constexpr std::string_view kErrSpoolFormat = "RX206";   // written by a later version

inline constexpr uint32_t kSpoolFormatVersion = 1;
inline constexpr uint64_t kSpoolMagic = 0x314C4F5053515047;  // "GPQSPOL1" in file order
inline constexpr std::size_t kSpoolHeaderBytes = 64;
// Longest encoded transaction.
inline constexpr std::size_t kMaxSpooledBytes = std::size_t{1} << 30;

// Whose spool it is. Part of every checksum: what another site or group wrote never verifies.
struct SpoolIdentity {
  uint64_t group_id = 0;  // never 0
  SiteId site;
};

// A segment holds transactions of one origin in sequence, from `first` until the next one begins.
struct SpoolSegment {
  Origin origin;
  uint64_t first = 0;

  auto operator<=>(const SpoolSegment&) const = default;
};

uint32_t SpoolSeed(const SpoolIdentity& identity, const SpoolSegment& segment);
std::string EncodeSpoolHeader(const SpoolIdentity& identity, const SpoolSegment& segment);
// `expected` is what the file's name says. kErrDamaged: not (yet) a header; kErrSpoolFormat,
// kErrForeignSpool.
Status CheckSpoolHeader(std::string_view bytes, const SpoolIdentity& identity,
                        const SpoolSegment& expected);

// Values are part of the disk format: never renumber.
enum class SpoolRecordKind : uint8_t {
  kTransaction = 1,
  kProof = 2,  // of nothing but what stands before it: everything up to here was durable
};
struct SpoolRecord {
  SpoolRecordKind kind = SpoolRecordKind::kTransaction;
  uint64_t sequence = 0;  // of a proof: of the transaction before it
  Hlc hlc;                // when the transaction was committed
  uint32_t durable_back = 0;
  std::string_view payload;
  std::size_t bytes = 0;  // with header and padding
};
void AppendSpoolRecord(const SpoolRecord& record, uint32_t seed, std::string& out);
// The record at the start of `bytes`, or nothing if there is none that verifies.
std::optional<SpoolRecord> ParseSpoolRecord(std::string_view bytes, uint32_t seed);

// "spool-00010001-000000000000002a": origin and first sequence; nothing for other names.
std::string SpoolSegmentName(const SpoolSegment& segment);
std::optional<SpoolSegment> ParseSpoolSegmentName(std::string_view name);

}  // namespace pgquorum::replication

#include "base/pure.h"
