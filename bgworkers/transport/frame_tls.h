// TLS of the streams between nodes: 1.3 alone, both ends with a certificate of the cluster's CA,
// under a protocol name of their own, so that no other use of the same certificates can be mistaken
// for it. Inside of this folder only.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "bgworkers/transport/openssl_handles.h"
#include "bgworkers/transport/pki.h"

namespace pgquorum::transport {

class FrameTls {
 public:
  // The identity is not checked here: LoadIdentity() has done it.
  static Result<std::shared_ptr<const FrameTls>> Create(const TlsIdentity& identity);

  // Before the handshake, null without memory. The dialer's accepts `peer_name` alone.
  SslPtr Accepting(int fd) const;
  SslPtr Dialing(int fd, const std::string& peer_name) const;

 private:
  FrameTls() = default;
  SslContextPtr accepting_;
  SslContextPtr dialing_;
};

// Of a finished handshake: did both ends mean a stream of frames?
bool SpeaksFrames(const SSL* ssl);
// The one CN of the peer's certificate; empty when there is none, or several.
std::string PeerCommonName(const SSL* ssl);

}  // namespace pgquorum::transport
