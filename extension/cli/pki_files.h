// The certificates of a node, written to its state directory
// (docs/design/0001-anatomy-of-a-node.md).
#pragma once

#include "base/status.h"
#include "extension/cli/files.h"
#include "extension/identity/identity.h"

namespace pgquorum::cli {

// A new private CA and this node's certificate in `pki`.
Status CreateClusterPki(const fs::path& pki, const identity::NodeIdentity& node);

}  // namespace pgquorum::cli
