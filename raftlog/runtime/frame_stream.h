// Frames between two nodes over one connected socket, plain or TLS: what carries Raft messages
// where a general RPC system costs too much. Dialing, greeting and whom to trust are the caller's.
//
// A frame is its length (u32, little endian) and its bytes. Send() writes on the caller's thread as
// far as the socket takes it; one thread of the stream receives, and writes the rest.
#pragma once

#include <openssl/ssl.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "base/status.h"

namespace pgquorum::raft {

// The connection ended, or could not be made safe.
inline constexpr std::string_view kErrConnection = "08006";

struct SslDeleter {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
};
using SslHandle = std::unique_ptr<SSL, SslDeleter>;

// TLS on the connected, blocking socket `fd`, as the context demands. Waits for the other end.
Result<SslHandle> TlsHandshake(int fd, SSL_CTX* context, bool accept);

class FrameStream {
 public:
  // Longer frames end the stream.
  static constexpr uint64_t kMaxFrameBytes = uint64_t{64} << 20;
  // `more`: the next frame is at hand already.
  using OnFrame = std::function<void(std::string_view frame, bool more)>;
  using OnEnd = std::function<void()>;
  using OnDrained = std::function<void()>;

  // Takes over `fd`, and `ssl` after its handshake (null: plain). Beyond `max_queued_bytes` that
  // the socket does not take, frames are dropped: Raft repeats them.
  FrameStream(int fd, SslHandle ssl, uint64_t max_queued_bytes,
              uint64_t max_frame_bytes = kMaxFrameBytes);
  ~FrameStream();  // Stop()
  FrameStream(const FrameStream&) = delete;
  FrameStream& operator=(const FrameStream&) = delete;

  // Begins to receive; once. All are called on the stream's thread: `on_end` at most once, when the
  // other end is gone or sent nonsense; `on_drained` when the socket has taken all that was queued.
  Status Start(OnFrame on_frame, OnEnd on_end, OnDrained on_drained = nullptr);
  // From any thread; never waits for the other end. False: dropped.
  bool Send(std::string_view frame);
  // Nothing is queued: a frame sent now goes at once.
  bool drained() const;
  // Why the stream ended; in on_end and after it.
  std::string end_reason() const;
  // Ends the connection, from any thread, callbacks too. Frames that had arrived may still be
  // delivered, on_end is not called any more, and what the kernel has taken still goes out.
  void Close();
  // Ends the thread. Not from a callback.
  void Stop();

 private:
  void Loop();
  bool Receive();
  bool Buffered() const;
  std::optional<std::size_t> Complete() const;
  bool Deliver();
  bool Flush();
  // Bytes written or read, 0: would block, -1: the connection is gone. Under mutex_.
  int64_t WriteSome(std::string_view bytes);
  int64_t ReadSome(char* to, std::size_t size);
  void NoteSslError(int error);

  const int fd_;
  const SslHandle ssl_;
  const uint64_t max_queued_bytes_;
  const uint64_t max_frame_bytes_;
  int event_fd_ = -1;  // pokes the thread
  OnFrame on_frame_;
  OnEnd on_end_;
  OnDrained on_drained_;
  std::thread thread_;

  // The thread's.
  std::string input_;
  std::size_t input_begin_ = 0;
  std::size_t input_end_ = 0;

  // One SSL serves one thread at a time.
  mutable std::mutex mutex_;
  std::string end_reason_;
  std::string pending_;  // what the socket did not take
  std::string record_;   // a frame on its way into a TLS record
  bool stop_ = false;
  bool broken_ = false;
};

}  // namespace pgquorum::raft

#include "base/pure.h"
