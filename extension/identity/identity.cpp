#include "extension/identity/identity.h"

#include <charconv>

#include "extension/identity/files.h"
#include "extension/identity/text_record.h"

namespace pgquorum::identity {

namespace {

constexpr uint32_t kVersion = 1;

bool MatchesName(std::string_view name, std::string_view rest) {
  return !name.empty() && name.size() <= 31 && name[0] >= 'a' && name[0] <= 'z' &&
         name.find_first_not_of(rest) == std::string_view::npos;
}

Status BadEndpoint(std::string_view text) {
  return Status::Error("22023", "invalid address \"" + std::string(text) + "\"")
      .WithHint("Write host:port, an IPv6 address in brackets.");
}

// Collects the first error of a series of reads, so that a parser reads like its format.
class Fields {
 public:
  explicit Fields(const TextRecord& record) : record_(record) {}

  std::string Text(std::string_view key) { return Take(record_.Get(key)); }
  uint64_t Number(std::string_view key) { return Take(record_.GetNumber(key)); }
  uint64_t Hex(std::string_view key) { return Take(record_.GetHex(key)); }
  Endpoint Address(std::string_view key) {
    std::string text = Text(key);
    return status_.ok() ? Take(Endpoint::Parse(text)) : Endpoint{};
  }
  void Require(bool condition, const char* what) {
    if (status_.ok() && !condition) {
      status_ = Status::Error("XX001", what);
    }
  }
  const Status& status() const { return status_; }

 private:
  template <typename T>
  T Take(Result<T> result) {
    if (result.ok()) {
      return std::move(result).value();
    }
    if (status_.ok()) {
      status_ = result.status();
    }
    return T{};
  }

  const TextRecord& record_;
  Status status_;
};

template <typename T>
Result<T> Finish(const Fields& fields, T value) {
  if (!fields.status().ok()) {
    return fields.status();
  }
  return value;
}

}  // namespace

bool IsNodeName(std::string_view name) {
  return MatchesName(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
}

bool IsClusterName(std::string_view name) {
  return MatchesName(name, "abcdefghijklmnopqrstuvwxyz0123456789_-");
}

std::string Endpoint::Format() const {
  bool brackets = host.find(':') != std::string::npos;
  return (brackets ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Result<Endpoint> Endpoint::Parse(std::string_view text) {
  std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) {
    return BadEndpoint(text);
  }
  std::string_view host = text.substr(0, colon);
  std::string_view port = text.substr(colon + 1);
  if (host.front() == '[') {
    if (host.size() < 3 || host.back() != ']') {
      return BadEndpoint(text);
    }
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return BadEndpoint(text);
  }
  Endpoint endpoint;
  auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), endpoint.port);
  // Hosts go into connection strings and configuration files: no quoting there, none needed here.
  bool host_ok = host.size() < 256 && host.find_first_of(" \t\n'\"\\") == std::string_view::npos;
  if (error != std::errc() || end != port.data() + port.size() || endpoint.port == 0 || !host_ok) {
    return BadEndpoint(text);
  }
  endpoint.host = host;
  return endpoint;
}

std::string Marker::Format() const {
  TextRecord record("member", kVersion);
  record.SetHex("cluster_id", cluster_id);
  record.SetHex("raft_node_id", raft_node_id);
  record.Set("state_directory", state_directory);
  return record.Format();
}

Result<Marker> Marker::Parse(std::string_view text) {
  Result<TextRecord> record = TextRecord::Parse(text, "member", kVersion);
  if (!record.ok()) {
    return record.status();
  }
  Fields fields(record.value());
  Marker marker;
  marker.cluster_id = fields.Hex("cluster_id");
  marker.raft_node_id = fields.Hex("raft_node_id");
  marker.state_directory = fields.Text("state_directory");
  fields.Require(marker.state_directory.starts_with('/'), "state_directory is not absolute");
  return Finish(fields, marker);
}

std::string NodeIdentity::Format() const {
  TextRecord record("identity", kVersion);
  record.Set("cluster_name", cluster_name);
  record.SetHex("cluster_id", cluster_id);
  record.Set("node_name", node_name);
  record.SetHex("raft_node_id", raft_node_id);
  record.SetNumber("system_identifier", system_identifier);
  record.Set("listen", listen.Format());
  record.Set("raft", raft.Format());
  std::string addresses;
  for (const Endpoint& address : join_addresses) {
    addresses += (addresses.empty() ? "" : ",") + address.Format();
  }
  record.Set("join_addresses", addresses);
  record.Set("kind", witness ? "witness" : "data");
  return record.Format();
}

Result<NodeIdentity> NodeIdentity::Parse(std::string_view text) {
  Result<TextRecord> record = TextRecord::Parse(text, "identity", kVersion);
  if (!record.ok()) {
    return record.status();
  }
  Fields fields(record.value());
  NodeIdentity identity;
  identity.cluster_name = fields.Text("cluster_name");
  identity.cluster_id = fields.Hex("cluster_id");
  identity.node_name = fields.Text("node_name");
  identity.raft_node_id = fields.Hex("raft_node_id");
  identity.system_identifier = fields.Number("system_identifier");
  identity.listen = fields.Address("listen");
  identity.raft = fields.Address("raft");
  std::string addresses = record.value().GetOr("join_addresses", "");
  for (std::string_view rest = addresses; !rest.empty();) {
    std::string_view one = rest.substr(0, rest.find(','));
    Result<Endpoint> address = Endpoint::Parse(one);
    if (!address.ok()) {
      return address.status();
    }
    identity.join_addresses.push_back(address.value());
    rest.remove_prefix(one.size() == rest.size() ? one.size() : one.size() + 1);
  }
  std::string kind = record.value().GetOr("kind", "data");
  identity.witness = kind == "witness";
  fields.Require(identity.witness || kind == "data", "kind is neither data nor witness");
  fields.Require(IsClusterName(identity.cluster_name), "cluster_name is not a valid name");
  fields.Require(IsNodeName(identity.node_name), "node_name is not a valid name");
  fields.Require(identity.cluster_id != 0, "cluster_id is zero");
  fields.Require(identity.raft_node_id != 0, "raft_node_id is zero");
  fields.Require(identity.system_identifier != 0, "system_identifier is zero");
  return Finish(fields, identity);
}

std::string Intent::Format() const {
  TextRecord record("intent", kVersion);
  record.Set("kind", kind == Kind::kRewind ? "rewind" : "reclone");
  record.Set("source_node", source_node);
  record.Set("source_conninfo", source_conninfo);
  record.SetHex("epoch_generation", epoch_generation);
  record.SetNumber("epoch_number", epoch_number);
  record.Set("reason", reason);
  record.SetNumber("attempts", attempts);
  record.SetNumber("touched", touched ? 1 : 0);
  record.Set("last_error", last_error);
  return record.Format();
}

Result<Intent> Intent::Parse(std::string_view text) {
  Result<TextRecord> record = TextRecord::Parse(text, "intent", kVersion);
  if (!record.ok()) {
    return record.status();
  }
  Fields fields(record.value());
  Intent intent;
  std::string kind = fields.Text("kind");
  fields.Require(kind == "rewind" || kind == "reclone", "kind is neither rewind nor reclone");
  intent.kind = kind == "reclone" ? Kind::kReclone : Kind::kRewind;
  intent.source_node = fields.Text("source_node");
  intent.source_conninfo = fields.Text("source_conninfo");
  intent.epoch_generation = fields.Hex("epoch_generation");
  intent.epoch_number = fields.Number("epoch_number");
  intent.reason = fields.Text("reason");
  intent.attempts = static_cast<uint32_t>(fields.Number("attempts"));
  intent.touched = fields.Number("touched") != 0;
  intent.last_error = fields.Text("last_error");
  return Finish(fields, intent);
}

std::string DemoteOrder::Format() const {
  TextRecord record("demote", kVersion);
  record.SetNumber("postmaster_pid", postmaster_pid);
  record.SetHex("boot_id", boot_id);
  record.Set("reason", reason);
  return record.Format();
}

Result<DemoteOrder> DemoteOrder::Parse(std::string_view text) {
  Result<TextRecord> record = TextRecord::Parse(text, "demote", kVersion);
  if (!record.ok()) {
    return record.status();
  }
  Fields fields(record.value());
  DemoteOrder order;
  order.postmaster_pid = fields.Number("postmaster_pid");
  order.boot_id = fields.Hex("boot_id");
  order.reason = fields.Text("reason");
  return Finish(fields, order);
}

std::string StateDirectory(std::string_view setting, std::string_view data_directory) {
  if (!setting.empty()) {
    return std::string(setting);
  }
  while (data_directory.size() > 1 && data_directory.back() == '/') {
    data_directory.remove_suffix(1);
  }
  return std::string(data_directory) + ".pgquorum";
}

}  // namespace pgquorum::identity

#include "base/pure.h"
