// Plain TCP connects without blocking: is anybody listening? Not thread-safe; lives in a Loop.
#pragma once

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bgworkers/transport/transport.h"

namespace pgquorum::transport {

// Now, CLOCK_BOOTTIME.
int64_t BootTimeNs();

// A descriptor that is closed with its owner.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.Release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept;
  ~UniqueFd();
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;

  int get() const { return fd_; }
  int Release();

 private:
  int fd_ = -1;
};

struct Address {
  sockaddr_storage storage{};
  socklen_t length = 0;

  // As gRPC takes it: "ipv4:10.0.0.1:5433" or "ipv6:[::1]:5433".
  std::string Target() const;
};

// Names to addresses. Addresses in digits at once; names by the C library's own threads, so that a
// dead name server blocks nobody, and the last answer serves until a better one comes.
class Resolver {
 public:
  enum class Outcome { kFound, kPending, kFailed };

  ~Resolver();
  // All addresses of the host, with `port` filled in. Call again while pending.
  Outcome Resolve(const std::string& host, uint16_t port, std::vector<Address>& out);

 private:
  struct Lookup;
  struct Cached {
    std::vector<Address> addresses;
    int64_t valid_until_ns = 0;
  };
  Outcome FromCache(const std::string& host, uint16_t port, std::vector<Address>& out) const;

  std::map<std::string, Cached> cache_;
  std::map<std::string, Lookup*> pending_;
};

class Prober {
 public:
  // For kAccepted: the connection, non-blocking, and where it leads. Closed, it ends with a reset
  // (SO_LINGER): nothing of it stays behind in TIME_WAIT.
  using Done = std::function<void(ProbeResult result, const Address& address, UniqueFd connection)>;

  Prober() = default;
  Prober(const Prober&) = delete;
  Prober& operator=(const Prober&) = delete;

  void Start(const std::string& host, uint16_t port, int64_t timeout_ns, Done done);

  // The owner polls these and calls Step() afterwards, no later than next_deadline(), which calls
  // what is done.
  void AppendPollFds(std::vector<pollfd>& fds) const;
  void Step();
  int64_t next_deadline() const;

 private:
  struct Probe {
    std::string host;
    uint16_t port = 0;
    int64_t deadline_ns = 0;
    Done done;
    UniqueFd fd;
    // A name may have several: tried in turn until one accepts. The worst that was found, silence
    // before refusal, is the result when none does.
    std::vector<Address> addresses;
    std::size_t current = 0;
    ProbeResult worst = ProbeResult::kRefused;
  };
  // Nothing yet, or the result: of one address, and of all.
  static std::optional<ProbeResult> Connect(Probe& probe);
  static std::optional<ProbeResult> Look(const Probe& probe);
  std::optional<ProbeResult> Advance(Probe& probe);
  static std::optional<ProbeResult> AdvanceConnect(Probe& probe);

  Resolver resolver_;
  std::list<Probe> probes_;
  bool fresh_ = false;  // one of them has not begun
};

}  // namespace pgquorum::transport
