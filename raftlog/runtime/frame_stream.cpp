#include "raftlog/runtime/frame_stream.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

#include "raftlog/runtime/threads.h"

#include "base/pure.h"

namespace pgquorum::raft {
namespace {

constexpr std::size_t kHeaderBytes = 4;
constexpr std::size_t kReadBytes = std::size_t{64} << 10;

std::array<char, kHeaderBytes> Header(std::size_t size) {
  std::array<char, kHeaderBytes> header;
  for (std::size_t i = 0; i < kHeaderBytes; ++i) {
    header[i] = static_cast<char>(size >> (8 * i));
  }
  return header;
}

std::size_t FrameSize(const char* header) {
  std::size_t size = 0;
  for (std::size_t i = 0; i < kHeaderBytes; ++i) {
    size |= std::size_t{static_cast<unsigned char>(header[i])} << (8 * i);
  }
  return size;
}

}  // namespace

Result<SslHandle> TlsHandshake(int fd, SSL_CTX* context, bool accept) {
  SslHandle ssl(SSL_new(context));
  bool done = ssl && SSL_set_fd(ssl.get(), fd) == 1 &&
              (accept ? SSL_accept(ssl.get()) : SSL_connect(ssl.get())) == 1;
  if (!done) {
    std::array<char, 256> reason{};
    ERR_error_string_n(ERR_get_error(), reason.data(), reason.size());
    ERR_clear_error();
    return Status::Error(kErrConnection, "TLS handshake failed").WithDetail(reason.data());
  }
  // What the socket did not take is kept in another buffer, and a record may go out in parts.
  SSL_set_mode(ssl.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  return ssl;
}

FrameStream::FrameStream(int fd, SslHandle ssl, uint64_t max_queued_bytes, uint64_t max_frame_bytes)
    : fd_(fd),
      ssl_(std::move(ssl)),
      max_queued_bytes_(max_queued_bytes),
      max_frame_bytes_(max_frame_bytes) {
  if (ssl_) {
    // A record in one system call instead of two: its header is not read alone.
    SSL_set_read_ahead(ssl_.get(), 1);
  }
}

FrameStream::~FrameStream() {
  Stop();
  if (event_fd_ >= 0) {
    ::close(event_fd_);
  }
  ::close(fd_);
}

Status FrameStream::Start(OnFrame on_frame, OnEnd on_end, OnDrained on_drained) {
  on_frame_ = std::move(on_frame);
  on_end_ = std::move(on_end);
  on_drained_ = std::move(on_drained);
  event_fd_ = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  int flags = ::fcntl(fd_, F_GETFL);
  if (event_fd_ < 0 || flags < 0 || ::fcntl(fd_, F_SETFL, flags | O_NONBLOCK) != 0) {
    return Status::Error(kErrConnection,
                         std::string("could not prepare a connection: ") + std::strerror(errno));
  }
  input_.resize(kReadBytes);
  thread_ = StartThread("raft stream", [this] { Loop(); });
  return Status::Ok();
}

bool FrameStream::drained() const {
  std::lock_guard lock(mutex_);
  return pending_.empty();
}

std::string FrameStream::end_reason() const {
  std::lock_guard lock(mutex_);
  return end_reason_;
}

void FrameStream::Close() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  ::shutdown(fd_, SHUT_RDWR);
  if (event_fd_ >= 0) {
    ::eventfd_write(event_fd_, 1);
  }
}

void FrameStream::Stop() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  if (thread_.joinable()) {
    ::eventfd_write(event_fd_, 1);
    thread_.join();
  }
}

bool FrameStream::Send(std::string_view frame) {
  std::array<char, kHeaderBytes> header = Header(frame.size());
  std::unique_lock lock(mutex_);
  if (broken_ || stop_ || frame.size() > max_frame_bytes_ ||
      (!pending_.empty() && pending_.size() + frame.size() > max_queued_bytes_)) {
    return false;
  }
  if (!pending_.empty()) {
    pending_.append(header.data(), header.size());
    pending_.append(frame);
    return true;  // the thread waits for the socket already
  }
  std::size_t total = kHeaderBytes + frame.size();
  int64_t written = 0;
  if (ssl_) {
    record_.assign(header.data(), header.size());
    record_.append(frame);
    written = WriteSome(record_);
  } else {
    std::array<iovec, 2> parts{iovec{header.data(), header.size()},
                               iovec{const_cast<char*>(frame.data()), frame.size()}};
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    written = ::sendmsg(fd_, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    written = written < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : written;
  }
  if (written < 0) {
    broken_ = true;
    lock.unlock();
    ::shutdown(fd_, SHUT_RDWR);  // the thread sees it
    return false;
  }
  auto done = static_cast<std::size_t>(written);
  if (done == total) {
    return true;
  }
  if (done < kHeaderBytes) {
    pending_.assign(header.data() + done, kHeaderBytes - done);
    done = kHeaderBytes;
  }
  pending_.append(frame.substr(done - kHeaderBytes));
  lock.unlock();
  ::eventfd_write(event_fd_, 1);
  return true;
}

int64_t FrameStream::WriteSome(std::string_view bytes) {
  if (!ssl_) {
    ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : n;
  }
  int64_t written = 0;
  while (!bytes.empty()) {
    int n = SSL_write(ssl_.get(), bytes.data(),
                      static_cast<int>(std::min<std::size_t>(bytes.size(), INT_MAX)));
    if (n <= 0) {
      int error = SSL_get_error(ssl_.get(), n);
      NoteSslError(error);
      return error == SSL_ERROR_WANT_WRITE || error == SSL_ERROR_WANT_READ ? written : -1;
    }
    written += n;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return written;
}

int64_t FrameStream::ReadSome(char* to, std::size_t size) {
  if (!ssl_) {
    ssize_t n = ::recv(fd_, to, size, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
      return 0;
    }
    return n == 0 ? -1 : n;
  }
  std::lock_guard lock(mutex_);
  int n = SSL_read(ssl_.get(), to, static_cast<int>(std::min<std::size_t>(size, INT_MAX)));
  if (n > 0) {
    return n;
  }
  int error = SSL_get_error(ssl_.get(), n);
  NoteSslError(error);
  return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

// The other end's alert tells why it hung up. Under mutex_.
void FrameStream::NoteSslError(int error) {
  const char* reason = error == SSL_ERROR_SSL ? ERR_reason_error_string(ERR_peek_error()) : nullptr;
  if (reason != nullptr && end_reason_.empty()) {
    end_reason_ = reason;
  }
  ERR_clear_error();
}

// TLS keeps bytes of its own, of which no poll() tells.
bool FrameStream::Buffered() const {
  if (!ssl_) {
    return false;
  }
  std::lock_guard lock(mutex_);
  return SSL_has_pending(ssl_.get()) == 1;
}

// Everything that has arrived: until the connection gave less than there was room for.
bool FrameStream::Receive() {
  while (true) {
    std::size_t room = input_.size() - input_end_;
    int64_t n = ReadSome(input_.data() + input_end_, room);
    if (n < 0) {
      return false;
    }
    input_end_ += static_cast<std::size_t>(n);
    if (!Deliver()) {
      return false;
    }
    if (n == 0 || (static_cast<std::size_t>(n) < room && !Buffered())) {
      return true;
    }
  }
}

// The size of the complete frame at the front of what was read; nothing: it is not complete.
std::optional<std::size_t> FrameStream::Complete() const {
  std::size_t there = input_end_ - input_begin_;
  if (there < kHeaderBytes) {
    return std::nullopt;
  }
  std::size_t size = FrameSize(input_.data() + input_begin_);
  return there - kHeaderBytes < size ? std::nullopt : std::optional(size);
}

bool FrameStream::Deliver() {
  for (std::optional<std::size_t> size = Complete(); size;) {
    std::string_view frame(input_.data() + input_begin_ + kHeaderBytes, *size);
    input_begin_ += kHeaderBytes + *size;
    size = Complete();
    on_frame_(frame, size.has_value());
  }
  // The unfinished frame moves to the front, into a buffer that can hold it.
  std::size_t rest = input_end_ - input_begin_;
  if (input_begin_ > 0) {
    std::memmove(input_.data(), input_.data() + input_begin_, rest);
    input_begin_ = 0;
    input_end_ = rest;
  }
  std::size_t wanted = kReadBytes;
  if (rest >= kHeaderBytes) {
    std::size_t size = FrameSize(input_.data());
    if (size > max_frame_bytes_) {
      std::lock_guard lock(mutex_);
      end_reason_ = "a frame that is too long";
      return false;
    }
    wanted = std::max(wanted, kHeaderBytes + size);
  }
  if (rest == input_.size() || (rest == 0 && input_.size() > kReadBytes)) {
    // Twice what has really arrived: a length alone costs no memory.
    input_.resize(std::max(kReadBytes, std::min(wanted, 2 * rest)));
    input_.shrink_to_fit();
  }
  return true;
}

bool FrameStream::Flush() {
  {
    std::lock_guard lock(mutex_);
    if (pending_.empty()) {
      return !broken_;
    }
    int64_t n = WriteSome(pending_);
    if (n > 0) {
      pending_.erase(0, static_cast<std::size_t>(n));
    }
    if (n < 0 || !pending_.empty()) {
      return n >= 0;
    }
  }
  if (on_drained_) {
    on_drained_();
  }
  return true;
}

void FrameStream::Loop() {
  // What came in with the handshake's last bytes no poll() tells of.
  bool alive = Receive();
  while (alive) {
    bool waiting = false;
    {
      std::lock_guard lock(mutex_);
      if (stop_) {
        return;
      }
      waiting = !pending_.empty();
    }
    short wanted = waiting ? POLLIN | POLLOUT : POLLIN;
    std::array<pollfd, 2> fds{pollfd{fd_, wanted, 0}, pollfd{event_fd_, POLLIN, 0}};
    if (::poll(fds.data(), fds.size(), -1) < 0) {
      continue;  // EINTR
    }
    if (fds[1].revents != 0) {
      eventfd_t ignored = 0;
      ::eventfd_read(event_fd_, &ignored);
    }
    if ((fds[0].revents & POLLOUT) != 0) {
      alive = Flush();
    }
    if (alive && (fds[0].revents & ~POLLOUT) != 0) {
      alive = Receive();
    }
  }
  {
    std::lock_guard lock(mutex_);
    broken_ = true;
    if (stop_) {
      return;
    }
    if (end_reason_.empty()) {
      end_reason_ = "the connection was closed";
    }
  }
  if (on_end_) {
    on_end_();
  }
}

}  // namespace pgquorum::raft
