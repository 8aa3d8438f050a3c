#include "bgworkers/transport/grpc_setup.h"

#include <grpc/grpc.h>
#include <grpc/support/log.h>
#include <google/protobuf/stubs/logging.h>
#include <stdlib.h>

#include <mutex>

#include "bgworkers/transport/wire.h"

namespace pgquorum::transport {

namespace {

constexpr int kServerKeepaliveMs = 10'000;
constexpr int kServerKeepaliveTimeoutMs = 5'000;
constexpr int kHandshakeTimeoutMs = 5'000;
constexpr int kMaxMessageBytes = static_cast<int>(kMaxPacketBytes + (std::size_t{1} << 20));

std::mutex g_log_mutex;
std::string* g_last_error = nullptr;  // leaked: gRPC may log until the process ends

void KeepLastError(gpr_log_func_args* line) {
  if (line->severity != GPR_LOG_SEVERITY_ERROR) {
    return;
  }
  std::lock_guard lock(g_log_mutex);
  if (g_last_error == nullptr) {
    g_last_error = new std::string;
  }
  *g_last_error = line->message;
}

// The C++ layer has no words for certificates that change; the C layer, which is public too, has.
class ReloadingCredentials final : public grpc::ServerCredentials {
 public:
  explicit ReloadingCredentials(grpc_ssl_server_credentials_options* options)
      : credentials_(grpc_ssl_server_credentials_create_with_options(options)) {}
  ~ReloadingCredentials() override { grpc_server_credentials_release(credentials_); }
  void SetAuthMetadataProcessor(
      const std::shared_ptr<grpc::AuthMetadataProcessor>& processor) override {
    (void)processor;
  }

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  grpc_server_credentials* credentials_;
};

}  // namespace

void PrepareGrpc() {
  static std::once_flag once;
  std::call_once(once, [] {
    // gRPC has no setting for the lowest TLS version and allows 1.2. This list is for TLS 1.2 only,
    // and its one suite needs a pre-shared key that nobody has: a handshake of 1.2 finds no common
    // suite, at either end. TLS 1.3 has suites of its own, which the list does not touch. Read
    // once, at gRPC's first use.
    setenv("GRPC_SSL_CIPHER_SUITES", "PSK-AES256-GCM-SHA384", 1);
    gpr_set_log_function(KeepLastError);
    gpr_set_log_verbosity(GPR_LOG_SEVERITY_ERROR);
    // A peer's malformed bytes are counted, not printed.
    google::protobuf::SetLogHandler(nullptr);
  });
}

std::string LastGrpcError() {
  std::lock_guard lock(g_log_mutex);
  return g_last_error == nullptr ? "" : *g_last_error;
}

void ShownIdentity::Set(TlsIdentity identity) {
  std::lock_guard lock(mutex_);
  identity_ = std::move(identity);
  fresh_ = true;
}

grpc_ssl_certificate_config_reload_status ShownIdentity::Fetch(
    void* self, grpc_ssl_server_certificate_config** config) {
  auto* shown = static_cast<ShownIdentity*>(self);
  std::lock_guard lock(shown->mutex_);
  if (!shown->fresh_) {
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
  }
  const TlsIdentity& identity = shown->identity_;
  // With the CA in the chain: a joining node knows its fingerprint and must see it.
  std::string chain = identity.certificate + identity.ca_certificate;
  grpc_ssl_pem_key_cert_pair pair{identity.key.c_str(), chain.c_str()};
  *config = grpc_ssl_server_certificate_config_create(identity.ca_certificate.c_str(), &pair, 1);
  if (*config == nullptr) {
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_FAIL;
  }
  shown->fresh_ = false;
  return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
}

std::shared_ptr<grpc::ServerCredentials> MakeServerCredentials(ShownIdentity* identity) {
  if (identity == nullptr) {
    return grpc::InsecureServerCredentials();
  }
  // Joining nodes have no certificate. One that is shown is verified here; that there is one is
  // checked by every method but Join.
  return std::make_shared<ReloadingCredentials>(
      grpc_ssl_server_credentials_create_options_using_config_fetcher(
          GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY, ShownIdentity::Fetch, identity));
}

std::shared_ptr<grpc::ChannelCredentials> MakeChannelCredentials(const TlsIdentity* identity) {
  if (identity == nullptr) {
    return grpc::InsecureChannelCredentials();
  }
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = identity->ca_certificate;
  options.pem_private_key = identity->key;
  options.pem_cert_chain = identity->certificate;
  return grpc::SslCredentials(options);
}

std::shared_ptr<grpc::ChannelCredentials> MakeAnonymousCredentials(
    const std::string& ca_certificate) {
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = ca_certificate;
  return grpc::SslCredentials(options);
}

void SetServerArguments(grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeTimeoutMs);
  // Frees what a vanished peer has left; liveness is judged by pings of our own.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kServerKeepaliveMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kServerKeepaliveTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  // A fixed window instead of measuring the bandwidth, which pings on every exchange.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kMaxMessageBytes);
  builder.AddChannelArgument(GRPC_ARG_ENABLE_CHANNELZ, 0);
}

grpc::ChannelArguments MakeChannelArguments(const std::string& tls_name, int connect_timeout_ms) {
  grpc::ChannelArguments arguments;
  if (!tls_name.empty()) {
    arguments.SetSslTargetNameOverride(tls_name);
  }
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  // A channel is one attempt. When to try again is decided here, so gRPC must not: its pause
  // between attempts is as long as an attempt may last. MIN is also its limit for connecting.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, connect_timeout_ms);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, connect_timeout_ms);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, connect_timeout_ms);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_CHANNELZ, 0);
  return arguments;
}

std::string PeerCommonName(const grpc::ServerContext& context) {
  std::shared_ptr<const grpc::AuthContext> auth = context.auth_context();
  if (!auth || !auth->IsPeerAuthenticated()) {
    return "";
  }
  std::vector<grpc::string_ref> names = auth->FindPropertyValues("x509_common_name");
  return names.size() == 1 ? std::string(names[0].data(), names[0].size()) : "";
}

std::string HostPort(const std::string& host, uint16_t port) {
  bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

}  // namespace pgquorum::transport
