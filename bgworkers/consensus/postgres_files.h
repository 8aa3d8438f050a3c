// Durable small files. "Durable" = written to a temporary file, fsynced, renamed over the target,
// and the directory fsynced: after a power loss the file is whole and either the old or the new
// one.
//
// Only POSIX: usable before PostgreSQL has anything running.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace pgquorum::consensus {

// Replaces `path`. Mode 0600. 58030 on failure; the target is then the old one (or, when the final
// fsync of the directory failed, possibly the new one: treat the content as unknown).
Status WriteFileDurably(const std::string& path, std::string_view content);

// The whole file, at most `max_size` bytes (XX001 beyond). An absent file is nullopt, not an error.
Result<std::optional<std::string>> ReadSmallFile(const std::string& path, std::size_t max_size);

// Removes `path` and fsyncs its directory; absent is fine.
Status RemoveFileDurably(const std::string& path);

Status FsyncDirectory(const std::string& directory);

// strerror() for files that include postgres.h, which renames it.
std::string ErrnoText(int error);

// The durable pledge (docs/failover.md): opaque bytes of bgworkers/failover in an envelope of
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
