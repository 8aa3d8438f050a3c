#include "bgworkers/transport/frame_tls.h"

#include <string_view>
#include <utility>

#include "base/pure.h"

namespace pgquorum::transport {

namespace {

// As ALPN carries it: its length, then the name.
constexpr unsigned char kProtocol[] = "\x11pgquorum-frames-1";
constexpr unsigned kProtocolLength = sizeof kProtocol - 1;
static_assert(kProtocol[0] == kProtocolLength - 1);

int SelectProtocol(SSL* ssl, const unsigned char** out, unsigned char* out_length,
                   const unsigned char* offered, unsigned offered_length, void* argument) {
  (void)ssl, (void)argument;
  unsigned char* selected = nullptr;
  int found = SSL_select_next_proto(&selected, out_length, kProtocol, kProtocolLength, offered,
                                    offered_length);
  *out = selected;
  return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

SslContextPtr MakeContext(const SSL_METHOD* method, const TlsIdentity& identity) {
  SslContextPtr context(SSL_CTX_new(method));
  X509Ptr certificate = ParseCertificate(identity.certificate);
  KeyPtr key = ParseKey(identity.key);
  bool good = context && certificate && key &&
              SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION) == 1 &&
              SSL_CTX_use_certificate(context.get(), certificate.get()) == 1 &&
              SSL_CTX_use_PrivateKey(context.get(), key.get()) == 1 &&
              TrustAuthorities(SSL_CTX_get_cert_store(context.get()), identity.ca_certificate);
  if (!good) {
    return nullptr;
  }
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  // Every connection shows its certificate: a resumed session would outlive its validity.
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context.get(), 0);
  // A process that dies says no goodbye; whether a frame is whole, its length tells.
  SSL_CTX_set_options(context.get(), SSL_OP_IGNORE_UNEXPECTED_EOF);
  // A record may go out in parts, from another buffer: FrameStream keeps what the socket left.
  SSL_CTX_set_mode(context.get(),
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  return context;
}

}  // namespace

Result<std::shared_ptr<const FrameTls>> FrameTls::Create(const TlsIdentity& identity) {
  std::shared_ptr<FrameTls> made(new FrameTls);
  made->accepting_ = MakeContext(TLS_server_method(), identity);
  made->dialing_ = MakeContext(TLS_client_method(), identity);
  if (!made->accepting_ || !made->dialing_ ||
      SSL_CTX_set_alpn_protos(made->dialing_.get(), kProtocol, kProtocolLength) != 0) {
    return OpensslError("could not prepare TLS");
  }
  SSL_CTX_set_alpn_select_cb(made->accepting_.get(), SelectProtocol, nullptr);
  return std::shared_ptr<const FrameTls>(std::move(made));
}

SslPtr FrameTls::Accepting(int fd) const {
  SslPtr ssl(SSL_new(accepting_.get()));
  if (!ssl || SSL_set_fd(ssl.get(), fd) != 1) {
    return nullptr;
  }
  SSL_set_accept_state(ssl.get());
  return ssl;
}

SslPtr FrameTls::Dialing(int fd, const std::string& peer_name) const {
  SslPtr ssl(SSL_new(dialing_.get()));
  if (!ssl || peer_name.empty() || SSL_set_fd(ssl.get(), fd) != 1 ||
      SSL_set1_host(ssl.get(), peer_name.c_str()) != 1) {
    return nullptr;
  }
  SSL_set_hostflags(ssl.get(), X509_CHECK_FLAG_NO_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  SSL_set_connect_state(ssl.get());
  return ssl;
}

bool SpeaksFrames(const SSL* ssl) {
  const unsigned char* name = nullptr;
  unsigned length = 0;
  SSL_get0_alpn_selected(ssl, &name, &length);
  return std::basic_string_view(name, length) ==
         std::basic_string_view(kProtocol + 1, kProtocolLength - 1);
}

std::string PeerCommonName(const SSL* ssl) {
  X509* certificate = SSL_get0_peer_certificate(ssl);
  X509_NAME* subject = certificate == nullptr ? nullptr : X509_get_subject_name(certificate);
  int at = subject == nullptr ? -1 : X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0) {
    return "";
  }
  ASN1_STRING* value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
  unsigned char* text = nullptr;
  int length = ASN1_STRING_to_UTF8(&text, value);
  std::string name = length < 0 ? "" : std::string(reinterpret_cast<char*>(text), length);
  OPENSSL_free(text);
  return name;
}

}  // namespace pgquorum::transport
