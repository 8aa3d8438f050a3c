// Tables and statements as text: what scenarios are written in and traces show.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "bgworkers/replication/core/sim/database.h"

namespace pgquorum::replication::sim {

std::vector<std::string> Words(std::string_view line);

// "t a b n:pn_counter unique=a strategy=primary primary=1 …"
TableModel ParseTable(const std::vector<std::string>& words);
// "update t 1 a=1 n+5 s-word", "delete t 1", "truncate t", "rekey t 1 2 a=1"
Statement ParseStatement(const std::vector<std::string>& words);
std::string ToString(const Statement& statement);

}  // namespace pgquorum::replication::sim

#include "base/pure.h"
