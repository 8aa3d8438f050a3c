// What a node finds on its disk at a start, as the core needs it. Filled by the log store.
#pragma once

#include <string>
#include <vector>

#include "raftlog/types.h"

namespace pgquorum::raft {

// From `first` on, until the next TermStart, entries have this term. Terms change rarely, so the
// whole log's terms fit into memory and conflicts are found without the disk.
struct TermStart {
  Index first;
  Term term;

  bool operator==(const TermStart&) const = default;
};

struct RecoveredState {
  HardState hard_state;
  // The newest durable snapshot; index 0: none.
  SnapshotMeta snapshot;
  // The log holds first … last; empty: last + 1 == first. first <= snapshot.index + 1 (older
  // entries may be kept for slow followers), first >= 1, last >= snapshot.index.
  Index first{1};
  Index last;
  std::vector<TermStart> term_starts;  // ascending; covers first … last
  std::vector<Entry> config_entries;   // every kConfig entry above snapshot.index, ascending
  // The state machine already holds entries up to here (it is at least the snapshot's index).
  Index applied;
  // Damage: the log is known to have been durable up to (refill_term, refill_index) and no longer
  // is; what is left may end in entries that had been replaced. The node neither votes nor
  // campaigns nor believes its commit index until its log is at least that up-to-date again. Zero:
  // undamaged.
  Term refill_term;
  Index refill_index;
};

// The first contents of the log of every founding member: one configuration entry at index 1 of
// term 1, committed. All founders must use the same configuration; nodes that join later start with
// an empty log instead.
struct Bootstrap {
  HardState hard_state;
  Entry entry;
};
Bootstrap BootstrapLog(const Configuration& configuration, std::string context);

}  // namespace pgquorum::raft

#include "base/pure.h"
