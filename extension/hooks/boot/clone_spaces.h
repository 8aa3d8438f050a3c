// The tablespaces of a node that is copied anew. Each lies in a directory of its own, at the path
// that it has on the source, and is full of what the copy replaces: so the copy is made beside it,
// in PATH/pgquorum.clone, and takes its place when the base backup is complete.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <system_error>
#include <vector>

#include "base/status.h"

namespace pgquorum::boot {

// 58030: could not WHAT "PATH".
Status FileFailed(const char* what, const std::filesystem::path& path,
                  const std::error_code& error);

// Where each tablespace of the data directory lies, by its oid: also after an interrupted swap.
using Spaces = std::map<std::string, std::string>;
Spaces FindSpaces(const std::string& data_directory);

// Removes what an earlier attempt has left, in directories that it made too. With `everything` the
// old content as well, for its room.
Status ClearSpaces(const std::string& data_directory, const Spaces& spaces, bool everything);

// For pg_basebackup.
std::vector<std::string> SpaceMappings(const Spaces& spaces);

// A file in each tablespace that the source's backup must not contain: where it does, the source
// has the very same directory (nodes of one machine), and to replace its content would destroy the
// source's. Removed again by the other call, which fails with 0A000 then. `mark` begins with
// kSpaceMark, and is another one in each attempt.
inline constexpr char kSpaceMark[] = "pgquorum.mark.";
Status MarkSpaces(const Spaces& spaces, const std::string& mark);
Status CheckMarks(const Spaces& spaces, const std::string& mark);

// Old content away, new content in its place, and the finished backup's links to it. Repeating it
// with a new backup makes whole what an interruption left.
Status SwapInSpaces(const std::string& data_directory, const Spaces& spaces);

}  // namespace pgquorum::boot

#include "base/pure.h"
