// ListenerProbe of postgres_control.h.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

#include "bgworkers/consensus/postgres_control.h"
#include "extension/identity/files.h"

#include "extension/pg/pg.h"

extern "C" {
#include "libpq/pqcomm.h"
#include "miscadmin.h"
#include "postmaster/postmaster.h"
}

namespace pgquorum::consensus {

namespace {

struct Address {
  sockaddr_storage storage{};
  socklen_t length = 0;
};

std::string FirstOf(const char* list) {
  std::string text = list == nullptr ? "" : list;
  text = text.substr(0, text.find(','));
  const std::size_t first = text.find_first_not_of(" \t\"");
  const std::size_t last = text.find_last_not_of(" \t\"");
  return first == std::string::npos ? "" : text.substr(first, last - first + 1);
}

Address UnixAddress(const std::string& directory) {
  Address address;
  sockaddr_un un{};
  un.sun_family = AF_UNIX;
  const std::string path = directory + "/.s.PGSQL." + std::to_string(PostPortNumber);
  if (path.size() >= sizeof un.sun_path) {
    return address;
  }
  std::memcpy(un.sun_path, path.c_str(), path.size() + 1);
  if (un.sun_path[0] == '@') {
    un.sun_path[0] = '\0';  // Linux' abstract namespace: the length counts, not a terminator
  }
  std::memcpy(&address.storage, &un, sizeof un);
  address.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() +
                                          (un.sun_path[0] == '\0' ? 0 : 1));
  return address;
}

Address TcpAddress(const std::string& listen) {
  Address address;
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(static_cast<uint16_t>(PostPortNumber));
  v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  sockaddr_in6 v6{};
  if (inet_pton(AF_INET6, listen.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = v4.sin_port;
    std::memcpy(&address.storage, &v6, sizeof v6);
    address.length = sizeof v6;
    return address;
  }
  // A name is not resolved here (it could block): the loopback address stands for "*", "localhost".
  if (listen != "0.0.0.0") {
    in_addr given{};
    if (inet_pton(AF_INET, listen.c_str(), &given) == 1) {
      v4.sin_addr = given;
    }
  }
  std::memcpy(&address.storage, &v4, sizeof v4);
  address.length = sizeof v4;
  return address;
}

Address OwnAddress() {
  const std::string directory = FirstOf(Unix_socket_directories);
  if (!directory.empty()) {
    const Address address = UnixAddress(directory);
    if (address.length != 0) {
      return address;
    }
  }
  return TcpAddress(FirstOf(ListenAddresses));
}

}  // namespace

ListenerProbe::~ListenerProbe() {
  Close();
}

void ListenerProbe::Close() {
  if (fd_ >= 0) {
    close(fd_);
    fd_ = -1;
  }
}

ListenerProbe::Result ListenerProbe::Finish(Result result, std::string error) {
  Close();
  result_ = result;
  error_ = std::move(error);
  return result_;
}

void ListenerProbe::Start(int64_t now_ns) {
  Close();
  started_at_ = now_ns;
  sent_ = false;
  connected_ = false;
  error_.clear();
  result_ = Result::kPending;
}

bool ListenerProbe::Connect() {
  const Address address = OwnAddress();
  if (fd_ < 0) {
    fd_ = socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd_ < 0) {
      Finish(Result::kDead, "socket: " + identity::ErrnoText(errno));
      return false;
    }
  }
  if (connect(fd_, reinterpret_cast<const sockaddr*>(&address.storage), address.length) == 0 ||
      errno == EISCONN) {
    connected_ = true;
    return true;
  }
  // EAGAIN: the backlog of a Unix socket is full, which a busy postmaster soon empties.
  if (errno != EINPROGRESS && errno != EALREADY && errno != EAGAIN && errno != EINTR) {
    Finish(Result::kDead, "connect: " + identity::ErrnoText(errno));
  }
  return false;
}

ListenerProbe::Result ListenerProbe::Poll(int64_t now_ns, int64_t timeout_ns) {
  if (result_ != Result::kPending) {
    return result_;
  }
  if (now_ns - started_at_ >= timeout_ns) {
    return Finish(Result::kDead, connected_ ? "no answer in time" : "no connection in time");
  }
  if (!connected_ && !Connect()) {
    return result_;
  }
  if (!sent_) {
    const uint32_t request[2] = {htonl(8), htonl(NEGOTIATE_SSL_CODE)};
    if (send(fd_, request, sizeof request, MSG_NOSIGNAL) != sizeof request) {
      return Finish(Result::kDead, "send: " + identity::ErrnoText(errno));
    }
    sent_ = true;
  }
  char answer = 0;
  const ssize_t n = recv(fd_, &answer, 1, MSG_DONTWAIT);
  if (n == 1) {
    // 'S' or 'N'; an 'E'rror ("too many clients", "starting up") is an answer of a live postmaster
    // too.
    return Finish(Result::kAlive, "");
  }
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
    return result_;
  }
  return Finish(Result::kDead,
                n == 0 ? "connection closed" : "recv: " + identity::ErrnoText(errno));
}

}  // namespace pgquorum::consensus
