// Transports of one process that talk over the loopback address.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "bgworkers/transport/test/harness.h"

namespace pgquorum::transport {
namespace {

class Mesh : public testing::Test {
 protected:
  // Starts nodes 1..count, each knowing all others, and awaits all connections.
  void Build(uint64_t count) {
    for (uint64_t id = 1; id <= count; ++id) {
      nodes_.push_back(
          std::make_unique<TestNode>(OptionsOf(id, pki_.Make("node" + std::to_string(id)))));
      Status started = (*nodes_.back())->Start();
      ASSERT_TRUE(started.ok()) << started.ToString();
    }
    for (auto& node : nodes_) {
      node->operator->()->SetPeers(Others(node->id()));
    }
    for (auto& node : nodes_) {
      for (auto& other : nodes_) {
        if (node != other) {
          ASSERT_TRUE(node->AwaitEvent(other->id(), PeerEventKind::kConnected));
        }
      }
    }
  }
  std::vector<Peer> Others(uint64_t id) {
    std::vector<Peer> peers;
    for (auto& node : nodes_) {
      if (node->id() != id) {
        peers.push_back(PeerOf(node->id(), (*node)->port()));
      }
    }
    return peers;
  }
  TestNode& node(uint64_t id) { return *nodes_[id - 1]; }

  TestPki pki_;
  std::vector<std::unique_ptr<TestNode>> nodes_;
};

TEST_F(Mesh, DeliversToAllInOrder) {
  Build(3);
  constexpr int kFrames = 500;
  for (int i = 0; i < kFrames; ++i) {
    for (uint64_t from = 1; from <= 3; ++from) {
      for (uint64_t to = 1; to <= 3; ++to) {
        if (from != to) {
          node(from)->Send(to, Channel::kRaft, std::to_string(i));
        }
      }
    }
  }
  // What one node sent is known when the others have it.
  for (uint64_t id = 1; id <= 3; ++id) {
    ASSERT_TRUE(node(id).AwaitFrames(2 * kFrames));
  }
  for (uint64_t id = 1; id <= 3; ++id) {
    std::map<uint64_t, int> next;
    for (const TestNode::Frame& frame : node(id).frames()) {
      EXPECT_NE(frame.from, id);
      EXPECT_EQ(frame.channel, Channel::kRaft);
      EXPECT_EQ(frame.payload, std::to_string(next[frame.from]++));
    }
    EXPECT_EQ(next.size(), 2U);
    for (const PeerCounters& peer : node(id)->counters().peers) {
      EXPECT_TRUE(peer.connected);
      EXPECT_EQ(peer.frames_sent, static_cast<uint64_t>(kFrames));
      EXPECT_EQ(peer.frames_received, static_cast<uint64_t>(kFrames));
      EXPECT_EQ(peer.raft_dropped, 0U);
      EXPECT_EQ(peer.connects, 1U);
    }
  }
}

TEST_F(Mesh, CarriesTheLongestPayloadAndRefusesLonger) {
  Build(2);
  std::string longest(kMaxPayloadBytes, 'x');
  node(1)->Send(2, Channel::kRaft, longest + "y");
  node(1)->Send(2, Channel::kRaft, longest);
  node(1)->Send(2, Channel::kReport, "after");
  ASSERT_TRUE(node(2).AwaitFrames(2));
  std::vector<TestNode::Frame> frames = node(2).frames();
  EXPECT_TRUE(std::any_of(frames.begin(), frames.end(),
                          [&](const auto& frame) { return frame.payload == longest; }));
  EXPECT_EQ(node(1)->counters().oversized, 1U);
}

TEST_F(Mesh, EverySideLearnsOfAStop) {
  Build(3);
  auto before = std::chrono::steady_clock::now();
  node(3)->Stop();
  auto stopped = std::chrono::steady_clock::now() - before;
  EXPECT_LT(stopped, std::chrono::milliseconds(1000));
  RecordProperty(
      "stop_ms",
      static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(stopped).count()));
  for (uint64_t id : {1, 2}) {
    EXPECT_TRUE(node(id).AwaitEvent(3, PeerEventKind::kDisconnected));
    EXPECT_TRUE(node(id).AwaitEvent(3, PeerEventKind::kRefused));
  }
  node(3)->Stop();
  node(3)->Send(1, Channel::kRaft, "into the void");
}

TEST_F(Mesh, WhatIsSentBeforeStartAndConnectionArrives) {
  TestNode first(OptionsOf(1, pki_.Make("node1")));
  TestNode second(OptionsOf(2, pki_.Make("node2")));
  ASSERT_TRUE(second->Start().ok());
  first->SetPeers({PeerOf(2, second->port())});
  first->Send(2, Channel::kRaft, "early");
  first->Send(2, Channel::kReport, "old");
  first->Send(2, Channel::kReport, "new");
  ASSERT_TRUE(first->Start().ok());
  ASSERT_TRUE(second.AwaitFrames(2));
  std::vector<TestNode::Frame> frames = second.frames();
  EXPECT_EQ(frames[0].payload, "new");
  EXPECT_EQ(frames[1].payload, "early");
  EXPECT_EQ(first->counters().peers.at(0).superseded, 1U);
}

// The second node's list is older: it does not know who dials.
TEST_F(Mesh, AnswersAMemberThatItDoesNotKnowYet) {
  TestNode first(OptionsOf(1, pki_.Make("node1")));
  TestNode second(OptionsOf(2, pki_.Make("node2")));
  ASSERT_TRUE(first->Start().ok());
  ASSERT_TRUE(second->Start().ok());
  second->Send(1, Channel::kRaft, "to nobody");
  EXPECT_EQ(second->counters().unknown_peer, 1U);
  first->SetPeers({PeerOf(2, second->port())});
  first->Send(2, Channel::kRaft, "question");
  ASSERT_TRUE(second.AwaitFrames(1));
  ASSERT_TRUE(second.AwaitEvent(1, PeerEventKind::kConnected));
  second->Send(1, Channel::kRaft, "answer");
  ASSERT_TRUE(first.AwaitFrames(1));
  EXPECT_EQ(first.frames()[0].payload, "answer");
}

TEST_F(Mesh, APeerThatIsTakenFromTheListIsLeftAlone) {
  Build(2);
  node(1)->SetPeers({});
  EXPECT_TRUE(node(1).Await([&](const auto&, const auto&) { return true; }));
  for (int i = 0; i < 1000 && !node(1)->counters().peers.empty(); ++i) {
    node(1).Await([](const auto&, const auto&) { return false; }, 1);
  }
  EXPECT_TRUE(node(1)->counters().peers.empty());
  node(1)->Send(2, Channel::kRaft, "x");
  EXPECT_EQ(node(1)->counters().unknown_peer, 1U);
}

TEST_F(Mesh, ReconnectsToTheSamePort) {
  Build(2);
  uint16_t port = node(2)->port();
  node(2)->Stop();
  ASSERT_TRUE(node(1).AwaitEvent(2, PeerEventKind::kRefused));
  node(1).Forget();
  TransportOptions options = OptionsOf(2, pki_.Make("node2"));
  options.listen_port = port;
  TestNode again(options);
  Status started = again->Start();
  ASSERT_TRUE(started.ok()) << started.ToString();
  ASSERT_TRUE(node(1).AwaitEvent(2, PeerEventKind::kConnected));
  node(1)->Send(2, Channel::kRaft, "again");
  ASSERT_TRUE(again.AwaitFrames(1));
  EXPECT_EQ(again.frames()[0].payload, "again");
}

TEST_F(Mesh, APortThatIsTakenIsAnError) {
  Build(1);
  TransportOptions options = OptionsOf(2, pki_.Make("node2"));
  options.listen_port = node(1)->port();
  TestNode second(options);
  Status started = second->Start();
  ASSERT_FALSE(started.ok());
  EXPECT_EQ(started.sqlstate(), "08006");
  EXPECT_NE(started.message().find(std::to_string(options.listen_port)), std::string::npos);
}

TEST_F(Mesh, ForwardsRequestsToThePeersOwner) {
  TransportCallbacks callbacks;
  callbacks.on_forward = [](std::string caller, std::string request,
                            TransportCallbacks::Answer answer) {
    if (request == "bad") {
      answer(Status::Error("RX001", "not the leader").WithHint("ask another"));
    } else {
      answer(caller + " said " + request);
    }
  };
  TestNode first(OptionsOf(1, pki_.Make("node1")));
  TestNode second(OptionsOf(2, pki_.Make("node2")), callbacks);
  ASSERT_TRUE(first->Start().ok());
  ASSERT_TRUE(second->Start().ok());
  first->SetPeers({PeerOf(2, second->port())});
  ASSERT_TRUE(first.AwaitEvent(2, PeerEventKind::kConnected));
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<Result<std::string>> answers;
  auto done = [&](Result<std::string> answer) {
    std::lock_guard lock(mutex);
    answers.push_back(std::move(answer));
    changed.notify_all();
  };
  auto ask = [&](uint64_t to, const std::string& text) {
    std::unique_lock lock(mutex);
    std::size_t had = answers.size();
    first->Forward(to, text, 5000, done);
    changed.wait_for(lock, std::chrono::seconds(10), [&] { return answers.size() > had; });
    return answers.size() > had ? answers.back() : Status::Error("XX000", "no answer");
  };
  EXPECT_EQ(ask(2, "hello").value(), "node1 said hello");
  Status refused = ask(2, "bad").status();
  EXPECT_EQ(refused.sqlstate(), "RX001");
  EXPECT_EQ(refused.hint(), "ask another");
  EXPECT_EQ(ask(7, "hello").status().sqlstate(), "08006");
}

TEST_F(Mesh, ProbesTellRefusedFromAccepted) {
  Build(1);
  std::mutex mutex;
  std::condition_variable changed;
  std::map<int, ProbeResult> results;
  auto probe = [&](int key, const std::string& host, uint16_t port) {
    node(1)->ProbeTcp(host, port, 300, [&, key](ProbeResult result) {
      std::lock_guard lock(mutex);
      results[key] = result;
      changed.notify_all();
    });
  };
  uint16_t free_port = 0;
  {
    TestNode gone(OptionsOf(9, pki_.Make("node9")));
    ASSERT_TRUE(gone->Start().ok());
    free_port = gone->port();
  }
  probe(1, "127.0.0.1", node(1)->port());
  probe(2, "127.0.0.1", free_port);
  probe(3, "localhost", node(1)->port());
  probe(4, "no-such-host.invalid", 1);
  std::unique_lock lock(mutex);
  ASSERT_TRUE(
      changed.wait_for(lock, std::chrono::seconds(20), [&] { return results.size() == 4; }));
  EXPECT_EQ(results[1], ProbeResult::kAccepted);
  EXPECT_EQ(results[2], ProbeResult::kRefused);
  // Whatever other addresses the name has.
  EXPECT_EQ(results[3], ProbeResult::kAccepted);
  EXPECT_TRUE(results[4] == ProbeResult::kUnreachable || results[4] == ProbeResult::kTimeout);
}

TEST_F(Mesh, PlainTcpWhenAskedFor) {
  TransportOptions options = OptionsOf(1, "");
  options.insecure = true;
  TestNode first(options);
  options.node_id = 2;
  options.node_name = "node2";
  TestNode second(options);
  ASSERT_TRUE(first->Start().ok());
  ASSERT_TRUE(second->Start().ok());
  first->SetPeers({PeerOf(2, second->port())});
  first->Send(2, Channel::kLease, "lease");
  ASSERT_TRUE(second.AwaitFrames(1));
  EXPECT_EQ(second.frames()[0].channel, Channel::kLease);
}

// PostgreSQL's signal handlers must run on the main thread alone.
TEST_F(Mesh, EveryOtherThreadHasAllSignalsBlocked) {
  Build(2);
  // SIGKILL (9) and SIGSTOP (19) cannot be blocked; 32 and 33 are the C library's own.
  constexpr uint64_t kMust = ~((1ULL << 8) | (1ULL << 18) | (1ULL << 31) | (1ULL << 32));
  int threads = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream status(task.path() / "status");
    uint64_t blocked = 0;
    for (std::string line; std::getline(status, line);) {
      if (line.rfind("SigBlk:", 0) == 0) {
        blocked = std::stoull(line.substr(7), nullptr, 16);
      }
    }
    if (task.path().filename() == std::to_string(getpid())) {
      EXPECT_EQ(blocked, 0U) << "the caller's mask is put back";
    } else {
      ++threads;
      EXPECT_EQ(blocked & kMust, kMust) << task.path();
    }
  }
  EXPECT_GE(threads, 4);
  RecordProperty("threads", threads);
}

TEST(Options, AreChecked) {
  TestPki pki;
  auto start = [](const TransportOptions& options) {
    return TestNode(options)->Start().sqlstate();
  };
  TransportOptions good = OptionsOf(1, pki.Make("node1"));
  EXPECT_EQ(start(good), "");
  for (auto change : std::vector<std::function<void(TransportOptions&)>>{
           [](auto& o) { o.cluster_id = 0; }, [](auto& o) { o.node_id = 0; },
           [](auto& o) { o.node_name = ""; }, [](auto& o) { o.listen_host = ""; },
           [](auto& o) { o.reconnect_max_ms = 1; }, [](auto& o) { o.silence_ms = 1; },
           [](auto& o) { o.raft_queue_frames = 0; }}) {
    TransportOptions bad = good;
    change(bad);
    EXPECT_EQ(start(bad), "22023");
  }
  TransportOptions other = good;
  other.node_name = "node2";
  EXPECT_EQ(start(other), "RX004");
  other.pki_directory = "/nonexistent";
  EXPECT_EQ(start(other), "58P01");
}

}  // namespace
}  // namespace pgquorum::transport
