// The durable pledge of a node (docs/failover.md).
//
// Only POSIX: usable before PostgreSQL has anything running.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace pgquorum::consensus {

// Opaque bytes of bgworkers/failover in an envelope of
// magic, version, length and CRC-32C. The envelope is seeded with the cluster id, so that the file
// of another cluster never verifies.
//
// The rule of its use: a pledge counts, may be reported or acted on, only after WritePledge
// returned ok.
class PledgeFile {
 public:
  // `path` is `<state directory>/pledge`.
  PledgeFile(std::string path, uint64_t cluster_id);

  // nullopt: no pledge was ever given. XX001: the file is there but damaged or foreign; the node
  // must then stay closed, for it no longer knows what it promised.
  Result<std::optional<std::string>> Read() const;
  Status Write(std::string_view content) const;

  static constexpr std::size_t kMaxContent = 64 * 1024;

 private:
  std::string path_;
  uint32_t seed_;
};

}  // namespace pgquorum::consensus
