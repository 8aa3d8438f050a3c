// What is measured by a program of its own: etcd, and the library over the product's transport.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "raftlog/bench/net.h"

namespace pgquorum::raft::bench {

// Runs the command, which prints a line for each number of clients (clients, rate, p50, p99, and if
// it knows them CPU us and waits of a commit), and returns what it measured. Nothing: it failed,
// and said why, or has not measured each of `clients`.
std::optional<std::map<int, Measured>> MeasureProgram(std::vector<std::string> command,
                                                      const std::vector<int>& clients);

}  // namespace pgquorum::raft::bench

#include "base/pure.h"
