// Edits of PostgreSQL's configuration files, on their text: a block that pgquorum owns, everything
// else left byte for byte as it was.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgquorum::cli {

inline constexpr char kBlockBegin[] =
    "# BEGIN pgquorum: written by the pgquorum command; your own lines go outside of this block";
inline constexpr char kBlockEnd[] = "# END pgquorum";

enum class BlockPlace {
  kTop,     // pg_hba.conf: the first line that matches decides
  kBottom,  // postgresql.conf: the last line that sets a parameter decides
};

// The text with its block replaced by `lines`, or added at `place` when it had none. A block
// without its end line reaches to the end of the file. Empty `lines` remove the block.
std::string SetBlock(std::string_view text, const std::vector<std::string>& lines,
                     BlockPlace place);
bool HasBlock(std::string_view text);

// 'value' as postgresql.conf reads it: quoted, with quotes and backslashes doubled.
std::string QuoteSetting(std::string_view value);

// In the block, paths at and below directory `from` become those below `to`.
std::string MoveInBlock(std::string_view text, std::string_view from, std::string_view to);

// Removes every line that sets `name` (any case, with or without "="), and says whether there was
// one.
bool RemoveSetting(std::string& text, std::string_view name);

// shared_preload_libraries with one more library; unchanged when it is there already.
std::string AddLibrary(std::string_view list, std::string_view library);

// A value for a libpq connection string: quoted where it must be.
std::string QuoteConninfo(std::string_view value);

}  // namespace pgquorum::cli

#include "base/pure.h"
