// Settings that follow from the cluster's decisions. On a member they cannot be set by ALTER
// SYSTEM: postgresql.auto.conf overrides pgquorum.conf, so such a value would undo a pledge or the
// rule.
#pragma once

extern "C" {
struct Node;
}

namespace pgquorum::managed_settings {

// Raises 55000 for ALTER SYSTEM SET of a managed setting on a member. RESET is always allowed.
void Refuse(const Node* statement);

}  // namespace pgquorum::managed_settings
