#include "bgworkers/transport/tls_peek.h"

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "bgworkers/transport/openssl_handles.h"
#include "bgworkers/transport/pki.h"
#include "bgworkers/transport/prober.h"

namespace pgquorum::transport {

namespace {

constexpr int64_t kNsPerMs = 1'000'000;

Status Unreachable(const std::string& host, uint16_t port, const std::string& why) {
  return Status::Error(
      "08006", "could not connect to " + host + " port " + std::to_string(port) + ": " + why);
}

// A descriptor that is closed, and the time that is left.
struct Socket {
  explicit Socket(int64_t until_ns) : deadline_ns(until_ns) {}
  ~Socket() {
    if (fd >= 0) {
      close(fd);
    }
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  // False when the time is over.
  bool Wait(short events) const {
    for (;;) {
      int64_t left = (deadline_ns - BootTimeNs()) / kNsPerMs;
      pollfd look{fd, events, 0};
      int rc = left > 0 ? poll(&look, 1, static_cast<int>(left)) : 0;
      if (rc >= 0 || errno != EINTR) {
        return rc > 0;
      }
    }
  }

  int fd = -1;
  int64_t deadline_ns;
};

// OpenSSL writes to sockets without MSG_NOSIGNAL: a peer that has closed its end must not end the
// caller.
class PipeGuard {
 public:
  PipeGuard() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~PipeGuard() {
    timespec now{};
    while (sigismember(&before_, SIGPIPE) == 0 && sigtimedwait(&pipe_, nullptr, &now) == SIGPIPE) {
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  PipeGuard(const PipeGuard&) = delete;
  PipeGuard& operator=(const PipeGuard&) = delete;

 private:
  sigset_t pipe_;
  sigset_t before_;
};

// Empty, or why not.
std::string ConnectTo(Socket& out, const addrinfo& address) {
  if (out.fd >= 0) {
    close(out.fd);
  }
  out.fd = socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (out.fd < 0) {
    return std::strerror(errno);
  }
  int error = connect(out.fd, address.ai_addr, address.ai_addrlen) == 0 ? 0 : errno;
  if (error == EINPROGRESS) {
    if (!out.Wait(POLLOUT)) {
      return "no answer in time";
    }
    socklen_t size = sizeof error;
    getsockopt(out.fd, SOL_SOCKET, SO_ERROR, &error, &size);
  }
  return error == 0 ? "" : std::strerror(error);
}

Status Connect(Socket& out, const std::string& host, uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  int error = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (error != 0) {
    return Unreachable(host, port, gai_strerror(error));
  }
  std::string why;
  for (const addrinfo* address = found; address != nullptr; address = address->ai_next) {
    why = ConnectTo(out, *address);
    if (why.empty()) {
      break;
    }
  }
  freeaddrinfo(found);
  return why.empty() ? Status::Ok() : Unreachable(host, port, why);
}

Status Handshake(SSL* ssl, const Socket& socket, const std::string& host, uint16_t port) {
  for (;;) {
    int rc = SSL_connect(ssl);
    if (rc == 1) {
      return Status::Ok();
    }
    int want = SSL_get_error(ssl, rc);
    if (want != SSL_ERROR_WANT_READ && want != SSL_ERROR_WANT_WRITE) {
      std::string detail = OpensslError("").detail();
      return Unreachable(host, port, "it does not speak TLS 1.3").WithDetail(std::move(detail));
    }
    if (!socket.Wait(want == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT)) {
      return Unreachable(host, port, "no answer in time");
    }
  }
}

}  // namespace

Result<PresentedCertificates> PeekCertificates(const std::string& host, uint16_t port,
                                               int timeout_ms) {
  PipeGuard no_signal;
  Socket socket(BootTimeNs() + timeout_ms * kNsPerMs);
  Status status = Connect(socket, host, port);
  if (!status.ok()) {
    return status;
  }
  SslContextPtr context(SSL_CTX_new(TLS_client_method()));
  if (!context) {
    return OpensslError("could not prepare TLS");
  }
  // Checked afterwards, against the fingerprint: no CA is known yet.
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);
  SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION);
  SslPtr ssl(SSL_new(context.get()));
  constexpr unsigned char kAlpn[] = {2, 'h', '2'};
  if (!ssl || SSL_set_fd(ssl.get(), socket.fd) != 1 ||
      SSL_set_alpn_protos(ssl.get(), kAlpn, sizeof kAlpn) != 0) {
    return OpensslError("could not prepare TLS");
  }
  status = Handshake(ssl.get(), socket, host, port);
  if (!status.ok()) {
    return status;
  }
  PresentedCertificates result;
  STACK_OF(X509)* chain = SSL_get_peer_cert_chain(ssl.get());
  for (int i = 0; chain != nullptr && i < sk_X509_num(chain); ++i) {
    result.chain.push_back(CertificatePem(sk_X509_value(chain, i)));
  }
  if (!result.chain.empty()) {
    result.leaf = result.chain.front();
  }
  SSL_shutdown(ssl.get());
  ERR_clear_error();
  return result;
}

Result<CheckedPeer> CheckPresented(const PresentedCertificates& presented,
                                   const std::string& ca_fingerprint) {
  auto ca = std::find_if(presented.chain.begin(), presented.chain.end(),
                         [&](const std::string& certificate) {
                           Result<std::string> fingerprint = Fingerprint(certificate);
                           return fingerprint.ok() && fingerprint.value() == ca_fingerprint;
                         });
  Result<CertificateInfo> info = Inspect(presented.leaf);
  if (ca == presented.chain.end() || !info.ok() || info.value().dns_names.size() != 1) {
    return Status::Error("RX004", "who answers there is not a member of the expected cluster")
        .WithHint("Check the address, and that nobody stands between the nodes.");
  }
  X509Ptr leaf = ParseCertificate(presented.leaf);
  X509Ptr issuer = ParseCertificate(*ca);
  StorePtr store(X509_STORE_new());
  StoreContextPtr context(X509_STORE_CTX_new());
  if (!store || !context || X509_STORE_add_cert(store.get(), issuer.get()) != 1 ||
      X509_STORE_CTX_init(context.get(), store.get(), leaf.get(), nullptr) != 1) {
    return OpensslError("could not check a certificate");
  }
  if (X509_verify_cert(context.get()) != 1) {
    ERR_clear_error();
    return Status::Error(
               "RX004", "the certificate of \"" + info.value().common_name + "\" is not acceptable")
        .WithDetail(X509_verify_cert_error_string(X509_STORE_CTX_get_error(context.get())));
  }
  return CheckedPeer{*ca, info.value().dns_names.front()};
}

}  // namespace pgquorum::transport
