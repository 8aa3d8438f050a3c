#include "raftlog/bench/host_load.h"

#include <atomic>
#include <chrono>
#include <thread>

#include "base/check.h"

#include "base/pure.h"

namespace pgquorum::raft::bench {
namespace {

constexpr uint32_t kSpareSegments = 3;

}  // namespace

HostOptions BenchOptions(const std::string& directory, int node) {
  HostOptions options;
  options.raft.id = NodeId(static_cast<uint64_t>(node) + 1);
  options.raft.seed = options.raft.id.value();
  // Nobody but the first node may campaign, however busy the machine is.
  options.raft.election_ticks = node == 0 ? 100 : 2000;
  options.raft.heartbeat_ticks = 10;
  options.stall_ticks = 1000;
  options.cluster_id = 1;
  options.directory = directory + "/raft" + std::to_string(node);
  options.bootstrap = Configuration();
  options.bootstrap->voters = {NodeId(1), NodeId(2), NodeId(3)};
  options.log.spare_segments = kSpareSegments;
  return options;
}

bool HasSpares(const Host& host) {
  return host.GetStatus().log.segments_made > kSpareSegments;
}

void Await(const std::function<bool()>& condition) {
  while (!condition()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

Measured DriveHost(Host& host, int clients, double seconds, std::size_t payload,
                   const std::vector<pid_t>& children) {
  std::vector<std::atomic<uint32_t>> done(static_cast<std::size_t>(clients));
  return Drive(clients, seconds, payload, children, [&](int client, const std::string& data) {
    std::atomic<uint32_t>& mine = done[static_cast<std::size_t>(client)];
    uint32_t before = mine.load();
    host.Propose(data, [&mine](Status status, Index, std::string) {
      PGQUORUM_CHECK(status.ok());
      mine.fetch_add(1);
      mine.notify_one();
    });
    mine.wait(before);
  });
}

}  // namespace pgquorum::raft::bench
