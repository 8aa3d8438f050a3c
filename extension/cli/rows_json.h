// Rows of a query as JSON, and errors of queries in the words of the command line.
#pragma once

#include <nlohmann/json.hpp>

#include "base/status.h"
#include "extension/cli/sql.h"

namespace pgquorum::cli {

using Json = nlohmann::ordered_json;

// A list of objects; numbers and booleans as such, NULL as null, everything else as text.
Json ToJson(const Rows& rows);

// The error that tells of a missing extension; any other status as it is.
Status WithoutExtension(const Status& status);

}  // namespace pgquorum::cli
