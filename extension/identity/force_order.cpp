#include "extension/identity/force_order.h"

#include <algorithm>
#include <utility>

#include "extension/identity/text_record.h"

#include "base/pure.h"

namespace pgquorum::identity {

namespace {

constexpr char kOrderKind[] = "force_quorum";
constexpr uint32_t kOrderVersion = 1;
constexpr std::size_t kMaxRequester = 256;

bool Lists(const std::vector<Peer>& peers, uint64_t raft_node_id) {
  return std::any_of(peers.begin(), peers.end(),
                     [=](const Peer& peer) { return peer.raft_node_id == raft_node_id; });
}

bool Ascending(const std::vector<Peer>& peers) {
  return std::adjacent_find(peers.begin(), peers.end(), [](const Peer& a, const Peer& b) {
           return a.raft_node_id >= b.raft_node_id;
         }) == peers.end();
}

bool Sound(const ForceOrder& order) {
  bool both = std::any_of(order.lost.begin(), order.lost.end(),
                          [&order](const Peer& peer) { return order.Survives(peer.raft_node_id); });
  return order.cluster_id != 0 && order.generation != 0 && order.Survives(order.node) && !both &&
         Ascending(order.survivors) && Ascending(order.lost) &&
         order.requested_by.size() <= kMaxRequester;
}

}  // namespace

bool ForceOrder::Survives(uint64_t raft_node_id) const {
  return Lists(survivors, raft_node_id);
}

bool ForceOrder::ShutsOut(uint64_t raft_node_id) const {
  return Lists(lost, raft_node_id);
}

std::string ForceOrder::Format() const {
  TextRecord record(kOrderKind, kOrderVersion);
  record.SetHex("cluster_id", cluster_id);
  record.SetHex("generation", generation);
  record.SetNumber("node", node);
  PutPeers(record, "survivors", "survivor", survivors);
  PutPeers(record, "lost", "lost", lost);
  record.Set("requested_by", requested_by.substr(0, kMaxRequester));
  record.SetNumber("ordered_us", static_cast<uint64_t>(ordered_us));
  return record.Format();
}

Result<ForceOrder> ForceOrder::Parse(std::string_view text) {
  if (text.size() > kMaxRecordBytes) {
    return Status::Error("XX001", "the order of a forced quorum is too long");
  }
  Result<TextRecord> record = TextRecord::Parse(text, kOrderKind, kOrderVersion);
  if (!record.ok()) {
    return record.status();
  }
  Result<uint64_t> cluster = record.value().GetHex("cluster_id");
  Result<uint64_t> generation = record.value().GetHex("generation");
  Result<uint64_t> node = record.value().GetNumber("node");
  Result<std::vector<Peer>> survivors = GetPeers(record.value(), "survivors", "survivor");
  Result<std::vector<Peer>> lost = GetPeers(record.value(), "lost", "lost");
  Result<std::string> requested_by = record.value().Get("requested_by");
  Result<uint64_t> ordered_us = record.value().GetNumber("ordered_us");
  for (const Status& status :
       {cluster.status(), generation.status(), node.status(), survivors.status(), lost.status(),
        requested_by.status(), ordered_us.status()}) {
    if (!status.ok()) {
      return status;
    }
  }
  ForceOrder order{cluster.value(),
                   generation.value(),
                   node.value(),
                   std::move(survivors).value(),
                   std::move(lost).value(),
                   std::move(requested_by).value(),
                   static_cast<int64_t>(ordered_us.value())};
  if (!Sound(order)) {
    return Status::Error("XX001", "the order of a forced quorum contradicts itself");
  }
  return order;
}

std::string NamesOf(const std::vector<Peer>& peers) {
  std::string text;
  for (const Peer& peer : peers) {
    text += (text.empty() ? "" : ", ") + peer.name;
  }
  return text;
}

std::string WhyShutOut(const ForceOrder& order) {
  const std::string by = order.requested_by.substr(0, 40);
  return "shut out: " + (by.empty() ? "somebody" : by) + " forced a quorum without this node (" +
         NamesOf(order.survivors).substr(0, 80) +
         "). Move its data and state directories away, and join the cluster anew";
}

}  // namespace pgquorum::identity
