#include "raftlog/bench/peer_program.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <sstream>

#include "base/check.h"

#include "base/pure.h"

namespace pgquorum::raft::bench {

std::optional<std::map<int, Measured>> MeasureEtcd(const std::string& program,
                                                   const std::string& etcd,
                                                   const std::string& directory, double seconds,
                                                   std::size_t payload) {
  std::array<int, 2> ends{};
  PGQUORUM_CHECK(::pipe(ends.data()) == 0);
  std::string seconds_text = std::to_string(seconds);
  std::string payload_text = std::to_string(payload);
  pid_t child = ::fork();
  PGQUORUM_CHECK(child >= 0);
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    ::dup2(ends[1], 1);
    ::close(ends[0]);
    ::close(ends[1]);
    ::execl(program.c_str(), program.c_str(), etcd.c_str(), directory.c_str(), seconds_text.c_str(),
            payload_text.c_str(), "1", "64", nullptr);
    ::_exit(127);
  }
  ::close(ends[1]);
  std::string output;
  std::array<char, 4096> buffer;
  for (ssize_t n; (n = ::read(ends[0], buffer.data(), buffer.size())) > 0;) {
    output.append(buffer.data(), static_cast<std::size_t>(n));
  }
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    return std::nullopt;
  }
  std::map<int, Measured> measured;
  std::istringstream lines(output);
  int clients = 0;
  Measured m;
  while (lines >> clients >> m.rate >> m.p50_us >> m.p99_us) {
    measured[clients] = m;
  }
  return measured.size() == 2 ? std::optional(measured) : std::nullopt;
}

}  // namespace pgquorum::raft::bench
