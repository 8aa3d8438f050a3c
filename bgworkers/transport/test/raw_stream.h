// A stream as a stranger would open it: plain sockets and plain OpenSSL, none of our own checks.
#pragma once

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "bgworkers/transport/openssl_handles.h"
#include "bgworkers/transport/pki.h"

namespace pgquorum::transport {

inline std::string Framed(const std::string& frame) {
  std::string bytes;
  for (int i = 0; i < 4; ++i) {
    bytes.push_back(static_cast<char>(frame.size() >> (8 * i)));
  }
  return bytes + frame;
}

inline sockaddr_in Loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// A listener that nothing of ours is behind; the kernel picks the port.
inline int ListenOnLoopback(uint16_t* port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof address;
  EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(listen(fd, 8), 0);
  EXPECT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  *port = ntohs(address.sin_port);
  return fd;
}

class RawStream {
 public:
  explicit RawStream(uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = Loopback(port);
    timeval patience{10, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    connected_ = connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  ~RawStream() {
    ssl_.reset();
    close(fd_);
  }
  RawStream(const RawStream&) = delete;
  RawStream& operator=(const RawStream&) = delete;

  bool connected() const { return connected_; }
  int fd() const { return fd_; }
  bool Write(std::string_view bytes) {
    if (ssl_) {
      return SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size())) ==
             static_cast<int>(bytes.size());
    }
    return send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(bytes.size());
  }
  // The next bytes; empty: the other end hung up.
  std::string Read() {
    std::array<char, 4096> bytes{};
    auto size = static_cast<int>(bytes.size());
    auto n = ssl_ ? SSL_read(ssl_.get(), bytes.data(), size)
                  : static_cast<int>(recv(fd_, bytes.data(), bytes.size(), 0));
    ERR_clear_error();
    return std::string(bytes.data(), n > 0 ? static_cast<std::size_t>(n) : 0);
  }
  // False when the handshake fails. In TLS 1.3 the listener may also refuse after it: see Read().
  // `alpn` as on the wire: with lengths.
  bool Handshake(const TlsIdentity* identity, std::string_view alpn,
                 int max_version = TLS1_3_VERSION) {
    context_.reset(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set_max_proto_version(context_.get(), max_version);
    SSL_CTX_set_cipher_list(context_.get(), "ALL:@SECLEVEL=0");
    if (identity != nullptr) {
      SSL_CTX_use_certificate(context_.get(), ParseCertificate(identity->certificate).get());
      SSL_CTX_use_PrivateKey(context_.get(), ParseKey(identity->key).get());
    }
    ssl_.reset(SSL_new(context_.get()));
    SSL_set_fd(ssl_.get(), fd_);
    if (!alpn.empty()) {
      SSL_set_alpn_protos(ssl_.get(), reinterpret_cast<const unsigned char*>(alpn.data()),
                          static_cast<unsigned>(alpn.size()));
    }
    bool done = SSL_connect(ssl_.get()) == 1;
    ERR_clear_error();
    return done;
  }
  int version() const { return SSL_version(ssl_.get()); }
  // The certificate that the listener showed.
  std::string shown() const {
    X509* certificate = SSL_get0_peer_certificate(ssl_.get());
    return certificate == nullptr ? "" : CertificatePem(certificate);
  }

 private:
  int fd_;
  bool connected_ = false;
  SslContextPtr context_;
  SslPtr ssl_;
};

inline constexpr std::string_view kFramesAlpn = "\x11pgquorum-frames-1";

}  // namespace pgquorum::transport
