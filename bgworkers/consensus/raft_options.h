// From the settings, in milliseconds, to the options of the Raft core, in ticks of its clock.
#pragma once

#include "extension/raft_settings.h"
#include "raftlog/options.h"

namespace pgquorum::consensus {

// Sets tick, heartbeat, election timeouts and the bound of an append. A heartbeat is a whole number
// of ticks and exact; an election timeout is rounded up to whole ticks, never to nothing. The
// values have passed raft_settings::Check.
void Apply(const raft_settings::Values& values, raft::Options& options);

}  // namespace pgquorum::consensus

#include "base/pure.h"
