// A forced quorum (docs/design/0011-forced-quorum.md): the order at a start, what a survivor says
// to those who were left out, and what becomes of a node that hears it.
#include "extension/pg/pg.h"

#include <algorithm>
#include <utility>

#include "bgworkers/consensus/node.h"
#include "extension/identity/files.h"
#include "extension/identity/force_order.h"
#include "extension/identity/text_record.h"

namespace pgquorum::consensus {

using failover::NodeId;
using identity::ForceOrder;

// The order that waits in the state directory. One that cannot be read stops the worker: to go on
// as if nobody had ordered anything is not what the administrator expects.
Result<std::optional<ForceOrder>> Node::ReadForceOrder() const {
  std::string path = options_.state_directory + "/" + identity::kForceOrderFile;
  if (!identity::FileExists(path)) {
    return std::optional<ForceOrder>();
  }
  Result<ForceOrder> order = identity::Load<ForceOrder>(path);
  Status status = order.status();
  if (status.ok() && (order.value().cluster_id != options_.identity.cluster_id ||
                      order.value().node != self_.value())) {
    status = Status::Error("XX001", "file \"" + path + "\" is the order of another node");
  }
  if (!status.ok()) {
    return Status::Error(status.sqlstate(), status.message())
        .WithDetail("A quorum was to be forced, and nothing of it was carried out.")
        .WithHint("Remove the file, and give the order again while the server is stopped.");
  }
  return std::optional<ForceOrder>(std::move(order).value());
}

void Node::Force(const ForceOrder& order, raft::HostOptions& options) const {
  options.force.emplace();
  for (const identity::Peer& survivor : order.survivors) {
    options.force->configuration.voters.emplace_back(survivor.raft_node_id);
  }
  options.force->context = order.Format();
}

// Carried out or refused: it is not tried again. After a crash in between the log itself says that
// it was carried out.
Status Node::ForgetForceOrder(const ForceOrder& order, const Status& refusal) {
  if (refusal.ok()) {
    ereport(LOG, (errmsg("pgquorum: forced quorum: the Raft log goes on with %s; shut out: %s",
                         identity::NamesOf(order.survivors).c_str(),
                         identity::NamesOf(order.lost).c_str())));
  } else {
    ereport(WARNING, (errmsg("pgquorum: the forced quorum was refused, and nothing was changed: %s",
                             refusal.ToString().c_str())));
    server_.SetWarning("a forced quorum was refused: " + refusal.message());
  }
  return identity::RemoveFileDurably(options_.state_directory + "/" + identity::kForceOrderFile);
}

// Lost nodes are dialled as long as nobody has taken their place, to tell them when they come back.
void Node::AddShutOut(std::vector<transport::Peer>& peers) const {
  for (const ForceOrder& order : machine_.orders()) {
    for (const identity::Peer& lost : order.lost) {
      bool replaced = std::any_of(peers.begin(), peers.end(), [&lost](const transport::Peer& p) {
        return p.id == lost.raft_node_id || p.name == lost.name ||
               (p.host == lost.raft.host && p.port == lost.raft.port);
      });
      replaced = replaced || lost.name == options_.identity.node_name;
      if (!replaced && peers.size() < transport::kMaxPeers) {
        peers.push_back({lost.raft_node_id, lost.name, lost.raft.host, lost.raft.port});
      }
    }
  }
}

// Repeated whenever the node is heard: it may not have been able to save it.
void Node::TellShutOut(NodeId node, const ForceOrder& order) {
  transport_->Send(node.value(), transport::Channel::kLease,
                   std::string(1, kShutOut) + order.Format());
}

// What the command line asks of the survivors that answer: whose log is the longest? Any thread.
void Node::AnswerStatus(const transport::TransportCallbacks::Answer& answer) const {
  raft::LogPosition last = machine_.last();
  identity::TextRecord record("status", 1);
  record.SetNumber("raft_node_id", self_.value());
  record.SetNumber("last_term", last.term.value());
  record.SetNumber("last_index", last.index.value());
  answer(record.Format());
}

// A survivor says that this node was left out. Durable first; then the server starts again, and
// stays closed (extension/hooks/boot): no Raft, no lease, no pledge, no upstream.
void Node::OnShutOut(NodeId from, std::string_view body) {
  Result<ForceOrder> order = ForceOrder::Parse(body);
  bool known = cluster_->FindMember(from) != nullptr;
  for (const identity::Peer& peer : peers_file_.members) {
    known = known || peer.raft_node_id == from.value();
  }
  if (!order.ok() || !known || order.value().cluster_id != options_.identity.cluster_id ||
      !order.value().Survives(from.value()) || !order.value().ShutsOut(self_.value())) {
    return;
  }
  Status saved =
      identity::Save(options_.state_directory + "/" + identity::kShutOutFile, order.value());
  if (!saved.ok()) {
    ereport(LOG, (errmsg("pgquorum: could not save that this node was shut out: %s",
                         saved.message().c_str())));
    return;
  }
  shmem::CloseGate();
  ereport(WARNING, (errmsg("pgquorum: %s", identity::WhyShutOut(order.value()).c_str())));
  Status restarted = server_.CloseForGood();
  fatal_ = restarted.ok() ? Status::Error("57P01", "this node was shut out") : restarted;
}

}  // namespace pgquorum::consensus
