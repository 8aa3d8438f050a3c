// Requests of a program that is no node: the command line, with the certificate of the node whose
// state directory it may read. Blocking; not for a process with a Transport's main thread.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"

namespace pgquorum::transport {

struct ClientOptions {
  std::string pki_directory;
  bool insecure = false;
  std::string host;  // the transport's address of the member to ask
  uint16_t port = 0;
  int timeout_ms = 5000;
};

// What the member's owner answers to on_status. Errors: of LoadIdentity(), 08006, the owner's.
Result<std::string> QueryStatus(const ClientOptions& options);
// The owner's answer to on_forward; 08007 when it is unknown whether the request arrived.
Result<std::string> ForwardRequest(const ClientOptions& options, const std::string& request);

}  // namespace pgquorum::transport
