#include "extension/identity/peers.h"

#include <utility>

#include "extension/identity/text_record.h"

#include "base/pure.h"

namespace pgquorum::identity {

namespace {

constexpr char kKind[] = "peers";
constexpr uint32_t kVersion = 1;

std::string Key(std::size_t i, const char* what) {
  return "member_" + std::to_string(i) + "_" + what;
}

Result<Peer> ParsePeer(const TextRecord& record, std::size_t i) {
  Result<uint64_t> id = record.GetNumber(Key(i, "id"));
  Result<std::string> name = record.Get(Key(i, "name"));
  Result<std::string> listen = record.Get(Key(i, "listen"));
  Result<std::string> raft = record.Get(Key(i, "raft"));
  for (const Status& status : {id.status(), name.status(), listen.status(), raft.status()}) {
    if (!status.ok()) {
      return status;
    }
  }
  Result<Endpoint> listen_at = Endpoint::Parse(listen.value());
  Result<Endpoint> raft_at = Endpoint::Parse(raft.value());
  if (id.value() == 0 || !IsNodeName(name.value()) || !listen_at.ok() || !raft_at.ok()) {
    return Status::Error("XX001", "the file of peers names an impossible member");
  }
  return Peer{id.value(), name.value(), listen_at.value(), raft_at.value()};
}

}  // namespace

std::string Peers::Format() const {
  TextRecord record(kKind, kVersion);
  record.SetHex("cluster_id", cluster_id);
  record.SetNumber("members", members.size());
  for (std::size_t i = 0; i < members.size(); ++i) {
    record.SetNumber(Key(i, "id"), members[i].raft_node_id);
    record.Set(Key(i, "name"), members[i].name);
    record.Set(Key(i, "listen"), members[i].listen.Format());
    record.Set(Key(i, "raft"), members[i].raft.Format());
  }
  return record.Format();
}

Result<Peers> Peers::Parse(std::string_view text) {
  Result<TextRecord> record = TextRecord::Parse(text, kKind, kVersion);
  if (!record.ok()) {
    return record.status();
  }
  Result<uint64_t> cluster = record.value().GetHex("cluster_id");
  Result<uint64_t> count = record.value().GetNumber("members");
  if (!cluster.ok() || !count.ok() || count.value() > kMaxPeers) {
    return Status::Error("XX001", "the file of peers is malformed");
  }
  Peers peers;
  peers.cluster_id = cluster.value();
  for (std::size_t i = 0; i < count.value(); ++i) {
    Result<Peer> peer = ParsePeer(record.value(), i);
    if (!peer.ok()) {
      return peer.status();
    }
    peers.members.push_back(std::move(peer).value());
  }
  return peers;
}

}  // namespace pgquorum::identity
