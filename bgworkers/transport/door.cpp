#include "bgworkers/transport/door.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>

#include "base/pure.h"

namespace pgquorum::transport {

namespace {

constexpr int64_t kAcceptPauseNs = 100'000'000;
constexpr int kBacklog = 128;

uint16_t PortOf(const sockaddr_storage& address) {
  return ntohs(address.ss_family == AF_INET6
                   ? reinterpret_cast<const sockaddr_in6&>(address).sin6_port
                   : reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

// Whom to count a connection to: the address without the port.
std::string AddressOf(const sockaddr_storage& address) {
  const void* begin =
      address.ss_family == AF_INET6
          ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in6&>(address).sin6_addr)
          : &reinterpret_cast<const sockaddr_in&>(address).sin_addr;
  std::size_t size = address.ss_family == AF_INET6 ? sizeof(in6_addr) : sizeof(in_addr);
  return std::string(static_cast<const char*>(begin), size);
}

std::string OpensslReason(const char* otherwise) {
  unsigned long code = ERR_peek_last_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  std::string text = reason == nullptr ? otherwise : reason;
  ERR_clear_error();
  return text;
}

}  // namespace

Status Door::Listen(const std::string& host, uint16_t port, Callbacks callbacks) {
  callbacks_ = std::move(callbacks);
  port_ = port;
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  // Every address of the machine: those of both families, as far as the machine has them.
  bool all = host == "0.0.0.0" || host == "::";
  int error = getaddrinfo(all ? nullptr : host.c_str(), "0", &hints, &found);
  Status problem = error == 0 ? Status::Ok() : Status::Error("08006", gai_strerror(error));
  for (const addrinfo* address = found; address != nullptr; address = address->ai_next) {
    Status one = ListenOn(*address);
    problem = one.ok() ? problem : one;
  }
  if (found != nullptr) {
    freeaddrinfo(found);
  }
  if (!listeners_.empty()) {
    return Status::Ok();
  }
  bool v6 = host.find(':') != std::string::npos;
  return Status::Error("08006", "could not listen on " + (v6 ? "[" + host + "]" : host) + ":" +
                                    std::to_string(port))
      .WithDetail(problem.message());
}

Status Door::ListenOn(const addrinfo& address) {
  UniqueFd fd(::socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_storage name{};
  std::memcpy(&name, address.ai_addr, address.ai_addrlen);
  // The first address may have picked the port for all.
  reinterpret_cast<sockaddr_in&>(name).sin_port = htons(port_);
  int on = 1;
  bool good = fd.get() >= 0 &&
              ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
              (address.ai_family != AF_INET6 ||
               ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) == 0) &&
              ::bind(fd.get(), reinterpret_cast<sockaddr*>(&name), address.ai_addrlen) == 0 &&
              ::listen(fd.get(), kBacklog) == 0;
  socklen_t size = sizeof name;
  if (!good || ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&name), &size) != 0) {
    return Status::Error("08006", std::strerror(errno));
  }
  port_ = PortOf(name);
  listeners_.push_back(std::move(fd));
  return Status::Ok();
}

void Door::Close() {
  listeners_.clear();
  openings_.clear();
}

void Door::Accept(int listener) {
  while (true) {
    sockaddr_storage from{};
    socklen_t size = sizeof from;
    int fd = ::accept4(listener, reinterpret_cast<sockaddr*>(&from), &size,
                       SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      Admit(UniqueFd(fd), AddressOf(from));
      continue;
    }
    if (errno == EINTR || errno == ECONNABORTED) {
      continue;
    }
    if (errno != EAGAIN && errno != EWOULDBLOCK) {
      // Out of descriptors or memory: they stay in the kernel's queue for a moment.
      accept_after_ns_ = BootTimeNs() + kAcceptPauseNs;
    }
    return;
  }
}

void Door::Admit(UniqueFd fd, std::string address) {
  auto of_one = std::count_if(openings_.begin(), openings_.end(),
                              [&](const Opening& opening) { return opening.address == address; });
  if (openings_.size() >= kMaxOpening || static_cast<std::size_t>(of_one) >= kMaxOpeningOfOne) {
    return;
  }
  int on = 1;
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  Opening& opening = openings_.emplace_back();
  opening.fd = std::move(fd);
  opening.address = std::move(address);
  opening.deadline_ns = BootTimeNs() + kGreetingNs;
  opening.expected = kPreamble;
  fresh_ = true;
}

void Door::Dial(UniqueFd fd, const std::string& peer_name, int64_t deadline_ns, Done done) {
  int on = 1;
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  Opening& opening = openings_.emplace_back();
  if (tls_) {
    opening.ssl = tls_->Dialing(fd.get(), peer_name);
    // Without memory: the deadline answers, and the next attempt may do better.
    deadline_ns = opening.ssl ? deadline_ns : 0;
  }
  opening.fd = std::move(fd);
  opening.deadline_ns = deadline_ns;
  opening.wants = POLLOUT;
  opening.decided = true;
  opening.expected = kPreamble;
  opening.done = std::move(done);
  fresh_ = true;
}

void Door::AppendPollFds(std::vector<pollfd>& fds) const {
  if (accept_after_ns_ == 0) {
    for (const UniqueFd& listener : listeners_) {
      fds.push_back({listener.get(), POLLIN, 0});
    }
  }
  for (const Opening& opening : openings_) {
    fds.push_back({opening.fd.get(), opening.wants, 0});
  }
}

int64_t Door::next_deadline() const {
  if (fresh_) {
    return 0;
  }
  int64_t next = accept_after_ns_ == 0 ? std::numeric_limits<int64_t>::max() : accept_after_ns_;
  for (const Opening& opening : openings_) {
    next = std::min(next, opening.deadline_ns);
  }
  return next;
}

void Door::Step() {
  fresh_ = false;
  if (accept_after_ns_ <= BootTimeNs()) {
    accept_after_ns_ = 0;
    for (const UniqueFd& listener : listeners_) {
      Accept(listener.get());
    }
  }
  struct Finished {
    Opening opening;
    Progress progress;
    std::string why;
  };
  std::vector<Finished> finished;
  for (auto opening = openings_.begin(); opening != openings_.end();) {
    std::string why;
    Progress progress = Advance(*opening, why);
    if (progress == Progress::kWaits && BootTimeNs() >= opening->deadline_ns) {
      progress = Progress::kFailed;
      why = "no answer to the handshake in time";
    }
    if (progress == Progress::kWaits) {
      ++opening;
      continue;
    }
    finished.push_back({std::move(*opening), progress, std::move(why)});
    opening = openings_.erase(opening);
  }
  // Last, because they may dial again.
  for (Finished& one : finished) {
    Finish(std::move(one.opening), one.progress, one.why);
  }
}

void Door::Finish(Opening opening, Progress progress, const std::string& why) {
  bool dialed = opening.done != nullptr;
  if (progress == Progress::kOther) {
    callbacks_.on_other(std::move(opening.fd));
    return;
  }
  if (progress == Progress::kFailed) {
    if (dialed) {
      opening.done(Status::Error("08006", why));
    } else if (opening.decided && callbacks_.on_refused) {
      callbacks_.on_refused();
    }
    return;
  }
  std::string common_name = opening.ssl ? PeerCommonName(opening.ssl.get()) : "";
  Opened opened{std::move(opening.fd), std::move(opening.ssl), std::move(common_name)};
  if (dialed) {
    opening.done(std::move(opened));
  } else {
    callbacks_.on_stream(std::move(opened));
  }
}

Door::Progress Door::Advance(Opening& opening, std::string& why) {
  if (!opening.decided) {
    Progress decided = Decide(opening, why);
    if (decided != Progress::kOpened) {
      return decided;
    }
    opening.decided = true;
    if (tls_) {
      opening.ssl = tls_->Accepting(opening.fd.get());
      if (!opening.ssl) {
        why = "no memory for TLS";
        return Progress::kFailed;
      }
    }
  } else if (opening.done && !opening.expected.empty()) {
    Progress written = WritePreamble(opening, why);
    if (written != Progress::kOpened) {
      return written;
    }
  }
  return opening.ssl ? Handshake(opening, why) : Progress::kOpened;
}

// Reads the preamble; kOpened when it is complete. The first byte tells, and is only looked at:
// gRPC must find its connection untouched.
Door::Progress Door::Decide(Opening& opening, std::string& why) {
  std::array<char, 8> bytes{};
  static_assert(kPreamble.size() == bytes.size());
  bool first = opening.expected.size() == kPreamble.size();
  if (first) {
    ssize_t seen = ::recv(opening.fd.get(), bytes.data(), 1, MSG_PEEK);
    if (seen == 1 && bytes[0] != kPreamble[0]) {
      return Progress::kOther;
    }
  }
  ssize_t n = ::recv(opening.fd.get(), bytes.data(), opening.expected.size(), 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
    return Progress::kWaits;
  }
  // Who only looked whether anybody listens leaves without a word.
  std::string_view got(bytes.data(), n > 0 ? static_cast<std::size_t>(n) : 0);
  if (got.empty() || !opening.expected.starts_with(got)) {
    why = "not a node's greeting";
    return Progress::kFailed;
  }
  opening.expected.remove_prefix(got.size());
  return opening.expected.empty() ? Progress::kOpened : Progress::kWaits;
}

Door::Progress Door::WritePreamble(Opening& opening, std::string& why) {
  ssize_t n =
      ::send(opening.fd.get(), opening.expected.data(), opening.expected.size(), MSG_NOSIGNAL);
  if (n < 0 && errno != EAGAIN && errno != EINTR) {
    why = std::strerror(errno);
    return Progress::kFailed;
  }
  opening.expected.remove_prefix(n > 0 ? static_cast<std::size_t>(n) : 0);
  return opening.expected.empty() ? Progress::kOpened : Progress::kWaits;
}

Door::Progress Door::Handshake(Opening& opening, std::string& why) {
  ERR_clear_error();
  int rc = SSL_do_handshake(opening.ssl.get());
  if (rc == 1) {
    if (SpeaksFrames(opening.ssl.get())) {
      return Progress::kOpened;
    }
    why = "it does not speak the nodes' protocol";
    return Progress::kFailed;
  }
  switch (SSL_get_error(opening.ssl.get(), rc)) {
    case SSL_ERROR_WANT_READ:
      opening.wants = POLLIN;
      return Progress::kWaits;
    case SSL_ERROR_WANT_WRITE:
      opening.wants = POLLOUT;
      return Progress::kWaits;
    default:
      break;
  }
  long verified = SSL_get_verify_result(opening.ssl.get());
  why = verified == X509_V_OK
            ? "TLS handshake failed: " + OpensslReason("the connection was closed")
            : std::string("TLS handshake failed: certificate verify failed: ") +
                  X509_verify_cert_error_string(verified);
  ERR_clear_error();
  return Progress::kFailed;
}

}  // namespace pgquorum::transport
