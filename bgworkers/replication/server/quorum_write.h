// Commits that return when enough sites have applied them.
#pragma once

namespace pgquorum::replication::server {

// This transaction has written what other sites are to have. Raises.
void NoteReplicatedWrite();

}  // namespace pgquorum::replication::server
