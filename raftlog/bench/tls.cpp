#include "raftlog/bench/tls.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/check.h"

#include "base/pure.h"

namespace pgquorum::raft::bench {

TlsContext MakeTlsContext() {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = X509_new();
  PGQUORUM_CHECK(key != nullptr && certificate != nullptr);
  X509_set_version(certificate, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 24 * 3600);
  X509_NAME* name = X509_get_subject_name(certificate);
  const auto* text = reinterpret_cast<const unsigned char*>("raft_bench");
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, text, -1, -1, 0);
  X509_set_issuer_name(certificate, name);
  X509_set_pubkey(certificate, key);
  PGQUORUM_CHECK(X509_sign(certificate, key, EVP_sha256()) > 0);

  TlsContext context(SSL_CTX_new(TLS_method()));
  PGQUORUM_CHECK(context && SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION) == 1 &&
                 SSL_CTX_use_certificate(context.get(), certificate) == 1 &&
                 SSL_CTX_use_PrivateKey(context.get(), key) == 1 &&
                 X509_STORE_add_cert(SSL_CTX_get_cert_store(context.get()), certificate) == 1);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  X509_free(certificate);
  EVP_PKEY_free(key);
  return context;
}

}  // namespace pgquorum::raft::bench
