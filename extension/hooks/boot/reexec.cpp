#include "extension/pg/pg.h"

extern "C" {
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/guc.h"
}

#include <fcntl.h>
#include <sys/time.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <vector>

#include "extension/hooks/boot/reexec.h"
#include "extension/identity/files.h"
#include "extension/identity/identity.h"

namespace pgquorum::boot {

namespace {

// Plain memory or leaked on purpose: used while the process exits.
std::vector<std::string>* g_command_line = nullptr;
std::string* g_demote_file = nullptr;
int g_stdout = -1;
int g_stderr = -1;
uint64_t g_boot_id = 0;

std::vector<std::string> ReadCommandLine() {
  std::vector<std::string> arguments;
  Result<std::string> text = identity::ReadFile("/proc/self/cmdline");
  if (text.ok()) {
    const std::string& all = text.value();
    for (std::size_t at = 0; at < all.size();) {
      std::string argument = all.c_str() + at;
      at += argument.size() + 1;
      arguments.push_back(std::move(argument));
    }
  }
  return arguments;
}

// The server has changed its working directory, so relative paths of the command line do not hold
// any more: the last -D and config_file win, and they are absolute.
void AppendOnce(std::vector<std::string>& arguments, const std::string& option,
                const std::string& value) {
  for (std::size_t i = 1; i < arguments.size(); ++i) {
    if (arguments[i - 1] == option && arguments[i] == value) {
      return;
    }
  }
  arguments.push_back(option);
  arguments.push_back(value);
}

void ResetSignals() {
  // A pending signal (a child's end, above all) must not reach a handler of ours once it is
  // unblocked: discard it by ignoring first, then restore the default.
  for (int signal = 1; signal < NSIG; ++signal) {
    std::signal(signal, SIG_IGN);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int signal = 1; signal < NSIG; ++signal) {
    std::signal(signal, SIG_DFL);
  }
}

// Interval timers survive exec.
void StopTimers() {
  itimerval off = {};
  setitimer(ITIMER_REAL, &off, nullptr);
}

bool OrderIsForUs() {
  Result<identity::DemoteOrder> order = identity::Load<identity::DemoteOrder>(*g_demote_file);
  return order.ok() && order.value().postmaster_pid == static_cast<uint64_t>(getpid()) &&
         order.value().boot_id == g_boot_id && g_boot_id != 0;
}

void OnExit(int, Datum) {
  if (getpid() != PostmasterPid || g_demote_file == nullptr || !OrderIsForUs()) {
    return;
  }
  // Obeyed once: should the new program fail early, its supervisor decides.
  if (Status removed = identity::RemoveFileDurably(*g_demote_file); !removed.ok()) {
    write_stderr("pgquorum: %s\n", removed.message().c_str());
  }
  write_stderr("pgquorum: restarting in place as a standby\n");
  std::string error = Reexec();
  write_stderr("pgquorum: could not restart in place: %s\n", error.c_str());
}

}  // namespace

void PrepareReexec() {
  g_command_line = new std::vector<std::string>(ReadCommandLine());
  g_stdout = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
  g_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
}

bool OnlyPrintsASetting() {
  for (const std::string& argument : *g_command_line) {
    if (argument == "-C") {
      return true;
    }
  }
  return false;
}

std::string Reexec() {
  if (g_command_line == nullptr || g_command_line->empty()) {
    return "the command line is not known";
  }
  AppendOnce(*g_command_line, "-D", DataDir);
  if (std::string(DataDir) + "/postgresql.conf" != ConfigFileName) {
    AppendOnce(*g_command_line, "-c", std::string("config_file=") + ConfigFileName);
  }
  std::vector<char*> arguments;
  for (std::string& argument : *g_command_line) {
    arguments.push_back(argument.data());
  }
  arguments.push_back(nullptr);
  StopTimers();
  ResetSignals();
  if (g_stdout >= 0) {
    dup2(g_stdout, STDOUT_FILENO);
  }
  if (g_stderr >= 0) {
    dup2(g_stderr, STDERR_FILENO);
  }
  close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
  execv(my_exec_path, arguments.data());
  return strerror(errno);
}

void ArmDemotion(const std::string& state_directory) {
  g_demote_file = new std::string(state_directory + "/" + identity::kDemoteFile);
  on_proc_exit(OnExit, 0);
}

void SetDemotionBoot(uint64_t boot_id) {
  g_boot_id = boot_id;
}

}  // namespace pgquorum::boot
