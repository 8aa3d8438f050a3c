// The node's one port, and streams on it, under TSan too: gRPC has no part here.
#include "bgworkers/transport/door.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "bgworkers/transport/loop.h"
#include "bgworkers/transport/test/raw_stream.h"
#include "raftlog/runtime/frame_stream.h"

namespace pgquorum::transport {
namespace {

constexpr std::chrono::seconds kPatience{20};
constexpr uint64_t kCluster = 0xC1A5;
constexpr uint64_t kQueueBytes = 1 << 20;

int64_t Never() {
  return BootTimeNs() + 1'000'000'000;
}

TlsIdentity MakeIdentity(const Authority& authority, const std::string& node) {
  NodeKey key = CreateNodeKey(node).value();
  TlsIdentity identity;
  identity.ca_certificate = authority.certificate;
  identity.certificate =
      SignNode(authority, key.certificate_signing_request, node, kCluster).value();
  identity.key = key.key;
  return identity;
}

// A loop whose door listens, and what came in.
class Doorway : public testing::Test {
 protected:
  void SetUp() override {
    signal(SIGPIPE, SIG_IGN);
    authority_ = CreateAuthority("test").value();
    Door::Callbacks callbacks;
    callbacks.on_other = [this](UniqueFd fd) {
      std::lock_guard lock(mutex_);
      others_.push_back(std::move(fd));
      changed_.notify_all();
    };
    callbacks.on_stream = [this](Opened opened) {
      std::lock_guard lock(mutex_);
      streams_.push_back(std::move(opened));
      changed_.notify_all();
    };
    callbacks.on_refused = [this] {
      std::lock_guard lock(mutex_);
      ++refused_;
      changed_.notify_all();
    };
    ASSERT_TRUE(loop_.door().Listen("127.0.0.1", 0, std::move(callbacks)).ok());
    port_ = loop_.door().port();
    loop_.door().SetTls(FrameTls::Create(MakeIdentity(authority_, "node1")).value());
    ASSERT_TRUE(loop_.Start(Never).ok());
  }
  void TearDown() override { loop_.Stop(); }

  template <typename Condition>
  bool Await(Condition condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, condition);
  }
  Result<Opened> Dial(Loop& loop, const std::string& peer_name) {
    std::mutex mutex;
    std::condition_variable changed;
    std::optional<Result<Opened>> result;
    loop.Post([&] {
      loop.prober().Start(
          "127.0.0.1", port_, 5'000'000'000, [&](ProbeResult, const Address&, UniqueFd connection) {
            loop.door().Dial(std::move(connection), peer_name, BootTimeNs() + 10'000'000'000,
                             [&](Result<Opened> opened) {
                               std::lock_guard lock(mutex);
                               result.emplace(std::move(opened));
                               changed.notify_all();
                             });
          });
    });
    std::unique_lock lock(mutex);
    changed.wait_for(lock, kPatience, [&] { return result.has_value(); });
    return result ? std::move(*result) : Status::Error("XX000", "no answer");
  }

  Authority authority_;
  Loop loop_;
  uint16_t port_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<UniqueFd> others_;
  std::vector<Opened> streams_;
  int refused_ = 0;
};

TEST_F(Doorway, WhatIsNoStreamIsHandedOnUntouched) {
  RawStream other(port_);
  ASSERT_TRUE(other.Write("\x16\x03\x01 a client of gRPC's"));
  ASSERT_TRUE(Await([&] { return others_.size() == 1; }));
  char first[3] = "";
  EXPECT_EQ(recv(others_[0].get(), first, 2, 0), 2);
  EXPECT_STREQ(first, "\x16\x03");
  EXPECT_TRUE(streams_.empty());
}

TEST_F(Doorway, ABrokenPreambleIsClosed) {
  RawStream slow(port_);
  ASSERT_TRUE(slow.Write(kPreamble.substr(0, 3)));
  RawStream wrong(port_);
  ASSERT_TRUE(wrong.Write(std::string(kPreamble.substr(0, 5)) + "??"));
  EXPECT_EQ(wrong.Read(), "");
  // Piece by piece it is as good as at once.
  ASSERT_TRUE(slow.Write(kPreamble.substr(3)));
  TlsIdentity member = MakeIdentity(authority_, "node2");
  EXPECT_TRUE(slow.Handshake(&member, kFramesAlpn));
  ASSERT_TRUE(Await([&] { return streams_.size() == 1; }));
  EXPECT_EQ(streams_[0].common_name, "node2");
}

TEST_F(Doorway, OneAddressHoldsSoManyConnectionsThatSayNothing) {
  std::vector<std::unique_ptr<RawStream>> silent;
  for (std::size_t i = 0; i < Door::kMaxOpeningOfOne; ++i) {
    silent.push_back(std::make_unique<RawStream>(port_));
  }
  RawStream one_more(port_);
  EXPECT_EQ(one_more.Read(), "");
  // Who leaves makes room.
  silent.pop_back();
  TlsIdentity member = MakeIdentity(authority_, "node2");
  bool in = false;
  for (int i = 0; i < 100 && !in; ++i) {
    RawStream next(port_);
    in = next.Write(kPreamble) && next.Handshake(&member, kFramesAlpn);
  }
  EXPECT_TRUE(in);
}

TEST_F(Doorway, TheDialerMeetsWhomItMeantOrNobody) {
  Loop dialer;
  dialer.door().SetTls(FrameTls::Create(MakeIdentity(authority_, "node2")).value());
  ASSERT_TRUE(dialer.Start(Never).ok());
  EXPECT_TRUE(Dial(dialer, NodeDnsName("node1", kCluster)).ok());
  for (const std::string& name :
       {NodeDnsName("node3", kCluster), NodeDnsName("node1", kCluster + 1), std::string("node1")}) {
    Status status = Dial(dialer, name).status();
    EXPECT_EQ(status.sqlstate(), "08006");
    EXPECT_NE(status.message().find("certificate verify failed"), std::string::npos)
        << status.message();
  }
  dialer.Stop();
}

// While an authority is replaced every node trusts both, and nodes have certificates of either.
TEST_F(Doorway, TwoAuthoritiesAreTrustedAtOnce) {
  Authority next = CreateAuthority("test").value();
  TlsIdentity mine = MakeIdentity(authority_, "node1");
  mine.ca_certificate += next.certificate;
  loop_.Post([this, mine] { loop_.door().SetTls(FrameTls::Create(mine).value()); });
  TlsIdentity other = MakeIdentity(next, "node2");
  other.ca_certificate += authority_.certificate;
  Loop dialer;
  dialer.door().SetTls(FrameTls::Create(other).value());
  ASSERT_TRUE(dialer.Start(Never).ok());
  EXPECT_TRUE(Dial(dialer, NodeDnsName("node1", kCluster)).ok());
  EXPECT_TRUE(Await([&] { return streams_.size() == 1; }));
  dialer.Stop();
}

// Many streams at once: both ends send from threads of their own while others come and go.
TEST_F(Doorway, ManyStreamsAtOnce) {
  Loop dialer;
  dialer.door().SetTls(FrameTls::Create(MakeIdentity(authority_, "node2")).value());
  ASSERT_TRUE(dialer.Start(Never).ok());
  constexpr int kStreams = 4;
  constexpr int kFrames = 200;
  std::atomic<int> received = 0;
  std::atomic<int> ended = 0;
  auto start = [&](Opened opened) {
    auto stream = std::make_unique<raft::FrameStream>(
        opened.fd.Release(), raft::SslHandle(opened.ssl.release()), kQueueBytes, kQueueBytes);
    auto heard = [&](std::string_view, bool) { ++received; };
    EXPECT_TRUE(stream->Start(heard, [&] { ++ended; }).ok());
    return stream;
  };
  std::vector<std::unique_ptr<raft::FrameStream>> ends;
  for (int i = 0; i < kStreams; ++i) {
    ends.push_back(start(Dial(dialer, NodeDnsName("node1", kCluster)).value()));
    ASSERT_TRUE(Await([&] { return !streams_.empty(); }));
    std::lock_guard lock(mutex_);
    ends.push_back(start(std::move(streams_.front())));
    streams_.clear();
  }
  std::vector<std::thread> senders;
  for (auto& end : ends) {
    senders.emplace_back([&end] {
      for (int i = 0; i < kFrames; ++i) {
        EXPECT_TRUE(end->Send(std::string(static_cast<std::size_t>(i), 'x')));
      }
    });
  }
  for (std::thread& sender : senders) {
    sender.join();
  }
  auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (received < 2 * kStreams * kFrames && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  EXPECT_EQ(received, 2 * kStreams * kFrames);
  // The ends that we close are silent about it; the others notice.
  for (std::size_t i = 0; i < ends.size(); i += 2) {
    ends[i]->Close();
  }
  while (ended < kStreams && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  EXPECT_EQ(ended, kStreams);
  ends.clear();
  EXPECT_EQ(ended, kStreams);
  dialer.Stop();
}

}  // namespace
}  // namespace pgquorum::transport
