// The node's one port, and the handshakes of both ends of a stream. Not thread-safe; lives in a
// Loop.
//
// A stream between nodes begins with kPreamble, then TLS; everything else that comes in is handed
// to gRPC untouched, TLS and all. No thread and no memory beyond a small record is given to anybody
// before the handshake has shown a member's certificate.
#pragma once

#include <poll.h>

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "bgworkers/transport/frame_tls.h"
#include "bgworkers/transport/prober.h"

namespace pgquorum::transport {

// Its first byte begins neither a TLS record nor HTTP/2. The handshake's protocol name confirms
// what it claims: it only says whose connection this is.
inline constexpr std::string_view kPreamble{"\0PGQFRM\1", 8};

// A connection after its handshake; `ssl` is null without TLS.
struct Opened {
  UniqueFd fd;
  SslPtr ssl;
  std::string common_name;
};

class Door {
 public:
  struct Callbacks {
    // A non-blocking connection of which nothing was read.
    std::function<void(UniqueFd)> on_other;
    std::function<void(Opened)> on_stream;
    // Somebody began a stream and has no member's certificate, or spoke something else.
    std::function<void()> on_refused;
  };
  using Done = std::function<void(Result<Opened>)>;

  // Undecided and shaking hands, in all and from one address: what is beyond them is closed.
  static constexpr std::size_t kMaxOpening = 128;
  static constexpr std::size_t kMaxOpeningOfOne = 16;
  static constexpr int64_t kGreetingNs = 5'000'000'000;

  // On all addresses of the host, "0.0.0.0" and "::" meaning every one of this machine. Errors:
  // 08006.
  Status Listen(const std::string& host, uint16_t port, Callbacks callbacks);
  uint16_t port() const { return port_; }
  // Null: no TLS. For handshakes that begin after this.
  void SetTls(std::shared_ptr<const FrameTls> tls) { tls_ = std::move(tls); }

  // The dialer's end of a connection that is made: `done` is called once, unless the Door ends
  // before. Errors: 08006.
  void Dial(UniqueFd fd, const std::string& peer_name, int64_t deadline_ns, Done done);

  // The owner polls these and calls Step() afterwards, no later than next_deadline().
  void AppendPollFds(std::vector<pollfd>& fds) const;
  void Step();
  int64_t next_deadline() const;
  // Nobody comes in any more.
  void Close();

 private:
  struct Opening {
    UniqueFd fd;
    SslPtr ssl;
    std::string address;  // who came in; empty: we dialed
    int64_t deadline_ns = 0;
    short wants = POLLIN;
    bool decided = false;       // a stream
    std::string_view expected;  // of the preamble: still to be read, or to be written
    Done done;
  };
  enum class Progress { kWaits, kOpened, kOther, kFailed };

  Status ListenOn(const struct addrinfo& address);
  void Accept(int listener);
  void Admit(UniqueFd fd, std::string address);
  Progress Advance(Opening& opening, std::string& why);
  Progress Decide(Opening& opening, std::string& why);
  static Progress WritePreamble(Opening& opening, std::string& why);
  static Progress Handshake(Opening& opening, std::string& why);
  void Finish(Opening opening, Progress progress, const std::string& why);

  Callbacks callbacks_;
  std::shared_ptr<const FrameTls> tls_;
  std::vector<UniqueFd> listeners_;
  uint16_t port_ = 0;
  int64_t accept_after_ns_ = 0;  // no descriptors were left
  std::list<Opening> openings_;
  bool fresh_ = false;  // one of them has not begun
};

}  // namespace pgquorum::transport
