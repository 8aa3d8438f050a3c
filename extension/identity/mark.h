// The mark: what this node knows about its data directory that no copy of the directory can know.
// A directory that was put back from a copy lacks what the node has acknowledged since, and must
// not stand for it (docs/failover.md, Coming back).
//
//   STATE/mark             Mark    how often the server was started on the directory, and a
//                                  position that its WAL has reached for certain
//   DATA/pgquorum.starts   Starts  the directory's own count of starts
//
// Both are TextRecords. Two tests, because each sees what the other cannot:
// - the count of starts, by the postmaster before it opens anything: a directory that was copied
//   while its server was stopped is recognised exactly, however little was written since;
// - the position, by the consensus worker at the end of replay (bgworkers/consensus/mark_keeper.h):
//   also a snapshot of a running server, once the mark has moved past it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace pgquorum::identity {

inline constexpr char kMarkFile[] = "mark";               // in the state directory
inline constexpr char kStartsFile[] = "pgquorum.starts";  // in the data directory

struct Mark {
  uint64_t starts = 0;
  // WAL up to here is on this node's disk and survives a crash of every node. Timeline 0: not
  // known yet.
  uint32_t timeline = 0;
  uint64_t lsn = 0;
  // A repair has made the directory anew: it carries another node's count, and no server was
  // started on it yet. The own count goes on, or a copy from before the repair would pass.
  bool replaced = false;
  // Why the directory is not the one that this node left; empty: it is. Stays until the directory
  // is replaced or accepted: the files that gave it away may be gone at the next start.
  std::string restored;
  bool operator==(const Mark&) const = default;

  std::string Format() const;
  static Result<Mark> Parse(std::string_view text);
};

struct Starts {
  uint64_t count = 0;
  bool operator==(const Starts&) const = default;

  std::string Format() const;
  static Result<Starts> Parse(std::string_view text);
};

// What the files say about a directory that is about to be opened; the text of Mark::restored.
// No mark: the node was just joined. The directory's count may be ahead by one: it is written
// first, and a crash may come in between.
std::string WhyRestored(const std::optional<Mark>& mark, std::optional<uint64_t> starts,
                        bool backup_label);

// Judges the directory, counts this start in both files, and returns the mark as it is now. Before
// anything of the directory is opened. `backup_label`: one that no repair of ours left. A damaged
// mark counts as restored; errors are those of writing, and 55000 for a mark of a newer version.
Result<Mark> CountStart(const std::string& data_directory, const std::string& state_directory,
                        bool backup_label);

// After a repair has made the directory anew from another node's.
Status NoteReplaced(const std::string& state_directory);

}  // namespace pgquorum::identity

#include "base/pure.h"
