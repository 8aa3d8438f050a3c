// raft_test_node ID DIRECTORY: one of three nodes as a real process, for process_test.cpp, which
// kills it and breaks its disk. Numbers come in on stdin and are proposed; on stdout:
//   ready               it runs
//   ok N | no N CODE    the outcome of proposing N
//   have N … .          after "?": everything applied here, in order
//   fatal CODE          its disk is lost; the process ends with 3
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/bytes.h"
#include "raftlog/runtime/host.h"

namespace pgquorum::raft {
namespace {

constexpr uint64_t kNodes = 3;
constexpr std::size_t kMaxDatagram = std::size_t{160} << 10;  // below Linux's default send buffer

void Say(const std::string& line) {
  std::string text = line + "\n";
  if (::write(1, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    ::_exit(4);
  }
}

class Numbers : public StateMachine {
 public:
  std::string Apply(const Entry& entry) override {
    std::lock_guard lock(mutex_);
    text_ += " " + entry.data;
    return {};
  }
  std::string Snapshot() override {
    std::lock_guard lock(mutex_);
    return text_;
  }
  Status Restore(const SnapshotMeta&, std::string_view bytes) override {
    std::lock_guard lock(mutex_);
    text_ = bytes;
    return Status::Ok();
  }

 private:
  std::mutex mutex_;
  std::string text_;
};

sockaddr_un AddressOf(const std::string& directory, uint64_t node) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::string path = directory + "/" + std::to_string(node) + ".sock";
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  return address;
}

// Datagrams: nothing to connect, and what a dead node or a full buffer does not take is lost.
class Datagrams : public Transport {
 public:
  Datagrams(std::string directory, uint64_t self) : directory_(std::move(directory)), self_(self) {
    fd_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_un address = AddressOf(directory_, self);
    ::unlink(address.sun_path);
    if (::bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
      std::perror("bind");
      ::_exit(2);
    }
  }
  void Send(NodeId to, std::string bytes) override {
    ByteWriter datagram;
    datagram.U64(self_);
    datagram.Raw(bytes);
    sockaddr_un address = AddressOf(directory_, to.value());
    (void)::sendto(fd_, datagram.data().data(), datagram.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                   reinterpret_cast<sockaddr*>(&address), sizeof(address));
  }
  [[noreturn]] void Receive(Host& host) {
    std::vector<char> buffer(kMaxDatagram * 2);
    while (true) {
      ssize_t n = ::recv(fd_, buffer.data(), buffer.size(), 0);
      ByteReader datagram({buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(n, 0))});
      NodeId from(datagram.U64());
      if (datagram.ok()) {
        host.Receive(from, {buffer.data() + 8, static_cast<std::size_t>(n) - 8});
      }
    }
  }

 private:
  std::string directory_;
  uint64_t self_;
  int fd_ = -1;
};

[[noreturn]] void Run(uint64_t id, const std::string& directory) {
  HostOptions options;
  options.raft.id = NodeId(id);
  options.raft.seed = static_cast<uint64_t>(::getpid());
  options.raft.election_ticks = 30;
  options.raft.heartbeat_ticks = 5;
  options.raft.max_bytes_per_append = kMaxDatagram / 2;
  options.raft.snapshot_chunk_bytes = kMaxDatagram / 2;
  options.stall_ticks = 60;
  options.cluster_id = 9;
  options.directory = directory + "/" + std::to_string(id);
  options.log.segment_bytes = 65'536;
  options.raft.snapshot_entries = 60;
  options.raft.retain_entries = 10;
  options.proposal_timeout_ms = 3'000;
  options.write_on_receive = id != 1;  // both ways of writing
  options.bootstrap = Configuration();
  for (uint64_t node = 1; node <= kNodes; ++node) {
    options.bootstrap->voters.push_back(NodeId(node));
  }
  HostObservers observers;
  observers.on_fatal = [](const Status& status) {
    Say("fatal " + status.sqlstate());
    ::_exit(3);
  };
  Datagrams transport(directory, id);
  Numbers machine;
  Host host(std::move(options), transport, machine, std::move(observers));
  Status started = host.Start();
  if (!started.ok()) {
    Say("fatal " + started.sqlstate());
    ::_exit(3);
  }
  std::thread receiver([&] { transport.Receive(host); });
  Say("ready");
  std::vector<char> line(256);
  while (std::fgets(line.data(), static_cast<int>(line.size()), stdin) != nullptr) {
    std::string text(line.data(), std::strcspn(line.data(), "\n"));
    if (text == "?") {
      Say("have" + machine.Snapshot() + " .");
      continue;
    }
    host.Propose(text, [text](const Status& status, Index, const std::string&) {
      Say(status.ok() ? "ok " + text : "no " + text + " " + status.sqlstate());
    });
  }
  ::_exit(0);
}

}  // namespace
}  // namespace pgquorum::raft

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: raft_test_node ID DIRECTORY\n");
    return 2;
  }
  pgquorum::raft::Run(std::strtoull(argv[1], nullptr, 10), argv[2]);
}
