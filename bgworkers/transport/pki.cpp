#include "bgworkers/transport/pki.h"

#include <openssl/rand.h>

#include <cstdio>
#include <ctime>

#include "bgworkers/transport/openssl_handles.h"

namespace pgquorum::transport {

namespace {

constexpr long kDaySeconds = 24L * 3600;
constexpr int kSerialBits = 127;

Result<std::string> KeyPem(EVP_PKEY* key) {
  BioPtr bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return OpensslError("could not encode a private key");
  }
  return BioText(bio.get());
}

Status SetName(X509_NAME* name, const std::string& common_name) {
  if (common_name.empty() || common_name.size() > ub_common_name) {
    return Status::Error("22023", "a name in a certificate has 1 to 64 characters");
  }
  const auto* text = reinterpret_cast<const unsigned char*>(common_name.data());
  if (X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, text,
                                 static_cast<int>(common_name.size()), -1, 0) != 1) {
    return OpensslError("could not set the name of a certificate");
  }
  return Status::Ok();
}

Status AddExtension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  if (!extension || X509_add_ext(certificate, extension.get(), -1) != 1) {
    return OpensslError("could not set an extension of a certificate");
  }
  return Status::Ok();
}

// What a CA's and a node's certificate have in common. A random serial number: several members
// sign.
Status FillCertificate(X509* certificate, EVP_PKEY* key, const std::string& name, int days) {
  BignumPtr serial(BN_new());
  if (X509_set_version(certificate, X509_VERSION_3) != 1 ||
      BN_rand(serial.get(), kSerialBits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) != 1 ||
      BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(certificate)) == nullptr ||
      X509_gmtime_adj(X509_getm_notBefore(certificate), -kDaySeconds) == nullptr ||
      X509_time_adj_ex(X509_getm_notAfter(certificate), days, 0, nullptr) == nullptr ||
      X509_set_pubkey(certificate, key) != 1) {
    return OpensslError("could not fill a certificate");
  }
  if (days < 0) {
    // Expired from the start must not mean ended before it began.
    X509_time_adj_ex(X509_getm_notBefore(certificate), days - 1, 0, nullptr);
  }
  return SetName(X509_get_subject_name(certificate), name);
}

Result<int64_t> UnixTime(const ASN1_TIME* time) {
  std::tm fields{};
  if (ASN1_TIME_to_tm(time, &fields) != 1) {
    return OpensslError("a certificate has a malformed date");
  }
  return static_cast<int64_t>(timegm(&fields));
}

std::string CommonName(const X509_NAME* name) {
  int index = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
  if (index < 0) {
    return "";
  }
  const ASN1_STRING* data = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, index));
  return std::string(reinterpret_cast<const char*>(ASN1_STRING_get0_data(data)),
                     static_cast<std::size_t>(ASN1_STRING_length(data)));
}

std::vector<std::string> DnsNames(X509* certificate) {
  std::vector<std::string> result;
  NamesPtr names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type == GEN_DNS) {
      result.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName)),
                          static_cast<std::size_t>(ASN1_STRING_length(name->d.dNSName)));
    }
  }
  return result;
}

Status NotACertificate() {
  return Status::Error("RX004", "the text is not a PEM certificate");
}

}  // namespace

std::string NodeDnsName(const std::string& node_name, uint64_t cluster_id) {
  char id[17];
  std::snprintf(id, sizeof id, "%016llx", static_cast<unsigned long long>(cluster_id));
  return node_name + "." + id + ".pgquorum";
}

Result<Authority> CreateAuthority(const std::string& cluster_name, int days) {
  KeyPtr key(EVP_EC_gen("P-256"));
  X509Ptr certificate(X509_new());
  if (!key || !certificate) {
    return OpensslError("could not create a key");
  }
  Status status =
      FillCertificate(certificate.get(), key.get(), "pgquorum cluster " + cluster_name, days);
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(certificate.get()));
  const std::pair<int, const char*> extensions[] = {
      {NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
      {NID_key_usage, "critical,keyCertSign,cRLSign"},
      {NID_subject_key_identifier, "hash"}};
  for (const auto& [nid, value] : extensions) {
    if (status.ok()) {
      status = AddExtension(certificate.get(), certificate.get(), nid, value);
    }
  }
  if (!status.ok()) {
    return status;
  }
  if (X509_sign(certificate.get(), key.get(), EVP_sha256()) == 0) {
    return OpensslError("could not sign a certificate");
  }
  Result<std::string> key_pem = KeyPem(key.get());
  if (!key_pem.ok()) {
    return key_pem.status();
  }
  return Authority{CertificatePem(certificate.get()), key_pem.value()};
}

Result<NodeKey> CreateNodeKey(const std::string& node_name) {
  KeyPtr key(EVP_EC_gen("P-256"));
  RequestPtr request(X509_REQ_new());
  if (!key || !request) {
    return OpensslError("could not create a key");
  }
  Status status = SetName(X509_REQ_get_subject_name(request.get()), node_name);
  if (!status.ok()) {
    return status;
  }
  BioPtr bio(BIO_new(BIO_s_mem()));
  if (X509_REQ_set_pubkey(request.get(), key.get()) != 1 ||
      X509_REQ_sign(request.get(), key.get(), EVP_sha256()) == 0 ||
      PEM_write_bio_X509_REQ(bio.get(), request.get()) != 1) {
    return OpensslError("could not create a certificate signing request");
  }
  Result<std::string> key_pem = KeyPem(key.get());
  if (!key_pem.ok()) {
    return key_pem.status();
  }
  return NodeKey{key_pem.value(), BioText(bio.get())};
}

Result<std::string> SignNode(const Authority& authority, const std::string& signing_request,
                             const std::string& node_name, uint64_t cluster_id, int days) {
  X509Ptr issuer = ParseCertificate(authority.certificate);
  KeyPtr issuer_key = ParseKey(authority.key);
  if (!issuer || !issuer_key || X509_check_private_key(issuer.get(), issuer_key.get()) != 1) {
    return Status::Error("RX004", "the cluster's certificate and its key do not belong together");
  }
  BioPtr bio = ReadOnlyBio(signing_request);
  RequestPtr request(PEM_read_bio_X509_REQ(bio.get(), nullptr, nullptr, nullptr));
  // The signature proves that the asker has the key.
  EVP_PKEY* key = request ? X509_REQ_get0_pubkey(request.get()) : nullptr;
  if (key == nullptr || X509_REQ_verify(request.get(), key) != 1) {
    ERR_clear_error();
    return Status::Error("22023", "the certificate signing request is malformed or not signed");
  }
  X509Ptr certificate(X509_new());
  Status status = FillCertificate(certificate.get(), key, node_name, days);
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(issuer.get()));
  const std::pair<int, std::string> extensions[] = {
      {NID_basic_constraints, "critical,CA:FALSE"},
      {NID_key_usage, "critical,digitalSignature"},
      {NID_ext_key_usage, "serverAuth,clientAuth"},
      {NID_subject_key_identifier, "hash"},
      {NID_authority_key_identifier, "keyid:always"},
      {NID_subject_alt_name, "DNS:" + NodeDnsName(node_name, cluster_id)}};
  for (const auto& [nid, value] : extensions) {
    if (status.ok()) {
      status = AddExtension(certificate.get(), issuer.get(), nid, value);
    }
  }
  if (!status.ok()) {
    return status;
  }
  if (X509_sign(certificate.get(), issuer_key.get(), EVP_sha256()) == 0) {
    return OpensslError("could not sign a certificate");
  }
  return CertificatePem(certificate.get());
}

Result<CertificateInfo> Inspect(const std::string& certificate) {
  X509Ptr parsed = ParseCertificate(certificate);
  if (!parsed) {
    return NotACertificate();
  }
  CertificateInfo info;
  info.common_name = CommonName(X509_get_subject_name(parsed.get()));
  info.issuer_common_name = CommonName(X509_get_issuer_name(parsed.get()));
  info.dns_names = DnsNames(parsed.get());
  Result<int64_t> from = UnixTime(X509_get0_notBefore(parsed.get()));
  Result<int64_t> until = UnixTime(X509_get0_notAfter(parsed.get()));
  if (!from.ok() || !until.ok()) {
    return from.ok() ? until.status() : from.status();
  }
  info.not_before_s = from.value();
  info.not_after_s = until.value();
  info.is_ca = X509_check_ca(parsed.get()) == 1;
  return info;
}

Result<std::string> Fingerprint(const std::string& certificate) {
  X509Ptr parsed = ParseCertificate(certificate);
  if (!parsed) {
    return NotACertificate();
  }
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (X509_digest(parsed.get(), EVP_sha256(), digest, &size) != 1) {
    return OpensslError("could not compute a fingerprint");
  }
  return std::string(reinterpret_cast<const char*>(digest), size);
}

namespace {

// Why OpenSSL refused, in words that name what to do.
Status ChainError(int error, const CertificateInfo& info) {
  std::string who = "the certificate of \"" + info.common_name + "\"";
  switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return Status::Error("RX004", who + " or of its cluster has expired")
          .WithHint("Renew it, and check this machine's clock.");
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return Status::Error("RX004", who + " is not valid yet")
          .WithHint("Check this machine's clock.");
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
      return Status::Error("RX004", who + " was not signed by this cluster");
    default:
      return Status::Error("RX004", who + " is not acceptable")
          .WithDetail(X509_verify_cert_error_string(error));
  }
}

}  // namespace

Status VerifyIdentity(const TlsIdentity& identity, const std::string& node_name) {
  X509Ptr ca = ParseCertificate(identity.ca_certificate);
  X509Ptr certificate = ParseCertificate(identity.certificate);
  KeyPtr key = ParseKey(identity.key);
  if (!ca || !certificate) {
    return NotACertificate();
  }
  if (!key || X509_check_private_key(certificate.get(), key.get()) != 1) {
    ERR_clear_error();
    return Status::Error("RX004", "the node's key does not belong to its certificate");
  }
  StorePtr store(X509_STORE_new());
  StoreContextPtr context(X509_STORE_CTX_new());
  if (!store || !context || !TrustAuthorities(store.get(), identity.ca_certificate) ||
      X509_STORE_CTX_init(context.get(), store.get(), certificate.get(), nullptr) != 1) {
    return OpensslError("could not check a certificate");
  }
  if (X509_verify_cert(context.get()) != 1) {
    ERR_clear_error();
    return ChainError(X509_STORE_CTX_get_error(context.get()), identity.info);
  }
  if (!node_name.empty() && identity.info.common_name != node_name) {
    return Status::Error("RX004", "the certificate is that of node \"" + identity.info.common_name +
                                      "\", not of \"" + node_name + "\"");
  }
  return Status::Ok();
}

}  // namespace pgquorum::transport
