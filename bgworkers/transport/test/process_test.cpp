// The death of another process: how soon it is noticed, and what comes after.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "bgworkers/transport/prober.h"
#include "bgworkers/transport/test/harness.h"
#include "bgworkers/transport/test/raw_stream.h"

extern char** environ;

namespace pgquorum::transport {
namespace {

constexpr char kChildVariable[] = "PGQUORUM_TRANSPORT_CHILD";
// Where the child tells its port: far from what the parent has open.
constexpr int kReportFd = 200;

// This program again, as node 2: "listen port,port of node 1,certificates". Prints its port, then
// lives until it is killed.
TEST(Child, DISABLED_Role) {
  const char* arguments = getenv(kChildVariable);
  ASSERT_NE(arguments, nullptr);
  unsigned own = 0;
  unsigned other = 0;
  char pki[512];
  ASSERT_EQ(sscanf(arguments, "%u,%u,%511s", &own, &other, pki), 3);
  TransportOptions options = OptionsOf(2, pki);
  options.listen_port = static_cast<uint16_t>(own);
  Transport transport(options, {});
  ASSERT_TRUE(transport.Start().ok());
  transport.SetPeers({PeerOf(1, static_cast<uint16_t>(other))});
  std::string line = std::to_string(transport.port()) + "\n";
  ASSERT_EQ(write(kReportFd, line.data(), line.size()), static_cast<ssize_t>(line.size()));
  for (;;) {
    pause();
  }
}

class Process : public testing::Test {
 protected:
  ~Process() override { Kill(); }

  // The child's port.
  uint16_t Spawn(uint16_t own, uint16_t other, const std::string& pki) {
    int pipe_fds[2];
    EXPECT_EQ(pipe2(pipe_fds, O_CLOEXEC), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, pipe_fds[1], kReportFd);
    setenv(kChildVariable, (std::to_string(own) + "," + std::to_string(other) + "," + pki).c_str(),
           1);
    char program[] = "/proc/self/exe";
    char filter[] = "--gtest_filter=Child.DISABLED_Role";
    char also[] = "--gtest_also_run_disabled_tests";
    char* argv[] = {program, filter, also, nullptr};
    EXPECT_EQ(posix_spawn(&child_, program, &actions, nullptr, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(pipe_fds[1]);
    char text[16] = "";
    EXPECT_GT(read(pipe_fds[0], text, sizeof text - 1), 0);
    close(pipe_fds[0]);
    return static_cast<uint16_t>(atoi(text));
  }
  void Kill() {
    if (child_ > 0) {
      kill(child_, SIGKILL);
      waitpid(child_, nullptr, 0);
      child_ = -1;
    }
  }
  // Time of the first such event of node 2, in ms since `from_ns`.
  static double EventMs(TestNode& node, PeerEventKind kind, int64_t from_ns) {
    for (const PeerEvent& event : node.events()) {
      if (event.kind == kind && event.time_ns >= from_ns) {
        return static_cast<double>(event.time_ns - from_ns) / 1e6;
      }
    }
    return -1;
  }

  TestPki pki_;
  pid_t child_ = -1;
};

TEST_F(Process, ItsDeathIsNoticedAtOnceAndItsReturnSoon) {
  TransportOptions options = OptionsOf(1, pki_.Make("node1"));
  options.reconnect_max_ms = 1000;
  TestNode node(options);
  ASSERT_TRUE(node->Start().ok());
  std::string child_pki = pki_.Make("node2");
  uint16_t port = Spawn(0, node->port(), child_pki);
  node->SetPeers({PeerOf(2, port)});
  ASSERT_TRUE(node.AwaitEvent(2, PeerEventKind::kConnected));
  std::vector<double> disconnected;
  for (int round = 0; round < 5; ++round) {
    node.Forget();
    int64_t killed_ns = BootTimeNs();
    Kill();
    ASSERT_TRUE(node.AwaitEvent(2, PeerEventKind::kDisconnected));
    ASSERT_TRUE(node.AwaitEvent(2, PeerEventKind::kRefused));
    disconnected.push_back(EventMs(node, PeerEventKind::kDisconnected, killed_ns));
    double refused = EventMs(node, PeerEventKind::kRefused, killed_ns);
    node.Forget();
    int64_t started_ns = BootTimeNs();
    ASSERT_EQ(Spawn(port, node->port(), child_pki), port);
    int64_t listening_ns = BootTimeNs();
    ASSERT_TRUE(node.AwaitEvent(2, PeerEventKind::kConnected));
    printf(
        "killed: disconnected after %.2f ms, refused after %.2f ms; restarted: listening after "
        "%.1f "
        "ms, connected after %.1f ms\n",
        disconnected.back(), refused, static_cast<double>(listening_ns - started_ns) / 1e6,
        EventMs(node, PeerEventKind::kConnected, started_ns));
  }
  std::sort(disconnected.begin(), disconnected.end());
  // A few ms on a quiet machine; the bound leaves room for a crowded one.
  EXPECT_LT(disconnected[disconnected.size() / 2], 100.0);
}

// A stopped process keeps its sockets: silence, not refusal.
TEST_F(Process, AStoppedProcessIsUnreachableNotDead) {
  TransportOptions options = OptionsOf(1, pki_.Make("node1"));
  options.ping_interval_ms = 200;
  options.silence_ms = 1000;
  options.connect_timeout_ms = 500;
  TestNode node(options);
  ASSERT_TRUE(node->Start().ok());
  uint16_t port = Spawn(0, node->port(), pki_.Make("node2"));
  node->SetPeers({PeerOf(2, port)});
  ASSERT_TRUE(node.AwaitEvent(2, PeerEventKind::kConnected));
  node.Forget();
  ASSERT_EQ(kill(child_, SIGSTOP), 0);
  ASSERT_TRUE(node.AwaitEvent(2, PeerEventKind::kUnreachable));
  // Into the attempts to connect again.
  ASSERT_TRUE(node.Await([](const auto&, const std::vector<PeerEvent>& events) {
    return std::count_if(events.begin(), events.end(), [](const PeerEvent& event) {
             return event.kind == PeerEventKind::kUnreachable;
           }) >= 2;
  }));
  for (const PeerEvent& event : node.events()) {
    EXPECT_EQ(event.kind, PeerEventKind::kUnreachable) << event.detail;
  }
  ASSERT_EQ(kill(child_, SIGCONT), 0);
  EXPECT_TRUE(node.AwaitEvent(2, PeerEventKind::kConnected));
}

// Connects two nodes and cuts the connection after so many bytes of the dialer's.
class CuttingRelay {
 public:
  explicit CuttingRelay(uint16_t to) : to_(to), listener_(ListenOnLoopback(&port_)) {
    thread_ = std::thread([this] { Run(); });
  }
  ~CuttingRelay() {
    stopping_ = true;
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
  }
  uint16_t port() const { return port_; }
  // The connections that were cut.
  int cuts() const { return cuts_; }
  void CutAfter(int bytes) { cut_after_ = bytes; }

 private:
  void Run() {
    for (int from = 0; (from = accept(listener_, nullptr, nullptr)) >= 0; close(from)) {
      RawStream to(to_);
      if (Relay(from, to.fd())) {
        ++cuts_;
      }
    }
  }
  // True when it was cut, not ended by an end.
  bool Relay(int from, int to) const {
    char bytes[4096];
    for (int left = cut_after_; left > 0 && !stopping_;) {
      pollfd both[] = {{from, POLLIN, 0}, {to, POLLIN, 0}};
      poll(both, 2, 100);
      if (both[0].revents != 0) {
        ssize_t n = recv(from, bytes, std::min<std::size_t>(sizeof bytes, left), 0);
        if (n <= 0 || send(to, bytes, n, MSG_NOSIGNAL) != n) {
          return false;
        }
        left -= static_cast<int>(n);
      }
      if (both[1].revents != 0) {
        ssize_t n = recv(to, bytes, sizeof bytes, 0);
        if (n <= 0 || send(from, bytes, n, MSG_NOSIGNAL) != n) {
          return false;
        }
      }
    }
    return true;
  }

  uint16_t port_ = 0;
  uint16_t to_;
  int listener_;
  std::atomic<int> cut_after_ = 0;
  std::atomic<int> cuts_ = 0;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

// Frames arrive whole or not at all, wherever a connection ends: in the handshake, in the greeting,
// in a frame. And the next connection is as good as the first.
class CutStream : public testing::TestWithParam<bool> {};

TEST_P(CutStream, LosesFramesButNeverPartsOfThem) {
  TestPki pki;
  auto options = [&](uint64_t id) {
    TransportOptions made = OptionsOf(id, GetParam() ? pki.Make("node" + std::to_string(id)) : "");
    made.insecure = !GetParam();
    made.reconnect_first_ms = 1;
    made.reconnect_max_ms = 2;
    return made;
  };
  TestNode listener(options(1));
  TestNode dialer(options(2));
  ASSERT_TRUE(listener->Start().ok());
  ASSERT_TRUE(dialer->Start().ok());
  CuttingRelay relay(listener->port());
  dialer->SetPeers({PeerOf(1, relay.port())});
  const std::string frame(100, 'f');
  auto send_until = [&](const std::function<bool()>& done) {
    for (int i = 0; i < 10'000 && !done(); ++i) {
      dialer->Send(1, Channel::kRaft, frame);
      dialer.Await([](const auto&, const auto&) { return false; }, 1);
    }
    return done();
  };
  // Every byte of what is plain; of TLS, whose parts are as long as its certificates, a sample.
  const int step = GetParam() ? 29 : 1;
  int at = 0;
  for (bool arrived = false; !arrived; at += step) {
    ASSERT_LT(at, 100'000) << "never connected";
    relay.CutAfter(at);
    int before = relay.cuts();
    ASSERT_TRUE(send_until([&] {
      arrived = !listener.frames().empty();
      return arrived || relay.cuts() > before + 1;
    }));
  }
  EXPECT_GT(at, static_cast<int>(frame.size()));
  relay.CutAfter(1 << 30);
  std::size_t had = listener.frames().size();
  ASSERT_TRUE(send_until([&] { return listener.frames().size() > had; }));
  for (const TestNode::Frame& got : listener.frames()) {
    EXPECT_EQ(got.payload, frame);
    EXPECT_EQ(got.from, 2U);
  }
  EXPECT_EQ(listener->counters().malformed, 0U);
}

INSTANTIATE_TEST_SUITE_P(PlainAndTls, CutStream, testing::Bool());

}  // namespace
}  // namespace pgquorum::transport
