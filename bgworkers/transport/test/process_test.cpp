// The death of another process: how soon it is noticed, and what comes after.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "bgworkers/transport/prober.h"
#include "bgworkers/transport/test/harness.h"

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

}  // namespace
}  // namespace pgquorum::transport
