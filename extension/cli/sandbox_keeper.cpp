// The keeper of a sandbox node, and how the sandbox talks to it:
//   SIGUSR1  a server that ends from now on is not restarted (the sandbox is about to stop it)
//   SIGTERM  kill -9 everything below, then end
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <ctime>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "extension/cli/await.h"
#include "extension/cli/console.h"
#include "extension/cli/process_tree.h"
#include "extension/cli/sandbox.h"
#include "extension/identity/files.h"

namespace pgquorum::cli {
namespace {

using std::chrono::milliseconds;

// As quick as a service manager that is told not to wait.
constexpr timespec kRestartDelay = {0, 100'000'000};
constexpr milliseconds kKillDeadline{10'000};
constexpr milliseconds kStartDeadline{5'000};
constexpr milliseconds kPoll{2};

fs::path KeeperFile(const Sandbox& sandbox, const SandboxNode& node) {
  return sandbox.Home(node) / "keeper.lock";
}

// A record lock goes with its process and tells who holds it: no stale pid file can name a
// stranger.
struct flock WholeFile(int type) {
  struct flock lock {};
  lock.l_type = static_cast<decltype(lock.l_type)>(type);
  lock.l_whence = SEEK_SET;
  return lock;
}

sigset_t KeeperSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal_number : {SIGCHLD, SIGUSR1, SIGTERM, SIGINT, SIGHUP}) {
    sigaddset(&set, signal_number);
  }
  return set;
}

pid_t StartServer(const Sandbox& sandbox, const SandboxNode& node) {
  const pid_t pid = fork();
  if (pid != 0) {
    return pid;
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  setsid();  // as under a service manager: the terminal's signals are not the server's
  const int log = open(sandbox.Log(node).c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
  if (log >= 0) {
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
  }
  const std::string program = (sandbox.bindir / "postgres").string();
  const std::string data = sandbox.Data(node).string();
  execl(program.c_str(), program.c_str(), "-D", data.c_str(), static_cast<char*>(nullptr));
  dprintf(STDERR_FILENO, "could not run %s: errno %d\n", program.c_str(), errno);
  _exit(127);
}

// Reaps everybody who has ended; true when `server` is among them. *children: somebody is left.
bool Reap(pid_t server, bool* children) {
  bool server_ended = false;
  *children = true;
  for (;;) {
    const pid_t pid = waitpid(-1, nullptr, WNOHANG);
    if (pid <= 0) {
      *children = pid == 0;
      return server_ended;
    }
    server_ended = server_ended || pid == server;
  }
}

void Keep(const Sandbox& sandbox, const SandboxNode& node) {
  const sigset_t signals = KeeperSignals();
  bool restart = sandbox.supervise;
  pid_t server = StartServer(sandbox, node);
  for (;;) {
    // While a restart is due only its delay is waited for, and a signal can still call it off.
    const bool due = server == 0 && restart;
    const int received =
        due ? sigtimedwait(&signals, nullptr, &kRestartDelay) : sigwaitinfo(&signals, nullptr);
    if (received == SIGUSR1) {
      restart = false;
    } else if (received == SIGTERM || received == SIGINT || received == SIGHUP) {
      restart = false;
      SignalDescendants(getpid(), SIGKILL);
    } else if (received < 0 && errno == EAGAIN && due) {
      server = StartServer(sandbox, node);
    }
    bool children = false;
    if (Reap(server, &children)) {
      server = 0;
    }
    if (server == 0 && !restart && !children) {
      return;
    }
  }
}

}  // namespace

Status SandboxKeep(const std::string& dir, const std::string& node_id) {
  const Result<Sandbox> sandbox = Sandbox::Load(dir);
  if (!sandbox.ok()) {
    return sandbox.status();
  }
  const Result<SandboxNode> node = sandbox.value().Find(node_id);
  if (!node.ok()) {
    return node.status();
  }
  const fs::path file = KeeperFile(sandbox.value(), node.value());
  const int fd = open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) {
    return SystemErrorErrno("could not open " + file.string());
  }
  struct flock lock = WholeFile(F_WRLCK);
  if (fcntl(fd, F_SETLK, &lock) != 0) {
    return WrongState("node " + node_id + " has a keeper already");
  }
  const sigset_t signals = KeeperSignals();
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) {
    return SystemErrorErrno("could not become the reaper of the node's processes");
  }
  Keep(sandbox.value(), node.value());
  return Status::Ok();
}

pid_t FindKeeper(const Sandbox& sandbox, const SandboxNode& node) {
  const int fd = open(KeeperFile(sandbox, node).c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return 0;
  }
  struct flock query = WholeFile(F_RDLCK);
  const bool answered = fcntl(fd, F_GETLK, &query) == 0;
  close(fd);
  return answered && query.l_type != F_UNLCK ? query.l_pid : 0;
}

Status StartKeeper(const Sandbox& sandbox, const SandboxNode& node) {
  if (const pid_t keeper = FindKeeper(sandbox, node); keeper != 0) {
    return WrongState("node " + node.id + " runs already (keeper " + std::to_string(keeper) + ")");
  }
  const Result<Account> account = ServerAccount(sandbox.Home(node));
  if (!account.ok()) {
    return account.status();
  }
  Command command;
  command.network_namespace = node.network_namespace;
  command.account = account.value();
  const fs::path log = sandbox.Home(node) / "keeper.log";
  const std::string program = OwnProgram().string();
  const std::string dir = sandbox.dir.string();
  const pid_t child = fork();
  if (child == 0) {
    // Detached twice over: no terminal, no inherited descriptor, and no parent that must reap it.
    setsid();
    const bool ready = PrepareChild(command);
    const int out = ready ? open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0640) : -1;
    const int in = open("/dev/null", O_RDONLY);
    if (!ready || out < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0 ||
        fork() != 0) {
      _exit(ready && out >= 0 ? 0 : 1);
    }
    close_range(3, ~0U, 0);
    execl(program.c_str(), program.c_str(), "sandbox", "keep", "--dir", dir.c_str(),
          node.id.c_str(), static_cast<char*>(nullptr));
    _exit(127);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
    return SystemError("could not start the keeper of node " + node.id)
        .WithHint(node.network_namespace.empty()
                      ? "See " + log.string() + "."
                      : "Does network namespace " + node.network_namespace + " exist?");
  }
  if (!AwaitUntil(After(kStartDeadline), kPoll, [&] { return FindKeeper(sandbox, node) != 0; })) {
    return SystemError("the keeper of node " + node.id + " did not start")
        .WithHint("See " + log.string() + ".");
  }
  return Status::Ok();
}

Status KillNode(const Sandbox& sandbox, const SandboxNode& node) {
  const pid_t keeper = FindKeeper(sandbox, node);
  if (keeper == 0) {
    return Status::Ok();
  }
  // First ourselves, at once and without the keeper's turn to run; the keeper finds what is left.
  kill(keeper, SIGUSR1);
  SignalDescendants(keeper, SIGKILL);
  if (kill(keeper, SIGTERM) != 0 && errno != ESRCH) {
    return SystemErrorErrno("could not kill node " + node.id);
  }
  return AwaitKeeperEnd(node, keeper);
}

Status AwaitKeeperEnd(const SandboxNode& node, pid_t keeper) {
  if (!AwaitUntil(After(kKillDeadline), kPoll, [&] { return !ProcessLives(keeper); })) {
    return SystemError("the processes of node " + node.id + " did not end");
  }
  return Status::Ok();
}

}  // namespace pgquorum::cli
