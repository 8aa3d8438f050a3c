// Blocking requests of the command line program.
#include "bgworkers/transport/client.h"

#include <chrono>
#include <utility>

#include "bgworkers/transport/join.h"
#include "bgworkers/transport/pki.h"
#include "bgworkers/transport/prober.h"
#include "bgworkers/transport/tls_peek.h"
#include "bgworkers/transport/wire.h"
#include "bgworkers/transport/grpc_setup.h"
#include "transport.grpc.pb.h"

namespace pgquorum::transport {

namespace {

constexpr int64_t kNsPerMs = 1'000'000;
constexpr int kMaxRedirections = 4;

int LeftMs(int64_t deadline_ns) {
  int64_t left = (deadline_ns - BootTimeNs()) / kNsPerMs;
  return left > 1 ? static_cast<int>(left) : 1;
}

// A stub and what it speaks over.
struct Connection {
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<wire::Nodes::Stub> stub;
};

Connection Open(const std::string& host, uint16_t port, const std::string& tls_name,
                const std::shared_ptr<grpc::ChannelCredentials>& credentials, int64_t deadline_ns) {
  Connection connection;
  connection.channel = grpc::CreateCustomChannel(
      HostPort(host, port), credentials, MakeChannelArguments(tls_name, LeftMs(deadline_ns)));
  connection.stub = wire::Nodes::NewStub(connection.channel);
  return connection;
}

void SetDeadline(grpc::ClientContext& context, int64_t deadline_ns) {
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::milliseconds(LeftMs(deadline_ns)));
}

Status Failed(const char* sqlstate, const std::string& host, uint16_t port,
              const grpc::Status& status) {
  return Status::Error(sqlstate, "the request to " + HostPort(host, port) + " failed")
      .WithDetail(status.error_message());
}

Result<JoinResponse> JoinAt(const std::string& host, uint16_t port, const JoinToken& token,
                            const JoinRequest& request, bool insecure, int64_t deadline_ns) {
  std::string tls_name;
  std::shared_ptr<grpc::ChannelCredentials> credentials = MakeChannelCredentials(nullptr);
  if (!insecure) {
    Result<PresentedCertificates> presented = PeekCertificates(host, port, LeftMs(deadline_ns));
    if (!presented.ok()) {
      return presented.status();
    }
    Result<CheckedPeer> peer = CheckPresented(presented.value(), token.ca_fingerprint);
    if (!peer.ok()) {
      return peer.status();
    }
    // From here on gRPC verifies: that CA, and that node.
    tls_name = peer.value().tls_name;
    credentials = MakeAnonymousCredentials(peer.value().ca_certificate);
  }
  Connection connection = Open(host, port, tls_name, credentials, deadline_ns);
  grpc::ClientContext context;
  SetDeadline(context, deadline_ns);
  wire::JoinCall call;
  ToWire(request, call);
  wire::JoinReply reply;
  grpc::Status status = connection.stub->Join(&context, call, &reply);
  if (!status.ok()) {
    return Failed("08006", host, port, status);
  }
  return FromWire(reply);
}

// The member's certificate is verified under the name that it presents: any member of the cluster
// may answer the command line.
template <typename Call, typename Method>
Result<std::string> Ask(const ClientOptions& options, const Call& call, Method method,
                        const char* unknown) {
  PrepareGrpc();
  int64_t deadline_ns = BootTimeNs() + options.timeout_ms * kNsPerMs;
  std::string tls_name;
  std::shared_ptr<grpc::ChannelCredentials> credentials = MakeChannelCredentials(nullptr);
  if (!options.insecure) {
    Result<TlsIdentity> identity = LoadIdentity(options.pki_directory, "");
    if (!identity.ok()) {
      return identity.status();
    }
    Result<PresentedCertificates> presented =
        PeekCertificates(options.host, options.port, options.timeout_ms);
    if (!presented.ok()) {
      return presented.status();
    }
    Result<std::string> fingerprint = Fingerprint(identity.value().ca_certificate);
    Result<CheckedPeer> peer = fingerprint.ok()
                                   ? CheckPresented(presented.value(), fingerprint.value())
                                   : Result<CheckedPeer>(fingerprint.status());
    if (!peer.ok()) {
      return peer.status();
    }
    tls_name = peer.value().tls_name;
    credentials = MakeChannelCredentials(&identity.value());
  }
  Connection connection = Open(options.host, options.port, tls_name, credentials, deadline_ns);
  grpc::ClientContext context;
  SetDeadline(context, deadline_ns);
  wire::Reply reply;
  grpc::Status status = method(*connection.stub, &context, call, &reply);
  if (!status.ok()) {
    return Failed(unknown, options.host, options.port, status);
  }
  Status error = FromWire(reply.error());
  if (!error.ok()) {
    return error;
  }
  return std::move(*reply.mutable_answer());
}

}  // namespace

Result<JoinResponse> JoinClient::Join(const std::string& host, uint16_t port,
                                      const JoinToken& token, JoinRequest request,
                                      const Options& options) {
  PrepareGrpc();
  request.secret = token.secret;
  int64_t deadline_ns = BootTimeNs() + options.timeout_ms * kNsPerMs;
  std::string at_host = host;
  uint16_t at_port = port;
  for (int i = 0; i <= kMaxRedirections; ++i) {
    Result<JoinResponse> response =
        JoinAt(at_host, at_port, token, request, options.insecure, deadline_ns);
    if (!response.ok() || response.value().leader_raft_host.empty()) {
      return response;
    }
    at_host = response.value().leader_raft_host;
    at_port = response.value().leader_raft_port;
  }
  return Status::Error("08006", "the cluster's members refer to each other: it has no leader now")
      .WithHint("Try again.");
}

Result<std::string> QueryStatus(const ClientOptions& options) {
  wire::StatusCall call;
  call.set_version(kProtocolVersion);
  return Ask(
      options, call,
      [](wire::Nodes::Stub& stub, grpc::ClientContext* context, const wire::StatusCall& request,
         wire::Reply* reply) { return stub.Status(context, request, reply); },
      "08006");
}

Result<std::string> ForwardRequest(const ClientOptions& options, const std::string& request) {
  wire::ForwardCall call;
  call.set_version(kProtocolVersion);
  call.set_request(request);
  return Ask(
      options, call,
      [](wire::Nodes::Stub& stub, grpc::ClientContext* context, const wire::ForwardCall& message,
         wire::Reply* reply) { return stub.Forward(context, message, reply); },
      "08007");
}

}  // namespace pgquorum::transport
