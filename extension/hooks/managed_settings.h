// ALTER SYSTEM on a member.
//
// - What follows from the cluster's decisions cannot be set: postgresql.auto.conf overrides
//   pgquorum.conf, so such a value would undo a pledge or the rule.
// - What the promises rest on cannot be turned off.
// - A setting of the cluster (pgquorum.failure_timeout, or failure_timeout alone) is no parameter
// of
//   this server: it goes through the cluster's log and counts on every node. It is never written to
//   postgresql.auto.conf, with which the next start would fail.
#pragma once

extern "C" {
struct Node;
}

namespace pgquorum::managed_settings {

// For ALTER SYSTEM on a member: raises 55000 for what may not be set; true when the statement was
// carried out here, by the cluster. False for everything else, on a standalone server always. RESET
// of a server's parameter is allowed, unless what is left does not fit together. `top_level`: not
// inside a function.
bool Handle(Node* statement, bool top_level);

}  // namespace pgquorum::managed_settings
