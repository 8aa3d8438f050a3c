// What the benchmarks of a raft::Host share: its options, its state machine, its clients.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "raftlog/bench/net.h"
#include "raftlog/runtime/host.h"
#include "raftlog/state_machine.h"

namespace pgquorum::raft::bench {

class NullMachine : public StateMachine {
 public:
  std::string Apply(const Entry&) override { return {}; }
  std::string Snapshot() override { return {}; }
  Status Restore(const SnapshotMeta&, std::string_view) override { return Status::Ok(); }
};

// Of node 0 to kNodes - 1, in its default durable mode; only the first one campaigns.
HostOptions BenchOptions(const std::string& directory, int node);

// The segments made ahead, start-up work and as much disk as many commits, are there.
bool HasSpares(const Host& host);

// For what a host publishes with its ticks.
void Await(const std::function<bool()>& condition);

// Drive() with proposals to `host`, which leads.
Measured DriveHost(Host& host, int clients, double seconds, std::size_t payload,
                   const std::vector<pid_t>& children);

}  // namespace pgquorum::raft::bench

#include "base/pure.h"
