// What a manager takes away when the catalogue no longer names its owner.
#pragma once

namespace pgquorum::replication::server {

// Slots of sites that are not in the group, whose walsenders are ended first; once the database is
// in no group, origins too. In a transaction; raises when something is in use, so call it again.
void ReleaseSlots();

}  // namespace pgquorum::replication::server
