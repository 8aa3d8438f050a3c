// How gRPC is set up here: credentials, channel arguments, log, signals. Inside of this folder
// only.
#pragma once

#include <signal.h>

#include <memory>
#include <mutex>
#include <string>

// Before gRPC: base/pure.h checks what came in before it.
#include "bgworkers/transport/pki.h"
#include "bgworkers/transport/transport.h"

#include <grpc/grpc_security.h>
#include <grpcpp/grpcpp.h>

namespace pgquorum::transport {

// Threads that are created in its scope have every signal blocked: PostgreSQL's handlers must run
// on the main thread alone.
class SignalGuard {
 public:
  SignalGuard() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalGuard() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalGuard(const SignalGuard&) = delete;
  SignalGuard& operator=(const SignalGuard&) = delete;

 private:
  sigset_t before_;
};

// Once a process, before its first use of gRPC: TLS 1.3 or nothing, and gRPC's log kept off stderr.
void PrepareGrpc();
// The latest error line of gRPC's log; it explains what a status code does not.
std::string LastGrpcError();

// What the listener shows; asked for it at every handshake, so a new one needs no new listener.
class ShownIdentity {
 public:
  void Set(TlsIdentity identity);

 private:
  friend std::shared_ptr<grpc::ServerCredentials> MakeServerCredentials(ShownIdentity* identity);
  static grpc_ssl_certificate_config_reload_status Fetch(
      void* self, grpc_ssl_server_certificate_config** config);

  std::mutex mutex_;
  TlsIdentity identity_;
  bool fresh_ = false;  // not fetched yet
};

// Null identity: plain TCP. It outlives the credentials.
std::shared_ptr<grpc::ServerCredentials> MakeServerCredentials(ShownIdentity* identity);
std::shared_ptr<grpc::ChannelCredentials> MakeChannelCredentials(const TlsIdentity* identity);
// A client that has no certificate yet: a node that joins.
std::shared_ptr<grpc::ChannelCredentials> MakeAnonymousCredentials(
    const std::string& ca_certificate);

void SetServerArguments(grpc::ServerBuilder& builder);
// `tls_name`: the name that the peer's certificate must have; empty without TLS.
grpc::ChannelArguments MakeChannelArguments(const std::string& tls_name, int connect_timeout_ms);

// Empty without a certificate (or without TLS).
std::string PeerCommonName(const grpc::ServerContext& context);

// host:port for gRPC, IPv6 in brackets.
std::string HostPort(const std::string& host, uint16_t port);

}  // namespace pgquorum::transport
