#include "bgworkers/transport/wire.h"

namespace pgquorum::transport {

namespace {

constexpr std::size_t kMaxNameLength = 64;
constexpr std::size_t kMaxPemBytes = 64 << 10;
constexpr uint32_t kMaxPort = 65535;

bool IsPort(uint32_t port) {
  return port > 0 && port <= kMaxPort;
}
bool IsHost(const std::string& host) {
  return !host.empty() && host.size() <= kMaxHostLength;
}
// A member without data (a witness) may have no PostgreSQL listener.
bool IsListener(const std::string& host, uint32_t port) {
  return (host.empty() && port == 0) || (IsHost(host) && IsPort(port));
}
bool IsName(const std::string& name) {
  return !name.empty() && name.size() <= kMaxNameLength;
}

Status Malformed() {
  return Status::Error("XX001", "malformed message from another node");
}

}  // namespace

Refusal CheckPacket(const wire::Packet& packet, const Expected& expected) {
  if (packet.cluster_id() != expected.cluster_id) {
    return Refusal::kCluster;
  }
  if (packet.from() == 0 || packet.from() == packet.to() || packet.to() != expected.to ||
      (expected.from != 0 && packet.from() != expected.from)) {
    return Refusal::kIdentity;
  }
  for (const wire::Frame& frame : packet.frames()) {
    if (frame.payload().size() > kMaxPayloadBytes) {
      return Refusal::kMalformed;
    }
  }
  return Refusal::kNone;
}

Refusal CheckHello(const wire::Packet& packet) {
  if (!packet.has_hello()) {
    return Refusal::kMalformed;
  }
  const wire::Hello& hello = packet.hello();
  if (hello.version() < kProtocolVersionMin || hello.version_min() > kProtocolVersion) {
    return Refusal::kVersion;
  }
  bool good = IsName(hello.name()) && IsHost(hello.host()) && IsPort(hello.port());
  return good ? Refusal::kNone : Refusal::kMalformed;
}

std::string ToString(Refusal refusal) {
  switch (refusal) {
    case Refusal::kNone:
      return "accepted";
    case Refusal::kCluster:
      return "it belongs to another cluster";
    case Refusal::kIdentity:
      return "it is not the node that it claims to be, or that was meant";
    case Refusal::kVersion:
      return "its version is too far from this one";
    case Refusal::kMalformed:
      return "malformed message";
  }
  return "";
}

std::optional<Channel> ChannelOf(const wire::Frame& frame) {
  switch (frame.channel()) {
    case static_cast<uint32_t>(Channel::kRaft):
      return Channel::kRaft;
    case static_cast<uint32_t>(Channel::kReport):
      return Channel::kReport;
    case static_cast<uint32_t>(Channel::kLease):
      return Channel::kLease;
    default:
      return std::nullopt;
  }
}

wire::Error ToWire(const Status& status) {
  wire::Error error;
  error.set_sqlstate(status.sqlstate());
  error.set_message(status.message());
  error.set_detail(status.detail());
  error.set_hint(status.hint());
  return error;
}

Status FromWire(const wire::Error& error) {
  if (error.sqlstate().empty()) {
    return Status::Ok();
  }
  // The peer's text is shown, never interpreted; a code of a wrong length would break an invariant.
  return Status::Error(error.sqlstate().size() == 5 ? error.sqlstate() : "XX000", error.message())
      .WithDetail(error.detail())
      .WithHint(error.hint());
}

void ToWire(const JoinRequest& request, wire::JoinCall& out) {
  out.set_version(kProtocolVersion);
  out.set_secret(request.secret);
  out.set_node_name(request.node_name);
  out.set_listen_host(request.listen_host);
  out.set_listen_port(request.listen_port);
  out.set_raft_host(request.raft_host);
  out.set_raft_port(request.raft_port);
  out.set_system_identifier(request.system_identifier);
  out.set_certificate_signing_request(request.certificate_signing_request);
  out.set_witness(request.witness);
}

Result<JoinRequest> FromWire(const wire::JoinCall& call) {
  if (call.version() != kProtocolVersion) {
    return Status::Error("0A000", "the joining node's version cannot join this cluster")
        .WithHint("Install the version of pgquorum that the cluster runs.");
  }
  if (call.secret().size() != kSecretBytes || !IsName(call.node_name()) ||
      !IsListener(call.listen_host(), call.listen_port()) || !IsHost(call.raft_host()) ||
      !IsPort(call.raft_port()) || call.certificate_signing_request().size() > kMaxPemBytes) {
    return Status::Error("22023", "a field of the request to join is missing or malformed");
  }
  JoinRequest request;
  request.secret = call.secret();
  request.node_name = call.node_name();
  request.listen_host = call.listen_host();
  request.listen_port = static_cast<uint16_t>(call.listen_port());
  request.raft_host = call.raft_host();
  request.raft_port = static_cast<uint16_t>(call.raft_port());
  request.system_identifier = call.system_identifier();
  request.certificate_signing_request = call.certificate_signing_request();
  request.witness = call.witness();
  return request;
}

void ToWire(const JoinResponse& response, wire::JoinReply& out) {
  out.set_cluster_name(response.cluster_name);
  out.set_cluster_id(response.cluster_id);
  out.set_raft_node_id(response.raft_node_id);
  out.set_system_identifier(response.system_identifier);
  out.set_primary_node_id(response.primary_node_id);
  for (const JoinMember& member : response.members) {
    wire::JoinMember* to = out.add_members();
    to->set_raft_node_id(member.raft_node_id);
    to->set_name(member.name);
    to->set_listen_host(member.listen_host);
    to->set_listen_port(member.listen_port);
    to->set_raft_host(member.raft_host);
    to->set_raft_port(member.raft_port);
  }
  out.set_ca_certificate(response.ca_certificate);
  out.set_ca_key(response.ca_key);
  out.set_node_certificate(response.node_certificate);
  out.set_leader_raft_host(response.leader_raft_host);
  out.set_leader_raft_port(response.leader_raft_port);
}

Result<JoinResponse> FromWire(const wire::JoinReply& reply) {
  Status error = FromWire(reply.error());
  if (!error.ok()) {
    return error;
  }
  if (reply.leader_raft_port() > kMaxPort || reply.members_size() > static_cast<int>(kMaxPeers)) {
    return Malformed();
  }
  JoinResponse response;
  response.cluster_name = reply.cluster_name();
  response.cluster_id = reply.cluster_id();
  response.raft_node_id = reply.raft_node_id();
  response.system_identifier = reply.system_identifier();
  response.primary_node_id = reply.primary_node_id();
  for (const wire::JoinMember& from : reply.members()) {
    if (!IsName(from.name()) || !IsListener(from.listen_host(), from.listen_port()) ||
        !IsHost(from.raft_host()) || !IsPort(from.raft_port()) || from.raft_node_id() == 0) {
      return Malformed();
    }
    response.members.push_back({from.raft_node_id(), from.name(), from.listen_host(),
                                static_cast<uint16_t>(from.listen_port()), from.raft_host(),
                                static_cast<uint16_t>(from.raft_port())});
  }
  response.ca_certificate = reply.ca_certificate();
  response.ca_key = reply.ca_key();
  response.node_certificate = reply.node_certificate();
  response.leader_raft_host = reply.leader_raft_host();
  response.leader_raft_port = static_cast<uint16_t>(reply.leader_raft_port());
  return response;
}

}  // namespace pgquorum::transport
