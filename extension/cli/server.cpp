#include "extension/cli/server.h"

#include <charconv>
#include <csignal>
#include <cstdlib>
#include <sstream>
#include <string_view>
#include <system_error>

#include <unistd.h>

#include "extension/cli/console.h"
#include "extension/identity/files.h"

namespace pgquorum::cli {
namespace {

// What the programs print is read below, so it must not be translated.
const std::pair<std::string, std::string> kPlainLanguage = {"LC_ALL", "C"};

std::string FirstLine(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

bool HasServer(const fs::path& bindir) {
  return access((bindir / "postgres").c_str(), X_OK) == 0;
}

std::optional<uint64_t> Number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(value)
                                                                  : std::nullopt;
}

// The value behind "Label:   value" in pg_controldata's output.
std::string ControlValue(const std::string& text, const std::string& label) {
  const std::size_t at = text.find("\n" + label + ":");
  const std::size_t begin =
      at == std::string::npos ? at : text.find_first_not_of(' ', at + label.size() + 2);
  return begin == std::string::npos ? "" : text.substr(begin, text.find('\n', begin) - begin);
}

// data_directory of a postgresql.conf, when a plain line sets it (Debian's always does).
fs::path DataDirectoryOf(const fs::path& file) {
  const Result<std::string> text = identity::ReadFile(file);
  if (!text.ok()) {
    return {};
  }
  std::istringstream lines(text.value());
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("data_directory")) {
      continue;
    }
    const std::size_t open = line.find('\'');
    const std::size_t close = line.find('\'', open + 1);
    if (open != std::string::npos && close != std::string::npos) {
      return Absolute(line.substr(open + 1, close - open - 1));
    }
  }
  return {};
}

}  // namespace

Result<Installation> FindInstallation(const std::string& option) {
  if (!option.empty()) {
    Installation chosen{Absolute(option)};
    if (!HasServer(chosen.bindir)) {
      return InvalidArgument("there is no PostgreSQL server program in " + chosen.bindir.string())
          .WithHint("--bindir names the directory of postgres, initdb and pg_ctl.");
    }
    return chosen;
  }
  const fs::path beside = OwnProgram().parent_path();
  if (HasServer(beside)) {
    return Installation{beside};
  }
  Command query;
  query.argv = {"/bin/sh", "-c", "exec pg_config --bindir"};
  const Result<Outcome> answer = Run(query);
  if (answer.ok() && answer.value().ok() && HasServer(FirstLine(answer.value().out))) {
    return Installation{FirstLine(answer.value().out)};
  }
  const fs::path debian = "/usr/lib/postgresql/15/bin";
  if (HasServer(debian)) {
    return Installation{debian};
  }
  return SystemError("found no PostgreSQL server on this machine")
      .WithHint("Give the directory of its programs with --bindir.");
}

Result<ServerDirectory> FindServerDirectory(const fs::path& data) {
  if (!Exists(data / "PG_VERSION")) {
    return InvalidArgument(data.string() + " is not a PostgreSQL data directory")
        .WithDetail("It has no file PG_VERSION.");
  }
  // Debian first: what a base backup brought along is not what its tools use.
  std::error_code error;
  for (const auto& version : fs::directory_iterator("/etc/postgresql", error)) {
    std::error_code inner;
    for (const auto& cluster : fs::directory_iterator(version.path(), inner)) {
      if (DataDirectoryOf(cluster.path() / "postgresql.conf") == data) {
        return ServerDirectory{data, cluster.path()};
      }
    }
  }
  if (Exists(data / "postgresql.conf")) {
    return ServerDirectory{data, data};
  }
  return InvalidArgument("found no postgresql.conf for data directory " + data.string())
      .WithDetail("It is neither in the data directory nor below /etc/postgresql.");
}

Result<ServerDirectory> OpenAsOwner(const fs::path& data) {
  Result<ServerDirectory> directory = FindServerDirectory(data);
  if (!directory.ok()) {
    return directory;
  }
  const Result<Account> account = ServerAccount(data);
  if (!account.ok()) {
    return account.status();
  }
  if (Status s = BecomeAccount(account.value()); !s.ok()) {
    return s;
  }
  return directory;
}

Result<std::string> ConfiguredValue(const Installation& installation,
                                    const ServerDirectory& directory, const std::string& name) {
  Command command;
  command.argv = {installation.Program("postgres"), "-D", directory.config.string(), "-C", name};
  command.environment = {kPlainLanguage};
  Result<Outcome> outcome =
      RunOrFail(command, "read the configuration of " + directory.data.string());
  if (!outcome.ok()) {
    return outcome.status();
  }
  return FirstLine(outcome.value().out);
}

Result<ControlData> ReadControlData(const Installation& installation, const fs::path& data) {
  Command command;
  command.argv = {installation.Program("pg_controldata"), data.string()};
  command.environment = {kPlainLanguage};
  Result<Outcome> outcome = RunOrFail(command, "read the control file of " + data.string());
  if (!outcome.ok()) {
    return outcome.status();
  }
  const std::string text = "\n" + outcome.value().out;
  ControlData control;
  control.state = ControlValue(text, "Database cluster state");
  const auto identifier = Number(ControlValue(text, "Database system identifier"));
  if (!identifier || control.state.empty()) {
    return SystemError("could not understand the control file of " + data.string());
  }
  control.system_identifier = *identifier;
  control.checksums = ControlValue(text, "Data page checksum version") != "0";
  return control;
}

bool ProcessLives(pid_t pid) {
  if (pid <= 0 || (kill(pid, 0) != 0 && errno == ESRCH)) {
    return false;
  }
  const Result<std::string> stat = identity::ReadFile("/proc/" + std::to_string(pid) + "/stat");
  if (!stat.ok()) {
    return false;
  }
  // The state follows the program's name, which is in parentheses and may hold any character.
  const std::size_t name_end = stat.value().rfind(')');
  return name_end != std::string::npos && stat.value().substr(name_end + 2, 1) != "Z";
}

std::optional<RunningServer> FindRunningServer(const fs::path& data) {
  const Result<std::string> text = identity::ReadFile(data / "postmaster.pid");
  if (!text.ok()) {
    return std::nullopt;
  }
  // Line by line: pid, data directory, start time, port, socket directory, first address, …
  std::vector<std::string> lines;
  std::istringstream in(text.value());
  for (std::string line; std::getline(in, line);) {
    lines.push_back(line);
  }
  lines.resize(6);
  RunningServer server;
  server.pid = static_cast<pid_t>(Number(lines[0]).value_or(0));
  server.port = static_cast<uint16_t>(Number(lines[3]).value_or(0));
  server.socket_directory = lines[4];
  server.listen_host = lines[5];
  if (!ProcessLives(server.pid)) {
    return std::nullopt;
  }
  return server;
}

Status RunSingleUser(const Installation& installation, const ServerDirectory& directory,
                     const std::string& database, const std::vector<std::string>& statements) {
  Command command;
  command.argv = {installation.Program("postgres"), "--single", "-D", directory.config.string(),
                  // In plain words on standard error, wherever the server usually writes its log.
                  "-c", "log_destination=stderr", "-c", "logging_collector=off", "-c",
                  "log_min_messages=error", "-c", "log_error_verbosity=default", database};
  command.environment = {kPlainLanguage};
  for (const std::string& statement : statements) {
    command.input += statement + "\n";
  }
  const Result<Outcome> outcome = RunOrFail(command, "run SQL in single-user mode");
  if (!outcome.ok()) {
    return outcome.status();
  }
  const std::string& said = outcome.value().err;
  for (const char* level : {"ERROR:  ", "FATAL:  ", "PANIC:  "}) {
    if (const std::size_t at = said.find(level); at != std::string::npos) {
      return SystemError("SQL in single-user mode failed in database " + database)
          .WithDetail(OneLine(said.substr(at)));
    }
  }
  return Status::Ok();
}

}  // namespace pgquorum::cli
