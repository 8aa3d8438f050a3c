// Counters of one Core since its start; they only grow. Gauges (indexes, queue depths) are read
// from the core's observers.
#pragma once

#include <cstdint>

namespace pgquorum::raft {

struct Metrics {
  uint64_t pre_votes_started = 0;
  uint64_t elections_started = 0;
  uint64_t elections_won = 0;
  uint64_t votes_granted = 0;
  uint64_t votes_refused = 0;
  uint64_t stepped_down_quorum = 0;  // leader: no majority heard
  uint64_t stepped_down_disk = 0;    // leader: own disk stalled
  uint64_t appends_sent = 0;
  uint64_t entries_sent = 0;
  uint64_t appends_rejected = 0;  // by this node as a follower
  uint64_t entries_truncated = 0;
  uint64_t proposals_accepted = 0;
  uint64_t proposals_refused = 0;  // back-pressure, transfer, not leader
  uint64_t reads_quorum = 0;
  uint64_t reads_lease = 0;
  uint64_t snapshots_started = 0;  // transfers to followers
  uint64_t snapshot_chunks_sent = 0;
  uint64_t snapshots_installed = 0;
  uint64_t transfers_started = 0;
  uint64_t stalls_noted = 0;
  uint64_t configurations_rolled_back = 0;
};

}  // namespace pgquorum::raft

#include "base/pure.h"
