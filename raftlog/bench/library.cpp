// The library under the same clients: three processes with a raft::Host each, over loopback TCP.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <memory>

#include "base/check.h"
#include "raftlog/bench/host_load.h"
#include "raftlog/bench/net.h"
#include "raftlog/bench/tls.h"
#include "raftlog/runtime/frame_stream.h"
#include "raftlog/runtime/host.h"

#include "base/pure.h"

namespace pgquorum::raft::bench {
namespace {

constexpr uint64_t kMaxQueuedBytes = uint64_t{64} << 20;

// A stream to each of the other nodes.
class MeshTransport : public Transport {
 public:
  // `tls` null: plain.
  MeshTransport(const Mesh& mesh, int self, SSL_CTX* tls) {
    for (int node = 0; node < kNodes; ++node) {
      if (node == self) {
        streams_.push_back(nullptr);
        continue;
      }
      int fd = mesh[static_cast<std::size_t>(self)][static_cast<std::size_t>(node)];
      SslHandle ssl;
      if (tls != nullptr) {
        Result<SslHandle> made = TlsHandshake(fd, tls, self < node);
        PGQUORUM_CHECK(made.ok());
        ssl = std::move(made).value();
      }
      streams_.push_back(std::make_unique<FrameStream>(fd, std::move(ssl), kMaxQueuedBytes));
    }
  }
  void Send(NodeId to, std::string bytes) override { streams_[to.value() - 1]->Send(bytes); }
  void Attach(Host& host) {
    for (std::size_t node = 0; node < kNodes; ++node) {
      if (!streams_[node]) {
        continue;
      }
      Status started = streams_[node]->Start(
          [node, &host](std::string_view frame, bool more) {
            host.Receive(NodeId(node + 1), frame, more);
          },
          [this] {
            ended_ = true;
            ended_.notify_all();
          });
      PGQUORUM_CHECK(started.ok());
    }
  }
  // Until a node is gone.
  void Wait() { ended_.wait(false); }
  // The other ends see that this node is gone.
  void Stop() { streams_.clear(); }

 private:
  std::vector<std::unique_ptr<FrameStream>> streams_;
  std::atomic<bool> ended_{false};
};

HostOptions OptionsFor(const std::string& directory, int node) {
  HostOptions options = BenchOptions(directory, node);
  options.write_on_receive = true;  // a stream's thread serves one peer
  return options;
}

// Writes a byte to `ready` when its start-up work is done.
[[noreturn]] void Follower(const Mesh& mesh, const std::string& directory, int node, SSL_CTX* tls,
                           int ready) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  NullMachine machine;
  MeshTransport transport(mesh, node, tls);
  Host host(OptionsFor(directory, node), transport, machine, {});
  PGQUORUM_CHECK(host.Start().ok());
  transport.Attach(host);
  Await([&host] { return HasSpares(host); });
  PGQUORUM_CHECK(::write(ready, "r", 1) == 1);
  transport.Wait();
  ::_exit(0);
}

}  // namespace

Measured MeasureLibrary(const std::string& directory, int clients, double seconds,
                        std::size_t payload, const LibraryOptions& library) {
  TlsContext tls = library.tls ? MakeTlsContext() : nullptr;
  Mesh mesh = Connect();
  int ready[2];
  PGQUORUM_CHECK(::pipe(ready) == 0);
  std::vector<pid_t> children;
  for (int node = 1; node < kNodes; ++node) {
    pid_t child = ::fork();
    PGQUORUM_CHECK(child >= 0);
    if (child == 0) {
      CloseOthers(mesh, node);
      Follower(mesh, directory, node, tls.get(), ready[1]);
    }
    children.push_back(child);
  }
  CloseOthers(mesh, 0);
  NullMachine machine;
  MeshTransport transport(mesh, 0, tls.get());
  HostOptions options = OptionsFor(directory, 0);
  options.gather_proposals = library.gather;
  Host host(std::move(options), transport, machine, {});
  PGQUORUM_CHECK(host.Start().ok());
  transport.Attach(host);
  host.Campaign();
  // Spare segments are start-up work and as much disk as many commits: on all nodes.
  Await([&host] { return host.GetStatus().role == Role::kLeader && HasSpares(host); });
  for (std::size_t i = 0; i < children.size(); ++i) {
    char byte = 0;
    PGQUORUM_CHECK(::read(ready[0], &byte, 1) == 1);
  }
  Measured measured = DriveHost(host, clients, seconds, payload, children);
  host.Stop();
  transport.Stop();
  for (pid_t child : children) {
    ::waitpid(child, nullptr, 0);
  }
  for (int node = 0; node < kNodes; ++node) {
    std::filesystem::remove_all(OptionsFor(directory, node).directory);
  }
  return measured;
}

}  // namespace pgquorum::raft::bench
