#include "extension/identity/peers.h"

#include <utility>

#include "extension/identity/text_record.h"

#include "base/pure.h"

namespace pgquorum::identity {

namespace {

constexpr char kKind[] = "peers";
constexpr uint32_t kPeersVersion = 1;

std::string Key(const std::string& one, std::size_t i, const char* what) {
  return one + "_" + std::to_string(i) + "_" + what;
}

Result<Peer> ParsePeer(const TextRecord& record, const std::string& one, std::size_t i) {
  Result<uint64_t> id = record.GetNumber(Key(one, i, "id"));
  Result<std::string> name = record.Get(Key(one, i, "name"));
  Result<std::string> listen = record.Get(Key(one, i, "listen"));
  Result<std::string> raft = record.Get(Key(one, i, "raft"));
  for (const Status& status : {id.status(), name.status(), listen.status(), raft.status()}) {
    if (!status.ok()) {
      return status;
    }
  }
  Result<Endpoint> listen_at = Endpoint::Parse(listen.value());
  Result<Endpoint> raft_at = Endpoint::Parse(raft.value());
  if (id.value() == 0 || !IsNodeName(name.value()) || !listen_at.ok() || !raft_at.ok()) {
    return Status::Error("XX001", "the file names an impossible member");
  }
  return Peer{id.value(), name.value(), listen_at.value(), raft_at.value()};
}

}  // namespace

void PutPeers(TextRecord& record, const std::string& list, const std::string& one,
              const std::vector<Peer>& peers) {
  record.SetNumber(list, peers.size());
  for (std::size_t i = 0; i < peers.size(); ++i) {
    record.SetNumber(Key(one, i, "id"), peers[i].raft_node_id);
    record.Set(Key(one, i, "name"), peers[i].name);
    record.Set(Key(one, i, "listen"), peers[i].listen.Format());
    record.Set(Key(one, i, "raft"), peers[i].raft.Format());
  }
}

Result<std::vector<Peer>> GetPeers(const TextRecord& record, const std::string& list,
                                   const std::string& one) {
  Result<uint64_t> count = record.GetNumber(list);
  if (!count.ok() || count.value() > kMaxPeers) {
    return Status::Error("XX001", "the list of " + list + " is malformed");
  }
  std::vector<Peer> peers;
  for (std::size_t i = 0; i < count.value(); ++i) {
    Result<Peer> peer = ParsePeer(record, one, i);
    if (!peer.ok()) {
      return peer.status();
    }
    peers.push_back(std::move(peer).value());
  }
  return peers;
}

std::string Peers::Format() const {
  TextRecord record(kKind, kPeersVersion);
  record.SetHex("cluster_id", cluster_id);
  PutPeers(record, "members", "member", members);
  return record.Format();
}

Result<Peers> Peers::Parse(std::string_view text) {
  Result<TextRecord> record = TextRecord::Parse(text, kKind, kPeersVersion);
  if (!record.ok()) {
    return record.status();
  }
  Result<uint64_t> cluster = record.value().GetHex("cluster_id");
  Result<std::vector<Peer>> members = GetPeers(record.value(), "members", "member");
  if (!cluster.ok() || !members.ok()) {
    return cluster.ok() ? members.status() : cluster.status();
  }
  return Peers{cluster.value(), std::move(members).value()};
}

}  // namespace pgquorum::identity
