// Files and directories, with errors that name the path.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include <sys/types.h>

#include "base/status.h"

namespace pgquorum::cli {

namespace fs = std::filesystem;

// Atomic and durable: temporary file, fsync, rename, fsync of the directory. Unlike
// identity::WriteFileDurably an existing file keeps its mode: it is the administrator's.
Status WriteFile(const fs::path& path, std::string_view content, mode_t mode = 0600);

// The absolute form of a path as the user gave it, symbolic links kept.
fs::path Absolute(const std::string& path);

// True when the directory exists and holds nothing.
bool IsEmptyDirectory(const fs::path& path);
bool Exists(const fs::path& path);

// Creates the directory (mode 0700) and its missing parents (0755), the directory itself owned by
// the account when we are root. An existing one must be a directory of that account.
Status EnsurePrivateDirectory(const fs::path& path, uid_t uid, gid_t gid);

// Removes a directory's content, or (`self`) the directory too. Best effort: for cleaning up after
// a failure that is reported anyway.
void RemoveQuietly(const fs::path& path, bool self);

}  // namespace pgquorum::cli
