// transport_raft_load: raft::Host over the product's transport (Transport: own TLS 1.3 frames
// behind the door, certificates of a cluster) under the load of raft_bench, which runs this program
// for its row of the product. Three processes on this machine; for each number of clients a line:
// clients, commits a second, p50 and p99 in us, CPU us and waits a commit of all three processes.
//
//   transport_raft_load tls|plain DIRECTORY SECONDS PAYLOAD CLIENTS…
#include <arpa/inet.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <thread>

#include "base/check.h"
#include "bgworkers/transport/test/harness.h"
#include "raftlog/bench/host_load.h"
#include "raftlog/runtime/host.h"

namespace {

using namespace pgquorum;  // NOLINT: a program of one file
using raft::bench::kNodes;
using Ports = std::array<uint16_t, kNodes>;

uint16_t FreePort() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  PGQUORUM_CHECK(::bind(fd, generic, length) == 0 && ::getsockname(fd, generic, &length) == 0);
  ::close(fd);
  return ntohs(address.sin_port);
}

// A Host and a Transport, joined as the consensus worker joins them (bgworkers/consensus/node.cpp).
class Node {
 public:
  Node(uint64_t id, const Ports& ports, const std::string& pki, bool tls,
       const std::string& directory)
      : out_(*this) {
    raft::HostOptions options = raft::bench::BenchOptions(directory, static_cast<int>(id - 1));
    options.write_on_receive = false;  // as in the product
    host_ = std::make_unique<raft::Host>(std::move(options), out_, machine_, raft::HostObservers());
    transport::TransportOptions wire = transport::OptionsOf(id, pki);
    wire.listen_port = ports[id - 1];
    wire.insecure = !tls;
    transport::TransportCallbacks callbacks;
    callbacks.on_frame = [this](uint64_t from, transport::Channel, transport::Urgency,
                                std::string payload) {
      host_->Receive(raft::NodeId(from), payload);
    };
    callbacks.on_peer_event = [this](const transport::PeerEvent& event) {
      if (event.kind == transport::PeerEventKind::kConnected) {
        ++connected_;
      }
    };
    transport_ = std::make_unique<transport::Transport>(std::move(wire), std::move(callbacks));
    std::vector<transport::Peer> peers;
    for (uint64_t peer = 1; peer <= kNodes; ++peer) {
      if (peer != id) {
        peers.push_back(transport::PeerOf(peer, ports[peer - 1]));
      }
    }
    transport_->SetPeers(std::move(peers));
    PGQUORUM_CHECK(host_->Start().ok());
    PGQUORUM_CHECK(transport_->Start().ok());
    ready_ = true;
    raft::bench::Await(
        [this] { return connected_ >= kNodes - 1 && raft::bench::HasSpares(*host_); });
  }
  ~Node() {
    transport_->Stop();
    host_->Stop();
  }
  raft::Host& host() { return *host_; }

 private:
  class Out : public raft::Transport {
   public:
    explicit Out(Node& node) : node_(node) {}
    void Send(raft::NodeId to, std::string bytes) override {
      if (node_.ready_) {
        node_.transport_->Send(to.value(), transport::Channel::kRaft, std::move(bytes));
      }
    }

   private:
    Node& node_;
  };

  Out out_;
  raft::bench::NullMachine machine_;
  std::unique_ptr<raft::Host> host_;
  std::unique_ptr<transport::Transport> transport_;
  std::atomic<bool> ready_{false};
  std::atomic<int> connected_{0};
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 6) {
    std::fprintf(stderr,
                 "usage: transport_raft_load tls|plain DIRECTORY SECONDS PAYLOAD CLIENTS...\n");
    return 2;
  }
  const bool tls = std::string_view(argv[1]) == "tls";
  const std::string directory = argv[2];
  transport::TestPki pki;
  std::array<std::string, kNodes> certificates;
  Ports ports{};
  for (std::size_t node = 0; node < kNodes; ++node) {
    certificates[node] = pki.Make("node" + std::to_string(node + 1));
    ports[node] = FreePort();
  }
  // The processes first: no thread and nothing of gRPC before the last fork.
  std::array<int, 2> ready{};
  PGQUORUM_CHECK(::pipe(ready.data()) == 0);
  std::vector<pid_t> children;
  for (uint64_t id = 2; id <= kNodes; ++id) {
    const pid_t child = ::fork();
    PGQUORUM_CHECK(child >= 0);
    if (child == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      Node node(id, ports, certificates[id - 1], tls, directory);
      PGQUORUM_CHECK(::write(ready[1], "r", 1) == 1);
      while (true) {
        ::pause();
      }
    }
    children.push_back(child);
  }
  {
    Node leader(1, ports, certificates[0], tls, directory);
    for (std::size_t i = 0; i < children.size(); ++i) {
      char byte = 0;
      PGQUORUM_CHECK(::read(ready[0], &byte, 1) == 1);
    }
    leader.host().Campaign();
    raft::bench::Await([&leader] { return leader.host().GetStatus().role == raft::Role::kLeader; });
    for (int i = 5; i < argc; ++i) {
      const int clients = std::atoi(argv[i]);
      const raft::bench::Measured m =
          raft::bench::DriveHost(leader.host(), clients, std::atof(argv[3]),
                                 static_cast<std::size_t>(std::atoi(argv[4])), children);
      std::printf("%d %.1f %.1f %.1f %.2f %.2f\n", clients, m.rate, m.p50_us, m.p99_us,
                  m.each.cpu_us, m.each.switches);
      std::fflush(stdout);
    }
  }
  for (pid_t child : children) {
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
  }
  for (int node = 0; node < kNodes; ++node) {
    std::filesystem::remove_all(raft::bench::BenchOptions(directory, node).directory);
  }
  return 0;
}
