// Another system under the same load, measured by a program of its own.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "raftlog/bench/net.h"

namespace pgquorum::raft::bench {

// Runs `program ETCD DIRECTORY SECONDS PAYLOAD 1 64` (bgworkers/transport/bench/etcd_load.cpp) and
// returns what it measured for each number of clients. Nothing: it failed, and said why.
std::optional<std::map<int, Measured>> MeasureEtcd(const std::string& program,
                                                   const std::string& etcd,
                                                   const std::string& directory, double seconds,
                                                   std::size_t payload);

}  // namespace pgquorum::raft::bench

#include "base/pure.h"
