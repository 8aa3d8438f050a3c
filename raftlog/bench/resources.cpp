// What a log costs beside time: memory for what is not committed yet, and the opening of a long
// one.
#include <unistd.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <thread>

#include "base/check.h"
#include "raftlog/bench/host_load.h"
#include "raftlog/bench/net.h"
#include "raftlog/runtime/host.h"
#include "raftlog/runtime/loopback.h"

#include "base/pure.h"

namespace pgquorum::raft::bench {
namespace {

constexpr std::size_t kPayload = 256;
constexpr uint64_t kMemoryEntries = 100'000;

double ResidentMiB() {
  std::ifstream statm("/proc/self/statm");
  double size = 0;
  double resident = 0;
  statm >> size >> resident;
  return resident * static_cast<double>(::sysconf(_SC_PAGESIZE)) / (1 << 20);
}

}  // namespace

double MeasureMemory(const std::string& directory) {
  // Two voters in this process; the second one hears nothing once the first one leads.
  LoopbackNetwork network;
  std::array<NullMachine, 2> machines;
  std::vector<std::unique_ptr<Host>> hosts;
  for (uint64_t id : {1, 2}) {
    HostOptions options;
    options.raft.id = NodeId(id);
    options.raft.seed = id;
    options.raft.election_ticks = 100'000;  // nobody steps down while it is cut off
    options.stall_ticks = 100'000;
    options.cluster_id = 1;
    options.directory = directory + "/memory" + std::to_string(id);
    options.bootstrap = Configuration();
    options.bootstrap->voters = {NodeId(1), NodeId(2)};
    hosts.push_back(std::make_unique<Host>(std::move(options), network.TransportOf(NodeId(id)),
                                           machines[id - 1], HostObservers()));
    PGQUORUM_CHECK(hosts.back()->Start().ok());
    network.Attach(NodeId(id), hosts.back().get());
  }
  auto await = [&hosts](auto condition) {
    while (!condition(hosts[0]->GetStatus())) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));  // published by ticks only
    }
  };
  hosts[0]->Campaign();
  await([](const HostStatus& s) { return s.role == Role::kLeader && s.applied == s.last; });
  network.Cut(NodeId(1), NodeId(2), true);
  double before = ResidentMiB();
  Index last = hosts[0]->GetStatus().last + kMemoryEntries;
  for (uint64_t i = 0; i < kMemoryEntries; ++i) {
    hosts[0]->Propose(std::string(kPayload, 'm'), [](Status, Index, std::string) {});
  }
  await([last](const HostStatus& s) { return s.stable >= last; });
  double used = ResidentMiB() - before;
  for (uint64_t id : {1, 2}) {
    network.Attach(NodeId(id), nullptr);
    hosts[id - 1]->Stop();
    std::filesystem::remove_all(directory + "/memory" + std::to_string(id));
  }
  return used;
}

double MeasureOpen(const std::string& directory) {
  std::string path = directory + "/open";
  double seconds = 0;
  for (bool writing : {true, false}) {
    Clock::time_point start = Clock::now();
    auto state = StateDirectory::Open(PosixFileSystem(), path, {1, NodeId(1)}, false);
    PGQUORUM_CHECK(state.ok());
    auto snapshots = SnapshotStore::Open(PosixFileSystem(), path, 1);
    PGQUORUM_CHECK(snapshots.ok());
    auto log = LogStore::Open(*state.value(), *snapshots.value(), LogStoreOptions());
    PGQUORUM_CHECK(log.ok());
    seconds = std::chrono::duration<double>(Clock::now() - start).count();
    uint64_t next = 1;
    while (writing && log.value()->stats().bytes < uint64_t{1} << 30) {
      Persist persist;
      for (int i = 0; i < 10'000; ++i) {
        persist.entries.push_back(
            {Term(1), Index(next++), EntryType::kCommand, std::string(kPayload, 'o')});
      }
      const Persist* batch = &persist;
      PGQUORUM_CHECK(log.value()->Write({&batch, 1}).ok());
    }
  }
  std::filesystem::remove_all(path);
  return seconds;
}

}  // namespace pgquorum::raft::bench
