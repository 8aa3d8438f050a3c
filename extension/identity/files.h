// Files of the data and state directories: whole-file reads, and writes that survive a crash at any
// point. POSIX only; used by the preloaded library, the consensus worker and the command line.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace pgquorum::identity {

// Errors of all: 58P01 (does not exist), 58030 (anything else), with the path and strerror.

// The whole file; at most `max_bytes` (58030 beyond).
Result<std::string> ReadFile(const std::string& path, std::size_t max_bytes = 1 << 20);

// The same, where an absent file is an answer and no error.
Result<std::optional<std::string>> ReadFileIfThere(const std::string& path,
                                                   std::size_t max_bytes = 1 << 20);

// Replaces `path` atomically: writes `path`.tmp with mode 0600, fsync, rename, fsync of the
// directory. After success the new content survives a power loss; after a failure or a crash the
// file has its old or its new content, whole.
Status WriteFileDurably(const std::string& path, std::string_view content);

// Success when the file did not exist. Durable.
Status RemoveFileDurably(const std::string& path);

// Makes what was created, renamed or removed in the directory durable.
Status SyncDirectory(const std::string& path);

bool FileExists(const std::string& path);

// Creates the directory (mode 0700) and makes its entry durable; success when it exists.
Status MakeDirectory(const std::string& path);

// Copies a regular file, keeping its permission bits. Durable.
Status CopyFileDurably(const std::string& from, const std::string& to);

// strerror(), also for files that include postgres.h, which renames it.
std::string ErrnoText(int error);

}  // namespace pgquorum::identity

#include "base/pure.h"
