// From a directory to an open storage: whose it is, recovery, the outcome of transactions that a
// crash interrupted. The worker does this; nobody else may.
//
// Include after extension/fusion/engine.h.
#pragma once

#include "extension/fusion/engine.h"

namespace pgquorum::fusion::server {

// Opens the storage for all processes. RX300 when it is not this server's, 55006 when it is in use.
// Repeatable until it succeeds.
Status OpenStorage(Engine& engine);

// Writes down how far the catalogs have come. A server whose own are behind that is a restored
// backup, a standby left behind or a rewound node: its catalogs name other segments.
Status NoteCatalogPosition();

}  // namespace pgquorum::fusion::server
