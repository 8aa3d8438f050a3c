// The cluster's private public-key infrastructure: one CA, one certificate a node, ECDSA on P-256,
// which OpenSSL, gRPC and libpq all accept. The same certificate serves the transport, PostgreSQL's
// listener (ssl_cert_file) and libpq as a client (sslcert; sslrootcert = ca.crt, sslmode =
// verify-ca).
//
// A node certificate has CN = node name, subjectAltName `<node>.<cluster id, 16 hex
// digits>.pgquorum`, and is good for both ends of a connection.
//
// Strings are PEM unless said otherwise. Errors: 58P01 (file does not exist), 58030 (cannot be read
// or written), RX004 (wrong, foreign or expired certificate), 22023 (bad argument), XX000
// (OpenSSL).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "bgworkers/transport/join.h"

namespace pgquorum::transport {

inline constexpr char kCaCertificateFile[] = "ca.crt";
inline constexpr char kCaKeyFile[] = "ca.key";
inline constexpr char kNodeCertificateFile[] = "node.crt";
inline constexpr char kNodeKeyFile[] = "node.key";

// Days from now; certificates begin a day ago, for clocks that differ.
inline constexpr int kDefaultCaDays = 7300;
inline constexpr int kDefaultNodeDays = 3650;

struct Authority {
  std::string certificate;
  std::string key;
};

struct NodeKey {
  std::string key;
  std::string certificate_signing_request;
};

struct SignedNode {
  std::string ca_certificate;
  std::string ca_key;
  std::string node_certificate;
};

struct CertificateInfo {
  std::string common_name;
  std::string issuer_common_name;
  std::vector<std::string> dns_names;
  int64_t not_before_s = 0;  // Unix time
  int64_t not_after_s = 0;
  bool is_ca = false;
};

// What a node speaks with. Made by LoadIdentity(), so it is consistent.
struct TlsIdentity {
  std::string ca_certificate;
  std::string certificate;
  std::string key;
  CertificateInfo info;  // of `certificate`
};

// `<node>.<cluster id>.pgquorum`
std::string NodeDnsName(const std::string& node_name, uint64_t cluster_id);

Result<Authority> CreateAuthority(const std::string& cluster_name, int days = kDefaultCaDays);
Result<NodeKey> CreateNodeKey(const std::string& node_name);
// Signs the request's public key under `node_name`, whatever name the request bears. A negative
// `days` makes a certificate that has expired (for tests).
Result<std::string> SignNode(const Authority& authority, const std::string& signing_request,
                             const std::string& node_name, uint64_t cluster_id,
                             int days = kDefaultNodeDays);

Result<CertificateInfo> Inspect(const std::string& certificate);
// SHA-256 of the certificate's DER, kFingerprintBytes raw bytes.
Result<std::string> Fingerprint(const std::string& certificate);

// Loads and checks: readable, the key belongs to the certificate, signed by the CA, valid now, CN
// is `node_name` (any when empty).
Result<TlsIdentity> LoadIdentity(const std::string& directory, const std::string& node_name);
Status VerifyIdentity(const TlsIdentity& identity, const std::string& node_name);

// Whole files with mode 0600, durable: temp file, fsync, rename, fsync of the directory.
Status WritePemFile(const std::string& path, const std::string& content);

// `node init`: a new CA and the first node's certificate, all four files in `directory` (made when
// missing, mode 0700).
Status CreateClusterPki(const std::string& directory, const std::string& cluster_name,
                        uint64_t cluster_id, const std::string& node_name);
// `cluster join`: the four files of a node that was admitted.
Status WriteJoinedPki(const std::string& directory, const NodeKey& key,
                      const JoinResponse& response);
// The member's part of a join: signs with the CA in `directory`.
Result<SignedNode> SignJoiner(const std::string& directory, const JoinRequest& request,
                              uint64_t cluster_id);

}  // namespace pgquorum::transport
