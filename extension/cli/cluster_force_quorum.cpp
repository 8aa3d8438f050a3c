// pgquorum cluster force-quorum: writes the order to go on without most of the voters. The server
// is stopped; its next start carries the order out (bgworkers/consensus/node_force.cpp).
#include <netdb.h>
#include <poll.h>
#include <pwd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <random>
#include <set>

#include "base/storage/file.h"
#include "bgworkers/transport/client.h"
#include "extension/cli/commands.h"
#include "extension/cli/console.h"
#include "extension/cli/force_plan.h"
#include "extension/cli/rows_json.h"
#include "extension/cli/server.h"
#include "extension/hooks/boot/member.h"
#include "extension/identity/move_order.h"
#include "extension/identity/text_record.h"
#include "raftlog/codec.h"
#include "raftlog/force.h"
#include "raftlog/storage/log_store.h"

namespace pgquorum::cli {
namespace {

constexpr int kConnectMs = 2000;
// As the worker opens it (bgworkers/consensus/node.cpp).
constexpr uint64_t kSegmentBytes = uint64_t{1} << 20;

// A member whose server is stopped, as its files tell.
struct StoppedNode {
  fs::path state;
  identity::NodeIdentity identity;
  identity::Peers members;
  raft::RecoveredState log;
  raft::Configuration present;
  raft::LogPosition last;
};

std::string Requester() {
  const char* sudo = std::getenv("SUDO_USER");
  const passwd* entry = getpwuid(getuid());
  if (sudo != nullptr && *sudo != '\0') {
    return sudo;
  }
  return entry != nullptr ? entry->pw_name : std::to_string(getuid());
}

Status RefuseMarks(const fs::path& data, const fs::path& state) {
  if (const auto running = FindRunningServer(data)) {
    return WrongState("the server of " + data.string() + " runs (process " +
                      std::to_string(running->pid) + ")")
        .WithDetail("A quorum is forced by the start of a server, which nothing else may disturb.")
        .WithHint("Stop it first: pgquorum node stop --data " + data.string());
  }
  if (Exists(state / identity::kMovingFile)) {
    return WrongState("the state directory of this node is being moved")
        .WithHint("Finish that first with pgquorum node move-state.");
  }
  if (std::optional<std::string> why = boot::WhyShutOut(state.string())) {
    return WrongState("this node belongs to the cluster no more").WithDetail(*why);
  }
  const fs::path waiting = state / identity::kForceOrderFile;
  if (Exists(waiting)) {
    return WrongState("an order to force a quorum waits already")
        .WithDetail("It is the file " + waiting.string() + ".")
        .WithHint("Start the server to carry it out, or remove the file to take it back.");
  }
  return Status::Ok();
}

// Holds the log's lock only while it reads.
Status ReadLog(StoppedNode& node) {
  const fs::path directory = node.state / identity::kRaftDirectory;
  if (!Exists(directory)) {
    return WrongState("this node has no Raft log: it was never started");
  }
  FileSystem& files = PosixFileSystem();
  const uint64_t cluster = node.identity.cluster_id;
  auto opened = raft::StateDirectory::Open(
      files, directory.string(), {cluster, raft::NodeId(node.identity.raft_node_id)}, false);
  if (!opened.ok()) {
    return opened.status();
  }
  auto snapshots = raft::SnapshotStore::Open(files, directory.string(), cluster);
  if (!snapshots.ok()) {
    return snapshots.status();
  }
  raft::LogStoreOptions options;
  options.segment_bytes = kSegmentBytes;
  auto log = raft::LogStore::Open(*opened.value(), *snapshots.value(), options);
  if (!log.ok()) {
    return log.status();
  }
  node.log = log.value()->recovered();
  node.present = node.log.snapshot.configuration;
  if (!node.log.config_entries.empty()) {
    Result<raft::ConfigEntry> latest = raft::DecodeConfigEntry(node.log.config_entries.back().data);
    if (!latest.ok()) {
      return latest.status();
    }
    node.present = latest.value().configuration;
  }
  node.last = {
      node.log.term_starts.empty() ? node.log.snapshot.term : node.log.term_starts.back().term,
      node.log.last};
  return Status::Ok();
}

// Becomes the owner of the data directory.
Result<StoppedNode> OpenStopped(const ForceQuorumOptions& options) {
  const fs::path data = Absolute(options.data);
  const Result<Account> account = ServerAccount(data);
  if (!account.ok()) {
    return account.status();
  }
  if (Status s = BecomeAccount(account.value()); !s.ok()) {
    return s;
  }
  const auto marker = identity::Load<identity::Marker>(data / identity::kMarkerFile);
  if (!marker.ok()) {
    return WrongState(data.string() + " is no member of a cluster")
        .WithDetail(marker.status().message());
  }
  StoppedNode node;
  node.state = marker.value().state_directory;
  if (Status s = RefuseMarks(data, node.state); !s.ok()) {
    return s;
  }
  auto identity = identity::Load<identity::NodeIdentity>(node.state / identity::kIdentityFile);
  auto members = identity::Load<identity::Peers>(node.state / identity::kPeersFile);
  for (const Status& status : {identity.status(), members.status()}) {
    if (!status.ok()) {
      return status;
    }
  }
  node.identity = std::move(identity).value();
  node.members = std::move(members).value();
  if (Status s = ReadLog(node); !s.ok()) {
    return s;
  }
  return node;
}

// A connection that is being made, or -1 when it cannot be.
int BeginConnect(const identity::Endpoint& to) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(to.host.c_str(), std::to_string(to.port).c_str(), &hints, &found) != 0) {
    return -1;
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owned(found, &freeaddrinfo);
  const int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) != 0 && errno != EINPROGRESS) {
    close(fd);
    return -1;
  }
  return fd;
}

// Members other than `self` whose transport accepts a connection: all are tried at once.
std::set<uint64_t> WhoAnswers(uint64_t self, const std::vector<identity::Peer>& members) {
  std::vector<pollfd> waiting;
  std::vector<uint64_t> ids;
  for (const identity::Peer& member : members) {
    const int fd = member.raft_node_id == self ? -1 : BeginConnect(member.raft);
    if (fd >= 0) {
      waiting.push_back({fd, POLLOUT, 0});
      ids.push_back(member.raft_node_id);
    }
  }
  std::set<uint64_t> answer;
  timespec begun = {};
  clock_gettime(CLOCK_MONOTONIC, &begun);
  for (int left = kConnectMs; left > 0;) {
    if (poll(waiting.data(), waiting.size(), left) <= 0 && errno != EINTR) {
      break;
    }
    bool pending = false;
    for (std::size_t i = 0; i < waiting.size(); ++i) {
      if (waiting[i].fd >= 0 && waiting[i].revents != 0) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(waiting[i].fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error == 0 && (waiting[i].revents & POLLOUT) != 0) {
          answer.insert(ids[i]);
        }
        close(waiting[i].fd);
        waiting[i].fd = -1;
      }
      pending = pending || waiting[i].fd >= 0;
    }
    timespec now = {};
    clock_gettime(CLOCK_MONOTONIC, &now);
    left = pending ? kConnectMs - static_cast<int>((now.tv_sec - begun.tv_sec) * 1000 +
                                                   (now.tv_nsec - begun.tv_nsec) / 1'000'000)
                   : 0;
  }
  for (const pollfd& each : waiting) {
    if (each.fd >= 0) {
      close(each.fd);
    }
  }
  return answer;
}

// A cluster with pgquorum.tls = off answers in the clear; the question tells nobody anything.
Result<std::string> AskForStatus(const StoppedNode& node, const identity::Peer& survivor) {
  transport::ClientOptions options;
  options.pki_directory = (node.state / identity::kPkiDirectory).string();
  options.host = survivor.raft.host;
  options.port = survivor.raft.port;
  Result<std::string> text = transport::QueryStatus(options);
  if (text.ok()) {
    return text;
  }
  options.insecure = true;
  Result<std::string> clear = transport::QueryStatus(options);
  return clear.ok() ? clear : text;
}

// Where the logs of the other survivors end; who does not answer is not asked again.
std::vector<std::pair<std::string, raft::LogPosition>> AskSurvivors(
    const StoppedNode& node, const identity::ForceOrder& order, const std::set<uint64_t>& answer) {
  std::vector<std::pair<std::string, raft::LogPosition>> positions;
  for (const identity::Peer& survivor : order.survivors) {
    if (!answer.contains(survivor.raft_node_id)) {
      continue;
    }
    const Result<std::string> text = AskForStatus(node, survivor);
    const Result<identity::TextRecord> record =
        text.ok() ? identity::TextRecord::Parse(text.value(), "status", 1)
                  : Result<identity::TextRecord>(text.status());
    if (!record.ok()) {
      Say("survivor " + survivor.name +
          " does not tell how long its log is: " + OneLine(record.status().message()));
      continue;
    }
    const Result<uint64_t> term = record.value().GetNumber("last_term");
    const Result<uint64_t> index = record.value().GetNumber("last_index");
    if (term.ok() && index.ok()) {
      positions.push_back({survivor.name, {raft::Term(term.value()), raft::Index(index.value())}});
    }
  }
  return positions;
}

// Would the start carry it out?
Status TryOut(const StoppedNode& node, const identity::ForceOrder& order) {
  raft::ForcedMembership forced;
  forced.context = order.Format();
  for (const identity::Peer& survivor : order.survivors) {
    forced.configuration.voters.emplace_back(survivor.raft_node_id);
  }
  return raft::ForceMembership(node.log, raft::NodeId(node.identity.raft_node_id), forced).status();
}

uint64_t RandomGeneration() {
  std::random_device device;
  uint64_t generation = 0;
  while (generation == 0) {
    generation = (uint64_t{device()} << 32) | device();
  }
  return generation;
}

Json Names(const std::vector<identity::Peer>& peers) {
  Json names = Json::array();
  for (const identity::Peer& peer : peers) {
    names.push_back(peer.name);
  }
  return names;
}

void PrintOrder(const ForceQuorumOptions& options, const identity::ForceOrder& order,
                const fs::path& file) {
  if (options.json) {
    Json document = Json::object();
    document["survivors"] = Names(order.survivors);
    document["shut_out"] = Names(order.lost);
    document["requested_by"] = order.requested_by;
    document["order"] = file.string();
    std::printf("%s\n", document.dump(2).c_str());
    return;
  }
  std::printf("ordered: the cluster goes on with %s; shut out for good: %s\n",
              identity::NamesOf(order.survivors).c_str(), identity::NamesOf(order.lost).c_str());
  Say("carry it out with: pgquorum node start --data " + Absolute(options.data).string() +
      "; take it back by removing " + file.string());
}

}  // namespace

Status ClusterForceQuorum(const ForceQuorumOptions& options) {
  if (!options.confirm_data_loss) {
    return InvalidArgument("a quorum is forced only with --confirm-data-loss")
        .WithDetail(
            "Acknowledged commits that only the nodes left out had are lost. Should one of those "
            "still serve clients, the data splits.")
        .WithHint("Make sure that they are off and stay off: docs/runbooks/lost-majority.md.");
  }
  const std::string requester = Requester();
  const Result<StoppedNode> opened = OpenStopped(options);
  if (!opened.ok()) {
    return opened.status();
  }
  const StoppedNode& node = opened.value();
  const uint64_t self = node.identity.raft_node_id;
  Result<identity::ForceOrder> order = PlanForce(self, node.members, node.present, options.nodes);
  if (!order.ok()) {
    return order.status();
  }
  const std::string data = Absolute(options.data).string();
  if (Status s = RefuseWithoutCopy(order.value(), boot::FindUnfinishedRepair(data, "").has_value());
      !s.ok()) {
    return s;
  }
  order.value().generation = RandomGeneration();
  order.value().requested_by = requester;
  order.value().ordered_us = static_cast<int64_t>(std::time(nullptr)) * 1'000'000;
  if (Status s = TryOut(node, order.value()); !s.ok()) {
    return s;
  }
  const std::set<uint64_t> answer = WhoAnswers(self, node.members.members);
  if (Status s = RefuseWithMajority(self, node.present, node.members, answer); !s.ok()) {
    return s;
  }
  if (Status s = RefuseBehind(node.last, AskSurvivors(node, order.value(), answer)); !s.ok()) {
    return s;
  }
  const fs::path file = node.state / identity::kForceOrderFile;
  if (Status s = identity::Save(file, order.value()); !s.ok()) {
    return s;
  }
  PrintOrder(options, order.value(), file);
  return Status::Ok();
}

}  // namespace pgquorum::cli
