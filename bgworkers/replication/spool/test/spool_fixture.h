// A spool over the file system that loses power.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/storage/errors.h"
#include "base/storage/memory_file.h"
#include "bgworkers/replication/core/errors.h"
#include "bgworkers/replication/spool/spool.h"

namespace pgquorum::replication {

inline constexpr uint64_t kGroup = 0x5EED;
inline const Origin kOwn{SiteId(1), 1};
inline const Origin kOther{SiteId(2), 1};
inline const std::string kDir = "spool";
using Applied = std::map<Origin, uint64_t>;

inline SpoolOptions SmallSegments() {
  SpoolOptions options;
  options.segment_bytes = 65'536;
  options.max_bytes = 1 << 20;
  options.peer_max_bytes = 1 << 20;
  return options;
}

inline Result<std::unique_ptr<Spool>> OpenSpool(FileSystem& fs, const Applied& applied = {},
                                                Origin own = kOwn) {
  return Spool::Open(fs, kDir, kGroup, own, SmallSegments(), applied);
}

// Different for each transaction, so that no bytes of two of them make a third.
inline std::string Payload(Origin origin, uint64_t sequence, std::size_t size = 100) {
  std::string unit = origin.ToString() + ":" + std::to_string(sequence) + ";";
  std::string bytes;
  while (bytes.size() < size) {
    bytes += unit;
  }
  bytes.resize(size);
  return bytes;
}

inline void Fill(Spool& spool, Origin origin, uint64_t from, uint64_t to, std::size_t size = 100) {
  for (uint64_t i = from; i <= to; ++i) {
    Result<SpoolIndex::Appended> appended =
        spool.Append(origin, i, Hlc(i), Payload(origin, i, size));
    ASSERT_TRUE(appended.ok()) << appended.status().ToString();
    ASSERT_EQ(appended.value(), SpoolIndex::Appended::kYes) << i;
  }
  ASSERT_TRUE(spool.Sync().ok());
}

// Checks what is there from `from` to the durable end, and returns how many.
inline uint64_t CheckAll(Spool& spool, Origin origin, uint64_t from, std::size_t size = 100) {
  SpoolReader reader = spool.Read(origin, from);
  uint64_t durable = spool.index().Of(origin).durable;
  uint64_t expected = from;
  while (reader.next() <= durable) {
    Result<std::vector<SpooledTransaction>> read = reader.Read(durable, 1000);
    EXPECT_TRUE(read.ok()) << read.status().ToString();
    if (!read.ok() || read.value().empty()) {
      break;
    }
    for (const SpooledTransaction& transaction : read.value()) {
      EXPECT_EQ(transaction.sequence, expected);
      EXPECT_EQ(transaction.hlc, Hlc(expected));
      EXPECT_EQ(transaction.bytes, Payload(origin, expected, size));
      ++expected;
    }
  }
  return expected - from;
}

}  // namespace pgquorum::replication

#include "base/pure.h"
