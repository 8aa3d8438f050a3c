// Who listens there? A TLS 1.3 handshake that sends nothing, to see the certificates before a
// client decides to speak. Blocking. Inside of this folder only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"

namespace pgquorum::transport {

struct PresentedCertificates {
  std::string leaf;                // PEM
  std::vector<std::string> chain;  // PEM each, the leaf among them
};

// Errors: 08006.
Result<PresentedCertificates> PeekCertificates(const std::string& host, uint16_t port,
                                               int timeout_ms);

// Somebody who was checked: which CA it showed, and the name under which its certificate is
// verified when a client connects again.
struct CheckedPeer {
  std::string ca_certificate;
  std::string tls_name;
};

// The CA with this fingerprint must be in what was presented, must have signed the leaf, and the
// leaf must be valid now. Errors: RX004.
Result<CheckedPeer> CheckPresented(const PresentedCertificates& presented,
                                   const std::string& ca_fingerprint);

}  // namespace pgquorum::transport
