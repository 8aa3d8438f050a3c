#include "extension/hooks/boot/program.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>

namespace pgquorum::boot {

namespace {

constexpr std::size_t kMaxOutput = 16 * 1024;

// In the child, between fork and exec: only async-signal-safe calls.
[[noreturn]] void BecomeProgram(char* const* argv, char* const* environment, int output,
                                pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) {
    _exit(126);  // the postmaster died before the request took effect
  }
  for (int signal = 1; signal < NSIG; ++signal) {
    std::signal(signal, SIG_DFL);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  int null = open("/dev/null", O_RDONLY);
  dup2(null, 0);
  dup2(output, 1);
  dup2(output, 2);
  close_range(3, ~0U, 0);
  execve(argv[0], argv, environment);
  _exit(127);
}

std::vector<std::string> ProgramEnvironment() {
  std::vector<std::string> result;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    // libpq settings of the service's environment must not redirect the program.
    bool of_libpq = std::strncmp(*entry, "PG", 2) == 0;
    if (!of_libpq && std::strncmp(*entry, "LC_ALL=", 7) != 0) {
      result.emplace_back(*entry);
    }
  }
  result.emplace_back("LC_ALL=C");
  return result;
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) {
    pointers.push_back(text.data());
  }
  pointers.push_back(nullptr);
  return pointers;
}

bool ShutdownRequested() {
  sigset_t pending;
  sigpending(&pending);
  return sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1 ||
         sigismember(&pending, SIGQUIT) == 1;
}

class LineSplitter {
 public:
  explicit LineSplitter(const OnLine& on_line) : on_line_(on_line) {}
  void Add(const char* data, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i) {
      if (data[i] == '\n' || data[i] == '\r') {
        Flush();
      } else if (line_.size() < 1000) {
        line_ += data[i];
      }
    }
  }
  void Flush() {
    if (!line_.empty() && on_line_ != nullptr) {
      on_line_(line_.c_str());
    }
    line_.clear();
  }

 private:
  const OnLine& on_line_;
  std::string line_;
};

void Collect(int fd, pid_t child, const OnLine& on_line, ProgramResult& result) {
  LineSplitter lines(on_line);
  char buffer[4096];
  for (;;) {
    pollfd wait{fd, POLLIN, 0};
    poll(&wait, 1, 100);
    if (!result.stopped && ShutdownRequested()) {
      result.stopped = true;
      kill(child, SIGTERM);
    }
    if (wait.revents == 0) {
      continue;
    }
    ssize_t got = read(fd, buffer, sizeof(buffer));
    if (got <= 0) {
      break;
    }
    lines.Add(buffer, static_cast<std::size_t>(got));
    result.output.append(buffer, static_cast<std::size_t>(got));
    if (result.output.size() > kMaxOutput) {
      result.output.erase(0, result.output.size() - kMaxOutput);
    }
  }
  lines.Flush();
}

}  // namespace

ProgramResult RunProgram(const std::vector<std::string>& argv, const OnLine& on_line) {
  ProgramResult result;
  std::vector<std::string> arguments = argv;
  std::vector<std::string> environment = ProgramEnvironment();
  std::vector<char*> argument_pointers = Pointers(arguments);
  std::vector<char*> environment_pointers = Pointers(environment);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    result.ending = std::string("could not create pipe: ") + std::strerror(errno);
    return result;
  }
  pid_t parent = getpid();
  pid_t child = fork();
  if (child == 0) {
    BecomeProgram(argument_pointers.data(), environment_pointers.data(), ends[1], parent);
  }
  close(ends[1]);
  if (child < 0) {
    result.ending = std::string("could not fork: ") + std::strerror(errno);
    close(ends[0]);
    return result;
  }
  Collect(ends[0], child, on_line, result);
  close(ends[0]);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status)) {
    result.success = WEXITSTATUS(status) == 0;
    result.ending = "exit status " + std::to_string(WEXITSTATUS(status));
  } else {
    result.ending = "signal " + std::to_string(WTERMSIG(status));
  }
  return result;
}

}  // namespace pgquorum::boot

#include "base/pure.h"
