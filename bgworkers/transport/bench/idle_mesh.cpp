// What an idle mesh of three nodes costs: each sends every peer 10 reports and 10 Raft heartbeats a
// second. Prints the CPU time and memory of all three, which live in this one process.
//
// Usage: transport_idle_mesh [seconds]
#include <poll.h>
#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>

#include "bgworkers/transport/test/harness.h"

namespace {

double CpuSeconds() {
  rusage use{};
  getrusage(RUSAGE_SELF, &use);
  return static_cast<double>(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
         static_cast<double>(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace pgquorum::transport;  // NOLINT: a program of one function
  int seconds = argc > 1 ? std::atoi(argv[1]) : 10;
  TestPki pki;
  std::vector<std::unique_ptr<TestNode>> nodes;
  for (uint64_t id = 1; id <= 3; ++id) {
    nodes.push_back(
        std::make_unique<TestNode>(OptionsOf(id, pki.Make("node" + std::to_string(id)))));
    pgquorum::Status started = (*nodes.back())->Start();
    if (!started.ok()) {
      std::fprintf(stderr, "%s\n", started.ToString().c_str());
      return 1;
    }
  }
  for (auto& node : nodes) {
    std::vector<Peer> peers;
    for (auto& other : nodes) {
      if (other != node) {
        peers.push_back(PeerOf(other->id(), (*other)->port()));
      }
    }
    (*node)->SetPeers(peers);
  }
  for (auto& node : nodes) {
    for (auto& other : nodes) {
      if (other != node && !node->AwaitEvent(other->id(), PeerEventKind::kConnected)) {
        std::fprintf(stderr, "no connection\n");
        return 1;
      }
    }
  }
  double before = CpuSeconds();
  const std::string report(300, 'r');
  const std::string heartbeat(60, 'h');
  for (int tick = 0; tick < seconds * 20; ++tick) {
    for (auto& node : nodes) {
      for (auto& other : nodes) {
        if (other != node) {
          if (tick % 2 == 0) {
            (*node)->Send(other->id(), Channel::kReport, report, Urgency::kRoutine);
          } else {
            (*node)->Send(other->id(), Channel::kRaft, heartbeat);
          }
        }
      }
    }
    poll(nullptr, 0, 50);  // the benchmark's clock
  }
  double used = CpuSeconds() - before;
  uint64_t received = 0;
  for (auto& node : nodes) {
    for (const PeerCounters& peer : (*node)->counters().peers) {
      received += peer.frames_received;
    }
  }
  rusage use{};
  getrusage(RUSAGE_SELF, &use);
  std::printf(
      "3 nodes, %d s, %llu frames received: %.2f %% of one CPU for all three, %.2f %% a node; "
      "%.0f us CPU a frame (both ends); max RSS of all three %ld MiB\n",
      seconds, static_cast<unsigned long long>(received), 100 * used / seconds,
      100 * used / seconds / 3, 1e6 * used / static_cast<double>(received), use.ru_maxrss / 1024);
  return 0;
}
