#include "bgworkers/transport/prober.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <limits>
#include <utility>

namespace pgquorum::transport {

namespace {

constexpr int64_t kNsPerMs = 1'000'000;
constexpr int64_t kCacheNs = 30'000 * kNsPerMs;
// The C library tells no descriptor when a name is resolved: look this often while one is pending.
constexpr int64_t kResolvePollNs = 5 * kNsPerMs;

void SetPort(Address& address, uint16_t port) {
  if (address.storage.ss_family == AF_INET6) {
    reinterpret_cast<sockaddr_in6&>(address.storage).sin6_port = htons(port);
  } else {
    reinterpret_cast<sockaddr_in&>(address.storage).sin_port = htons(port);
  }
}

bool ParseDigits(const std::string& host, Address& out) {
  auto& v4 = reinterpret_cast<sockaddr_in&>(out.storage);
  if (inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    out.length = sizeof v4;
    return true;
  }
  auto& v6 = reinterpret_cast<sockaddr_in6&>(out.storage);
  if (inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    out.length = sizeof v6;
    return true;
  }
  return false;
}

ProbeResult ResultOf(int error) {
  switch (error) {
    case 0:
      return ProbeResult::kAccepted;
    case ECONNREFUSED:
    case ECONNRESET:
      return ProbeResult::kRefused;
    case ETIMEDOUT:
      return ProbeResult::kTimeout;
    default:
      return ProbeResult::kUnreachable;
  }
}

}  // namespace

int64_t BootTimeNs() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

std::string Address::Target() const {
  char text[INET6_ADDRSTRLEN] = "";
  if (storage.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(storage);
    inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
    return "ipv6:[" + std::string(text) + "]:" + std::to_string(ntohs(v6.sin6_port));
  }
  const auto& v4 = reinterpret_cast<const sockaddr_in&>(storage);
  inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
  return "ipv4:" + std::string(text) + ":" + std::to_string(ntohs(v4.sin_port));
}

// Outlives the resolver when the C library cannot give it up: it writes into it.
struct Resolver::Lookup {
  std::string host;
  addrinfo hints{};
  gaicb request{};
};

Resolver::~Resolver() {
  for (auto& [host, lookup] : pending_) {
    int state = gai_cancel(&lookup->request);
    if (state == EAI_CANCELED || state == EAI_ALLDONE) {
      if (lookup->request.ar_result != nullptr) {
        freeaddrinfo(lookup->request.ar_result);
      }
      delete lookup;
    }
    // Otherwise a name server is being waited for: a few bytes are given up rather than the
    // caller's time.
  }
}

Resolver::Outcome Resolver::FromCache(const std::string& host, uint16_t port,
                                      std::vector<Address>& out) const {
  auto cached = cache_.find(host);
  if (cached == cache_.end()) {
    return Outcome::kFailed;
  }
  out = cached->second.addresses;
  for (Address& address : out) {
    SetPort(address, port);
  }
  return Outcome::kFound;
}

Resolver::Outcome Resolver::Resolve(const std::string& host, uint16_t port,
                                    std::vector<Address>& out) {
  Address digits;
  if (ParseDigits(host, digits)) {
    SetPort(digits, port);
    out = {digits};
    return Outcome::kFound;
  }
  auto pending = pending_.find(host);
  if (pending == pending_.end()) {
    auto cached = cache_.find(host);
    if (cached != cache_.end() && cached->second.valid_until_ns > BootTimeNs()) {
      return FromCache(host, port, out);
    }
    auto* lookup = new Lookup;
    lookup->host = host;
    lookup->hints.ai_socktype = SOCK_STREAM;
    lookup->request.ar_name = lookup->host.c_str();
    lookup->request.ar_request = &lookup->hints;
    gaicb* list[] = {&lookup->request};
    if (getaddrinfo_a(GAI_NOWAIT, list, 1, nullptr) != 0) {
      delete lookup;
      return FromCache(host, port, out);
    }
    pending = pending_.emplace(host, lookup).first;
  }
  Lookup* lookup = pending->second;
  int error = gai_error(&lookup->request);
  if (error == EAI_INPROGRESS) {
    // An address that served before is better than waiting for a name server.
    return FromCache(host, port, out) == Outcome::kFound ? Outcome::kFound : Outcome::kPending;
  }
  addrinfo* found = lookup->request.ar_result;
  if (error == 0 && found != nullptr) {
    Cached fresh{{}, BootTimeNs() + kCacheNs};
    for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
      Address& address = fresh.addresses.emplace_back();
      std::memcpy(&address.storage, entry->ai_addr, entry->ai_addrlen);
      address.length = entry->ai_addrlen;
    }
    cache_[host] = std::move(fresh);
  }
  if (found != nullptr) {
    freeaddrinfo(found);
  }
  delete lookup;
  pending_.erase(pending);
  return FromCache(host, port, out);
}

UniqueFd& UniqueFd::operator=(UniqueFd&& other) noexcept {
  UniqueFd before(std::exchange(fd_, other.Release()));
  return *this;
}

UniqueFd::~UniqueFd() {
  if (fd_ >= 0) {
    ::close(fd_);
  }
}

int UniqueFd::Release() {
  return std::exchange(fd_, -1);
}

void Prober::Start(const std::string& host, uint16_t port, int64_t timeout_ns, Done done) {
  Probe& probe = probes_.emplace_back();
  probe.host = host;
  probe.port = port;
  probe.deadline_ns = BootTimeNs() + timeout_ns;
  probe.done = std::move(done);
  fresh_ = true;
}

void Prober::AppendPollFds(std::vector<pollfd>& fds) const {
  for (const Probe& probe : probes_) {
    if (probe.fd.get() >= 0) {
      fds.push_back({probe.fd.get(), POLLOUT, 0});
    }
  }
}

int64_t Prober::next_deadline() const {
  if (fresh_) {
    return 0;
  }
  int64_t next = std::numeric_limits<int64_t>::max();
  for (const Probe& probe : probes_) {
    next = std::min(next, probe.fd.get() >= 0 ? probe.deadline_ns : BootTimeNs() + kResolvePollNs);
  }
  return next;
}

std::optional<ProbeResult> Prober::Connect(Probe& probe) {
  const Address& address = probe.addresses[probe.current];
  probe.fd =
      UniqueFd(socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  int fd = probe.fd.get();
  if (fd < 0) {
    return ProbeResult::kUnreachable;
  }
  linger now{1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  int rc = connect(fd, reinterpret_cast<const sockaddr*>(&address.storage), address.length);
  if (rc != 0 && errno == EINPROGRESS) {
    return std::nullopt;
  }
  return ResultOf(rc == 0 ? 0 : errno);
}

std::optional<ProbeResult> Prober::Look(const Probe& probe) {
  pollfd look{probe.fd.get(), POLLOUT, 0};
  if (poll(&look, 1, 0) <= 0) {
    return std::nullopt;
  }
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(probe.fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  return ResultOf(error);
}

std::optional<ProbeResult> Prober::AdvanceConnect(Probe& probe) {
  for (;;) {
    std::optional<ProbeResult> result = probe.fd.get() >= 0 ? Look(probe) : Connect(probe);
    if (!result || *result == ProbeResult::kAccepted) {
      return result;
    }
    probe.worst = std::max(probe.worst, *result);
    probe.fd = UniqueFd();
    if (++probe.current == probe.addresses.size()) {
      return probe.worst;
    }
  }
}

std::optional<ProbeResult> Prober::Advance(Probe& probe) {
  if (probe.addresses.empty() &&
      resolver_.Resolve(probe.host, probe.port, probe.addresses) == Resolver::Outcome::kFailed) {
    return ProbeResult::kUnreachable;
  }
  std::optional<ProbeResult> result;
  if (!probe.addresses.empty()) {
    result = AdvanceConnect(probe);
  }
  if (!result && BootTimeNs() >= probe.deadline_ns) {
    result = ProbeResult::kTimeout;
  }
  return result;
}

void Prober::Step() {
  fresh_ = false;
  std::list<Probe> finished;
  std::vector<ProbeResult> results;
  for (auto probe = probes_.begin(); probe != probes_.end();) {
    auto next = std::next(probe);
    if (std::optional<ProbeResult> result = Advance(*probe)) {
      results.push_back(*result);
      finished.splice(finished.end(), probes_, probe);
    }
    probe = next;
  }
  // Last, because they may start new probes.
  std::size_t i = 0;
  for (Probe& probe : finished) {
    ProbeResult result = results[i++];
    bool accepted = result == ProbeResult::kAccepted;
    if (accepted) {
      probe.done(result, probe.addresses[probe.current], std::move(probe.fd));
    } else {
      probe.done(result, Address(), UniqueFd());
    }
  }
}

}  // namespace pgquorum::transport
