// pgquorum sandbox status: the processes of each node beside what the cluster says about it.
#include <cstdio>
#include <map>

#include <nlohmann/json.hpp>

#include "extension/cli/console.h"
#include "extension/cli/process_tree.h"
#include "extension/cli/sandbox.h"
#include "extension/cli/sql.h"

namespace pgquorum::cli {
namespace {

using Json = nlohmann::ordered_json;

struct View {
  std::string processes;  // running, paused, restarting, stopped
  pid_t server = 0;
  std::string role = "unknown";
  std::string status = "unknown";
};

View LookAt(const Sandbox& sandbox, const SandboxNode& node) {
  View view;
  const pid_t keeper = FindKeeper(sandbox, node);
  const auto server = FindRunningServer(sandbox.Data(node));
  if (keeper == 0) {
    view.processes = "stopped";
  } else if (!server) {
    view.processes = "restarting";
  } else {
    view.server = server->pid;
    view.processes = ProcessState(server->pid) == 'T' ? "paused" : "running";
  }
  return view;
}

// Asks the nodes in turn until one knows about the cluster.
void AskCluster(const Sandbox& sandbox, std::map<std::string, View>& views) {
  for (const SandboxNode& node : sandbox.nodes) {
    if (views[node.id].processes != "running") {
      continue;
    }
    Result<Connection> connection =
        Connection::Open(sandbox.NodeConninfo(node) + " connect_timeout=2");
    if (!connection.ok()) {
      continue;
    }
    const Result<Rows> rows =
        connection.value().Query("SELECT node_id, role, status FROM system.cluster_health");
    if (!rows.ok()) {
      continue;
    }
    for (const auto& row : rows.value().values) {
      if (const auto view = views.find(row[0].value_or("")); view != views.end()) {
        view->second.role = row[1].value_or("unknown");
        view->second.status = row[2].value_or("unknown");
      }
    }
    return;
  }
}

void PrintJson(const Sandbox& sandbox, std::map<std::string, View>& views, bool healthy) {
  Json document = {{"healthy", healthy}, {"url", sandbox.Url()}, {"nodes", Json::array()}};
  for (const SandboxNode& node : sandbox.nodes) {
    const View& view = views[node.id];
    document["nodes"].push_back({{"node_id", node.id},
                                 {"host", node.host},
                                 {"port", node.port},
                                 {"raft_port", node.raft_port},
                                 {"processes", view.processes},
                                 {"postmaster_pid", view.server},
                                 {"role", view.role},
                                 {"status", view.status},
                                 {"data", sandbox.Data(node).string()},
                                 {"log", sandbox.Log(node).string()}});
  }
  std::printf("%s\n", document.dump(2).c_str());
}

}  // namespace

Status SandboxStatus(const SandboxStatusOptions& options, bool* healthy) {
  const Result<Sandbox> loaded = Sandbox::Load(options.dir);
  if (!loaded.ok()) {
    return loaded.status();
  }
  const Sandbox& sandbox = loaded.value();
  std::map<std::string, View> views;
  for (const SandboxNode& node : sandbox.nodes) {
    views[node.id] = LookAt(sandbox, node);
  }
  AskCluster(sandbox, views);
  *healthy = true;
  for (const auto& [id, view] : views) {
    *healthy = *healthy && view.processes == "running" && view.status == "healthy";
  }
  if (options.json) {
    PrintJson(sandbox, views, *healthy);
    return Status::Ok();
  }
  std::vector<std::vector<Cell>> rows;
  for (const SandboxNode& node : sandbox.nodes) {
    const View& view = views[node.id];
    rows.push_back({{node.id},
                    {node.host + ":" + std::to_string(node.port)},
                    {view.processes, view.processes == "running" ? Tone::kGood : Tone::kBad},
                    {view.server == 0 ? "-" : std::to_string(view.server)},
                    {view.role},
                    {view.status, view.status == "healthy" ? Tone::kGood : Tone::kBad}});
  }
  PrintTable({"node_id", "address", "processes", "postmaster", "role", "status"}, rows);
  std::printf("\n%s\n", sandbox.Url().c_str());
  return Status::Ok();
}

}  // namespace pgquorum::cli
