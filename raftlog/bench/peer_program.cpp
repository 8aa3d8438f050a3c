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

std::optional<std::map<int, Measured>> MeasureProgram(std::vector<std::string> command,
                                                      const std::vector<int>& clients) {
  std::array<int, 2> ends{};
  PGQUORUM_CHECK(::pipe(ends.data()) == 0);
  std::vector<char*> words;
  for (std::string& word : command) {
    words.push_back(word.data());
  }
  words.push_back(nullptr);
  pid_t child = ::fork();
  PGQUORUM_CHECK(child >= 0);
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    ::dup2(ends[1], 1);
    ::close(ends[0]);
    ::close(ends[1]);
    ::execv(words[0], words.data());
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
  for (std::string line; std::getline(lines, line);) {
    std::istringstream numbers(line);
    int count = 0;
    Measured m;
    if (numbers >> count >> m.rate >> m.p50_us >> m.p99_us) {
      numbers >> m.each.cpu_us >> m.each.switches;
      measured[count] = m;
    }
  }
  for (int count : clients) {
    if (!measured.contains(count)) {
      return std::nullopt;
    }
  }
  return measured;
}

}  // namespace pgquorum::raft::bench
