// transport_etcd_load: etcd under the load of raft_bench, which runs this program for its last
// rows. Three etcd processes on this machine; N puts of the same payload under way, sent to the
// leader over etcd's own protocol (gRPC) and one connection by one thread, which leaves etcd the
// most of the CPUs. For each number of clients a line: clients, puts a second, p50 and p99 in us.
//
//   transport_etcd_load ETCD DIRECTORY SECONDS PAYLOAD CLIENTS…
#include <arpa/inet.h>
#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "etcd_kv.grpc.pb.h"

namespace {

using Clock = std::chrono::steady_clock;
namespace etcd = etcdserverpb;

constexpr int kNodes = 3;
constexpr std::chrono::seconds kPatience{30};

// A port that nobody listens on. Taken by the time that etcd starts? Then etcd ends, and so do we.
int FreePort() {
  int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  bool bound = ::bind(fd, generic, length) == 0 && ::getsockname(fd, generic, &length) == 0;
  ::close(fd);
  return bound ? ntohs(address.sin_port) : 0;
}

class Cluster {
 public:
  Cluster(const std::string& program, std::string directory) : directory_(std::move(directory)) {
    std::string members;
    std::vector<std::string> peers;
    for (int node = 0; node < kNodes; ++node) {
      peers.push_back("http://127.0.0.1:" + std::to_string(FreePort()));
      endpoints_.push_back("127.0.0.1:" + std::to_string(FreePort()));
      members += (node == 0 ? "" : ",") + Name(node) + "=" + peers.back();
    }
    for (int node = 0; node < kNodes; ++node) {
      auto at = static_cast<std::size_t>(node);
      std::string url = "http://" + endpoints_[at];
      Spawn({program, "--name", Name(node), "--data-dir", directory_ + "/" + Name(node),
             "--listen-peer-urls", peers[at], "--initial-advertise-peer-urls", peers[at],
             "--listen-client-urls", url, "--advertise-client-urls", url, "--initial-cluster",
             members, "--initial-cluster-state", "new", "--log-level", "error"});
    }
  }
  ~Cluster() {
    for (pid_t node : nodes_) {
      ::kill(node, SIGKILL);
      ::waitpid(node, nullptr, 0);
    }
    for (int node = 0; node < kNodes; ++node) {
      std::filesystem::remove_all(directory_ + "/" + Name(node));
    }
  }
  // To the leader; null: there was none in time.
  std::shared_ptr<grpc::Channel> WaitForLeader() const {
    for (Clock::time_point end = Clock::now() + kPatience; Clock::now() < end;) {
      for (const std::string& endpoint : endpoints_) {
        auto channel = grpc::CreateChannel(endpoint, grpc::InsecureChannelCredentials());
        grpc::ClientContext context;
        context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(500));
        context.set_wait_for_ready(true);
        etcd::StatusResponse status;
        bool ok = etcd::Maintenance::NewStub(channel)->Status(&context, {}, &status).ok();
        if (ok && status.leader() != 0 && status.leader() == status.header().member_id()) {
          return channel;
        }
      }
    }
    return nullptr;
  }

 private:
  static std::string Name(int node) { return "etcd" + std::to_string(node); }
  void Spawn(std::vector<std::string> words) {
    pid_t child = ::fork();
    if (child == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      int null = ::open("/dev/null", O_WRONLY);
      ::dup2(null, 1);
      ::dup2(null, 2);
      std::vector<char*> arguments;
      for (std::string& word : words) {
        arguments.push_back(word.data());
      }
      arguments.push_back(nullptr);
      ::execv(arguments[0], arguments.data());
      ::_exit(127);
    }
    nodes_.push_back(child);
  }

  std::string directory_;
  std::vector<std::string> endpoints_;
  std::vector<pid_t> nodes_;
};

// One put under way.
struct Put {
  std::unique_ptr<grpc::ClientContext> context;
  std::unique_ptr<grpc::ClientAsyncResponseReader<etcd::PutResponse>> reader;
  etcd::PutRequest request;
  etcd::PutResponse response;
  grpc::Status status;
  Clock::time_point start;
};

bool Measure(const std::shared_ptr<grpc::Channel>& channel, int clients, double seconds,
             std::size_t payload) {
  auto stub = etcd::KV::NewStub(channel);
  grpc::CompletionQueue queue;
  std::vector<Put> puts(static_cast<std::size_t>(clients));
  auto send = [&](Put& put) {
    put.context = std::make_unique<grpc::ClientContext>();
    put.start = Clock::now();
    put.reader = stub->AsyncPut(put.context.get(), put.request, &queue);
    put.reader->Finish(&put.response, &put.status, &put);
  };
  auto span = std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  Clock::time_point begin = Clock::now() + span / 10;
  Clock::time_point end = begin + span;
  for (std::size_t i = 0; i < puts.size(); ++i) {
    puts[i].request.set_key("client" + std::to_string(i));
    puts[i].request.set_value(std::string(payload, 'p'));
    send(puts[i]);
  }
  std::vector<double> micros;
  void* tag = nullptr;
  bool ok = false;
  for (std::size_t under_way = puts.size(); under_way > 0 && queue.Next(&tag, &ok);) {
    auto& put = *static_cast<Put*>(tag);
    if (!put.status.ok()) {
      std::fprintf(stderr, "put failed: %s\n", put.status.error_message().c_str());
      return false;
    }
    Clock::time_point now = Clock::now();
    if (put.start >= begin && put.start < end) {
      micros.push_back(std::chrono::duration<double, std::micro>(now - put.start).count());
    }
    if (now < end) {
      send(put);
    } else {
      --under_way;
    }
  }
  if (micros.empty()) {
    return false;
  }
  std::sort(micros.begin(), micros.end());
  std::printf("%d %.1f %.1f %.1f\n", clients, static_cast<double>(micros.size()) / seconds,
              micros[micros.size() / 2], micros[micros.size() * 99 / 100]);
  std::fflush(stdout);
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 6) {
    std::fprintf(stderr, "usage: transport_etcd_load ETCD DIRECTORY SECONDS PAYLOAD CLIENTS...\n");
    return 2;
  }
  // The processes first: gRPC is not touched before the last fork.
  Cluster cluster(argv[1], argv[2]);
  auto channel = cluster.WaitForLeader();
  if (!channel) {
    std::fprintf(stderr, "etcd has no leader\n");
    return 1;
  }
  for (int i = 5; i < argc; ++i) {
    if (!Measure(channel, std::atoi(argv[i]), std::atof(argv[3]),
                 static_cast<std::size_t>(std::atoi(argv[4])))) {
      return 1;
    }
  }
  return 0;
}
