#include "raftlog/runtime/frame_stream.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace pgquorum::raft {
namespace {

constexpr uint64_t kQueue = uint64_t{64} << 20;
constexpr std::chrono::seconds kPatience{20};

struct ContextDeleter {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using Context = std::unique_ptr<SSL_CTX, ContextDeleter>;

Context MakeContext(bool with_certificate) {
  Context context(SSL_CTX_new(TLS_method()));
  SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION);
  if (with_certificate) {
    EVP_PKEY* key = EVP_EC_gen("P-256");
    X509* certificate = X509_new();
    X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    X509_sign(certificate, key, EVP_sha256());
    SSL_CTX_use_certificate(context.get(), certificate);
    SSL_CTX_use_PrivateKey(context.get(), key);
    X509_free(certificate);
    EVP_PKEY_free(key);
  }
  return context;
}

// What one end got.
class Collector {
 public:
  FrameStream::OnFrame OnFrame() {
    return [this](std::string_view frame, bool) {
      std::lock_guard lock(mutex_);
      frames_.emplace_back(frame);
      changed_.notify_all();
    };
  }
  FrameStream::OnEnd OnEnd() {
    return [this] {
      std::lock_guard lock(mutex_);
      ended_ = true;
      changed_.notify_all();
    };
  }
  bool WaitForFrames(std::size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return frames_.size() >= count; });
  }
  bool WaitForEnd() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return ended_; });
  }
  std::vector<std::string> frames() {
    std::lock_guard lock(mutex_);
    return frames_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> frames_;
  bool ended_ = false;
};

// Both ends of a connection; parameter: TLS.
class FrameStreamTest : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    std::array<int, 2> fds{};
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds.data()), 0);
    SslHandle server;
    SslHandle client;
    if (GetParam()) {
      Context accepting = MakeContext(true);
      Context connecting = MakeContext(false);
      std::thread other([&] {
        auto made = TlsHandshake(fds[1], accepting.get(), true);
        ASSERT_TRUE(made.ok()) << made.status().ToString();
        server = std::move(made).value();
      });
      auto made = TlsHandshake(fds[0], connecting.get(), false);
      other.join();
      ASSERT_TRUE(made.ok()) << made.status().ToString();
      client = std::move(made).value();
    }
    a_ = std::make_unique<FrameStream>(fds[0], std::move(client), kQueue);
    b_ = std::make_unique<FrameStream>(fds[1], std::move(server), kQueue);
    raw_ = fds[0];
  }
  void StartBoth() {
    ASSERT_TRUE(a_->Start(at_a_.OnFrame(), at_a_.OnEnd()).ok());
    ASSERT_TRUE(b_->Start(at_b_.OnFrame(), at_b_.OnEnd()).ok());
  }

  Collector at_a_;
  Collector at_b_;
  std::unique_ptr<FrameStream> a_;
  std::unique_ptr<FrameStream> b_;
  int raw_ = -1;
};

TEST_P(FrameStreamTest, CarriesFramesOfAnySizeInOrderBothWays) {
  StartBoth();
  std::vector<std::string> sent;
  for (std::size_t size : {0, 1, 3, 4, 70'000, 5, 3'000'000, 65'532, 65'536}) {
    sent.emplace_back(size, static_cast<char>('a' + sent.size()));
  }
  for (const std::string& frame : sent) {
    EXPECT_TRUE(a_->Send(frame));
    EXPECT_TRUE(b_->Send(frame));
  }
  ASSERT_TRUE(at_a_.WaitForFrames(sent.size()));
  ASSERT_TRUE(at_b_.WaitForFrames(sent.size()));
  EXPECT_EQ(at_a_.frames(), sent);
  EXPECT_EQ(at_b_.frames(), sent);
}

TEST_P(FrameStreamTest, ManyThreadsSendWholeFrames) {
  StartBoth();
  constexpr std::size_t kEach = 500;
  std::vector<std::thread> senders;
  for (int i = 0; i < 4; ++i) {
    senders.emplace_back([this, i] {
      for (std::size_t n = 0; n < kEach; ++n) {
        EXPECT_TRUE(a_->Send(std::string(1 + n * 7 % 3000, static_cast<char>('a' + i))));
        EXPECT_TRUE(b_->Send("answer"));
      }
    });
  }
  for (std::thread& sender : senders) {
    sender.join();
  }
  ASSERT_TRUE(at_a_.WaitForFrames(4 * kEach));
  ASSERT_TRUE(at_b_.WaitForFrames(4 * kEach));
  for (const std::string& frame : at_b_.frames()) {
    EXPECT_EQ(frame.find_first_not_of(frame[0]), std::string::npos);
  }
}

TEST_P(FrameStreamTest, TellsThatTheOtherEndIsGone) {
  StartBoth();
  a_.reset();
  EXPECT_TRUE(at_b_.WaitForEnd());
  EXPECT_FALSE(b_->Send("nobody hears this"));
}

TEST_P(FrameStreamTest, DropsWhatTheQueueCannotHold) {
  ASSERT_TRUE(a_->Start(at_a_.OnFrame(), at_a_.OnEnd()).ok());
  std::string frame(std::size_t{1} << 20, 'x');
  int taken = 0;
  while (taken < 200 && a_->Send(frame)) {
    ++taken;
  }
  EXPECT_GE(taken, 60);
  EXPECT_LE(taken, 70);
}

INSTANTIATE_TEST_SUITE_P(PlainAndTls, FrameStreamTest, testing::Bool());

TEST(FrameStream, ALengthBeyondAllBoundsEndsTheStream) {
  std::array<int, 2> fds{};
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds.data()), 0);
  Collector collector;
  FrameStream stream(fds[0], nullptr, kQueue);
  ASSERT_TRUE(stream.Start(collector.OnFrame(), collector.OnEnd()).ok());
  ASSERT_EQ(write(fds[1], "\xff\xff\xff\xff", 4), 4);
  EXPECT_TRUE(collector.WaitForEnd());
  close(fds[1]);
}

}  // namespace
}  // namespace pgquorum::raft
