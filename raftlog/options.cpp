#include "raftlog/options.h"

#include <string>

#include "raftlog/codec.h"
#include "raftlog/errors.h"

#include "base/pure.h"

namespace pgquorum::raft {

Status Options::Validate() const {
  struct Rule {
    bool holds;
    const char* text;
  };
  const Rule rules[] = {
      {static_cast<bool>(id), "id must be set"},
      {tick_ns > 0, "tick_ns must be positive"},
      {heartbeat_ticks >= 1, "heartbeat_ticks must be at least 1"},
      {election_ticks >= 2 * heartbeat_ticks, "election_ticks must be at least 2 heartbeats"},
      {election_ticks <= 1'000'000 && election_ticks_max <= 10'000'000,
       "election_ticks is too large"},
      {election_ticks_max == 0 || election_ticks_max > election_ticks,
       "election_ticks_max must be above election_ticks"},
      {max_entries_per_append >= 1 && max_entries_per_append <= 1000,
       "max_entries_per_append must be from 1 to 1000"},
      {max_bytes_per_append >= 1, "max_bytes_per_append must be positive"},
      {max_inflight_appends >= 1 && max_inflight_bytes >= 1, "in-flight limits must be positive"},
      {max_uncommitted_entries >= 1 && max_uncommitted_bytes >= 1,
       "uncommitted limits must be positive"},
      {max_entry_bytes >= 1 && max_entry_bytes <= kMaxEntryDataBytes,
       "max_entry_bytes is out of range"},
      {max_unapplied_entries >= 1 && max_apply_bytes >= 1, "apply limits must be positive"},
      {snapshot_chunk_bytes >= 1 && snapshot_chunk_bytes <= kMaxChunkBytes,
       "snapshot_chunk_bytes is out of range"},
      {snapshot_chunks_per_tick >= 1, "snapshot_chunks_per_tick must be positive"},
      {snapshot_retry_ticks >= 1, "snapshot_retry_ticks must be positive"},
  };
  for (const Rule& rule : rules) {
    if (!rule.holds) {
      return Status::Error(kErrBadOption, "invalid raft option").WithDetail(rule.text);
    }
  }
  return Status::Ok();
}

}  // namespace pgquorum::raft
