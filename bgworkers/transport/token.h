// The one-time token of `pgquorum cluster token`: what a new node needs to trust the cluster, and
// to be trusted by it, once.
//
// Text: "pgq1." and the base64url (RFC 4648 section 5, no padding) of version (1 byte), SHA-256 of
// the CA certificate's DER (32), secret (16), CRC-32C of all before (4, little endian). When it
// expires is known to the cluster, which stores SecretHash() only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace pgquorum::transport {

inline constexpr std::size_t kFingerprintBytes = 32;
inline constexpr std::size_t kSecretBytes = 16;

struct JoinToken {
  std::string ca_fingerprint;  // kFingerprintBytes raw bytes
  std::string secret;          // kSecretBytes raw bytes

  // A new secret for the CA whose certificate is in the file. Errors: 58P01, 58030, RX004 (no
  // certificate).
  static Result<JoinToken> Create(const std::string& ca_certificate_path);

  std::string Format() const;
  // White space around the token is ignored. Error 22023 says what is wrong: not a token, of a
  // later version, mistyped or cut off.
  static Result<JoinToken> Parse(std::string_view text);

  // What the cluster stores and compares: 32 bytes from which the secret cannot be computed.
  std::string SecretHash() const;
};

std::string HashSecret(std::string_view secret);

}  // namespace pgquorum::transport
