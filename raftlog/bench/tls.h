// One certificate for all nodes of a benchmark, made in memory: TLS 1.3, both ends prove to have
// it.
#pragma once

#include <openssl/ssl.h>

#include <memory>

namespace pgquorum::raft::bench {

struct ContextDeleter {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using TlsContext = std::unique_ptr<SSL_CTX, ContextDeleter>;

// Serves as client and as server.
TlsContext MakeTlsContext();

}  // namespace pgquorum::raft::bench

#include "base/pure.h"
