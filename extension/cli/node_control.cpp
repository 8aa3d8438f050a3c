// pgquorum node start | stop: pg_ctl with the node's places filled in.
#include <algorithm>
#include <optional>
#include <vector>

#include <unistd.h>

#include "extension/cli/commands.h"
#include "extension/cli/console.h"
#include "extension/cli/server.h"
#include "extension/hooks/boot/member.h"
#include "extension/identity/files.h"
#include "extension/identity/identity.h"

namespace pgquorum::cli {
namespace {

// Where the server's output goes when its own logging does not take it: it must be outside of the
// data directory, which a re-clone replaces.
fs::path LogFile(const ServerDirectory& directory) {
  const auto marker = identity::Load<identity::Marker>(directory.data / identity::kMarkerFile);
  const fs::path state = marker.ok()
                             ? fs::path(marker.value().state_directory)
                             : fs::path(identity::StateDirectory("", directory.data.string()));
  return Exists(state) ? state / "server.log" : fs::path(directory.data.string() + ".log");
}

std::string LastLines(const fs::path& file, std::size_t count) {
  const Result<std::string> text = identity::ReadFile(file, std::size_t{64} << 20);
  if (!text.ok()) {
    return "";
  }
  std::size_t at = text.value().size();
  for (std::size_t i = 0; i <= count && at != std::string::npos && at > 0; ++i) {
    at = text.value().rfind('\n', at - 1);
  }
  return text.value().substr(at == std::string::npos || at == 0 ? 0 : at + 1);
}

struct Node {
  Installation installation;
  ServerDirectory directory;
};

// Opens the data directory and becomes its owner.
Result<Node> OpenNode(const NodeOptions& options) {
  const Result<Installation> installation = FindInstallation(options.bindir);
  if (!installation.ok()) {
    return installation.status();
  }
  const Result<ServerDirectory> directory = OpenAsOwner(Absolute(options.data));
  if (!directory.ok()) {
    return directory.status();
  }
  return Node{installation.value(), directory.value()};
}

// A server killed in the middle of a rewind leaves another node's configuration, or none, and a
// directory that no server opens. With its own configuration it loads pgquorum, which goes on with
// the repair.
Status PutConfigurationBack(const Node& node, const std::string& state_setting) {
  const std::string data = node.directory.data.string();
  const std::string setting = state_setting.empty() ? "" : Absolute(state_setting).string();
  const std::optional<std::string> state = boot::FindUnfinishedRepair(data, setting);
  if (!state) {
    return Status::Ok();
  }
  Say("the last repair of " + data + " is unfinished: putting this node's configuration back");
  return boot::RestoreNodeFiles(data, *state);
}

Command PgCtl(const Node& node, const std::string& verb, int timeout_s) {
  Command command;
  command.argv = {node.installation.Program("pg_ctl"), verb, "-D",
                  node.directory.config.string(),      "-w", "-t",
                  std::to_string(timeout_s),           "-s"};
  return command;
}

}  // namespace

Status NodeStart(const StartOptions& options) {
  const Result<Node> node = OpenNode(options);
  if (!node.ok()) {
    return node.status();
  }
  if (const auto running = FindRunningServer(node.value().directory.data)) {
    return WrongState("the server of " + node.value().directory.data.string() +
                      " runs already (process " + std::to_string(running->pid) + ")");
  }
  if (Status s = PutConfigurationBack(node.value(), options.state_directory); !s.ok()) {
    return s;
  }
  const fs::path log =
      options.log.empty() ? LogFile(node.value().directory) : Absolute(options.log);
  Command command = PgCtl(node.value(), "start", options.timeout_s);
  command.argv.insert(command.argv.end(), {"-l", log.string()});
  // The server inherits the output descriptors: captured ones would never reach their end.
  command.show_output = true;
  const Status started = RunOrFail(command, "start the server").status();
  if (!started.ok()) {
    return Status::Error(started.sqlstate(), started.message())
        .WithDetail("The last lines of " + log.string() + ":\n" + LastLines(log, 8));
  }
  const auto running = FindRunningServer(node.value().directory.data);
  Say("server started" + (running ? ", process " + std::to_string(running->pid) : "") +
      ", log in " + log.string());
  return Status::Ok();
}

Status NodeStop(const StopOptions& options) {
  if (options.mode != "fast" && options.mode != "immediate" && options.mode != "smart") {
    return InvalidArgument("\"" + options.mode + "\" is no way to stop a server")
        .WithHint("--mode is smart, fast or immediate.");
  }
  const Result<Node> node = OpenNode(options);
  if (!node.ok()) {
    return node.status();
  }
  if (!FindRunningServer(node.value().directory.data)) {
    return WrongState("no server runs in " + node.value().directory.data.string());
  }
  Command command = PgCtl(node.value(), "stop", options.timeout_s);
  command.argv.insert(command.argv.end(), {"-m", options.mode});
  if (Status s = RunOrFail(command, "stop the server").status(); !s.ok()) {
    return s;
  }
  Say("server stopped");
  return Status::Ok();
}

}  // namespace pgquorum::cli
