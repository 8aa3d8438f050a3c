#include "extension/cli/process.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <system_error>

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "extension/cli/console.h"

namespace pgquorum::cli {
namespace {

Result<Account> Lookup(const passwd* entry, const std::string& who) {
  if (entry == nullptr) {
    return SystemError("there is no account " + who)
        .WithHint(
            "Servers do not run as root. Create the account, or run pgquorum as the account "
            "that shall run the server.");
  }
  return Account{entry->pw_uid, entry->pw_gid, entry->pw_name, entry->pw_dir};
}

struct Pipe {
  int read = -1;
  int write = -1;
  ~Pipe() { Close(); }
  bool Open() {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) {
      return false;
    }
    read = ends[0];
    write = ends[1];
    return true;
  }
  void CloseEnd(int& end) {
    if (end >= 0) {
      close(end);
      end = -1;
    }
  }
  void Close() {
    CloseEnd(read);
    CloseEnd(write);
  }
};

bool ChangeTo(const Account& account) {
  return initgroups(account.name.c_str(), account.gid) == 0 && setgid(account.gid) == 0 &&
         setuid(account.uid) == 0 && setenv("HOME", account.home.c_str(), 1) == 0 &&
         setenv("USER", account.name.c_str(), 1) == 0 &&
         setenv("LOGNAME", account.name.c_str(), 1) == 0;
}

[[noreturn]] void ExecChild(const Command& command, int in, int out, int err) {
  std::vector<char*> argv;
  for (const std::string& word : command.argv) {
    argv.push_back(const_cast<char*>(word.c_str()));
  }
  argv.push_back(nullptr);
  if (PrepareChild(command) && dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0 &&
      dup2(err, STDERR_FILENO) >= 0) {
    execv(argv[0], argv.data());
  }
  dprintf(err, "could not run %s: %s\n", argv[0], std::strerror(errno));
  _exit(127);
}

// Feeds the input and collects both outputs until the child has closed them.
void Exchange(std::string_view input, Pipe& in, Pipe& out, Pipe& err, Outcome& outcome) {
  std::array<pollfd, 3> fds{};
  while (out.read >= 0 || err.read >= 0) {
    if (input.empty()) {
      in.CloseEnd(in.write);
    }
    fds = {pollfd{out.read, POLLIN, 0}, pollfd{err.read, POLLIN, 0}, pollfd{in.write, POLLOUT, 0}};
    if (poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR) {
      return;
    }
    for (std::size_t i = 0; i < 2; ++i) {
      if (fds[i].fd < 0 || fds[i].revents == 0) {
        continue;
      }
      std::array<char, 8192> buffer{};
      const ssize_t n = read(fds[i].fd, buffer.data(), buffer.size());
      if (n > 0) {
        (i == 0 ? outcome.out : outcome.err).append(buffer.data(), static_cast<std::size_t>(n));
      } else if (n == 0 || errno != EINTR) {
        Pipe& ended = i == 0 ? out : err;
        ended.CloseEnd(ended.read);
      }
    }
    if (fds[2].fd >= 0 && fds[2].revents != 0) {
      const ssize_t n = write(in.write, input.data(), input.size());
      input.remove_prefix(n > 0 ? static_cast<std::size_t>(n) : input.size());
    }
  }
}

}  // namespace

Result<Account> ServerAccount(const fs::path& existing) {
  if (geteuid() != 0) {
    return Lookup(getpwuid(geteuid()), "with user id " + std::to_string(geteuid()));
  }
  struct stat info {};
  if (stat(existing.c_str(), &info) == 0 && info.st_uid != 0) {
    return Lookup(getpwuid(info.st_uid), "with user id " + std::to_string(info.st_uid));
  }
  return Lookup(getpwnam("postgres"), "\"postgres\"");
}

Status BecomeAccount(const Account& account) {
  if (geteuid() != 0) {
    return Status::Ok();
  }
  if (!ChangeTo(account)) {
    return SystemErrorErrno("could not become account " + account.name);
  }
  // The caller's directory may be closed to the account, and programs like initdb look at it.
  if (access(".", X_OK) != 0 && chdir("/") != 0) {
    return SystemErrorErrno("could not change to the root directory");
  }
  return Status::Ok();
}

bool PrepareChild(const Command& command) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  if (!command.network_namespace.empty()) {
    const std::string path = "/run/netns/" + command.network_namespace;
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET) != 0) {
      return false;
    }
  }
  for (const auto& [name, value] : command.environment) {
    setenv(name.c_str(), value.c_str(), 1);
  }
  if (command.account && geteuid() == 0) {
    return ChangeTo(*command.account) && (access(".", X_OK) == 0 || chdir("/") == 0);
  }
  return true;
}

Result<Outcome> Run(const Command& command) {
  Pipe in;
  Pipe out;
  Pipe err;
  if (!in.Open() || !out.Open() || !err.Open()) {
    return SystemErrorErrno("could not create a pipe");
  }
  // A child that ends without reading all its input must not end us.
  signal(SIGPIPE, SIG_IGN);
  const pid_t pid = fork();
  if (pid < 0) {
    return SystemErrorErrno("could not start " + command.argv[0]);
  }
  if (pid == 0) {
    ExecChild(command, in.read, command.show_output ? STDERR_FILENO : out.write,
              command.show_output ? STDERR_FILENO : err.write);
  }
  in.CloseEnd(in.read);
  out.CloseEnd(out.write);
  err.CloseEnd(err.write);
  Outcome outcome;
  Exchange(command.input, in, out, err, outcome);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return outcome;
}

Result<Outcome> RunOrFail(const Command& command, const std::string& what) {
  Result<Outcome> outcome = Run(command);
  if (!outcome.ok() || outcome.value().ok()) {
    return outcome;
  }
  Status failed = SystemError("could not " + what);
  const std::string& said = outcome.value().err.empty() ? outcome.value().out : outcome.value().err;
  if (command.show_output) {
    return failed;
  }
  return std::move(failed).WithDetail(
      fs::path(command.argv[0]).filename().string() + " ended with exit code " +
      std::to_string(outcome.value().exit_code) + ": " + OneLine(said));
}

fs::path OwnProgram() {
  std::error_code error;
  return fs::read_symlink("/proc/self/exe", error);
}

}  // namespace pgquorum::cli
