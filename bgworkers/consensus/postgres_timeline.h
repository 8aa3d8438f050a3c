// Timeline history files of the own data directory, and the placeholders that force an assigned
// timeline id.
//
// PostgreSQL gives a promoted server the id after the newest timeline it knows, and finds the
// newest by probing for `.history` files upwards from its own id until one is missing (timeline.c,
// findNewestTimeLine). So an *empty* history file for each id between the own one and the wanted
// one makes the wanted one come out. The same probing has consequences that the rules here follow:
//  - a gap below a real history file hides it: a standby that has WAL of timeline 7 but no file
//  for 2..6
//    would, after a restart, replay timeline 1 only, and report less than it has flushed;
//  - an empty file that is the newest of all makes the next start wait for ever, not consistent,
//  for WAL
//    of that timeline (measured);
//  - a walreceiver fetches the history files of all ids up to its primary's that it lacks, and dies
//  when
//    the primary lacks one.
// Hence: placeholders *below* the newest real history file stay for ever; those *above* it are
// removed, after a failed promotion and at every boot (NormalizeTimelines).
//
// Only POSIX; `data_directory` may be "." in the server's processes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "bgworkers/failover/ids.h"

namespace pgquorum::consensus {

// Parses the text of `<timeline>.history` (format: comments with #, `<parent
// id>\t<hi>/<lo>\t<reason>`). XX001 when PostgreSQL would refuse it.
Result<std::vector<failover::TimelineSwitch>> ParseTimelineHistory(failover::Timeline timeline,
                                                                   std::string_view text);

// The ancestors of `timeline`, oldest first. Timeline 1 has none. 58P01 when the file is missing,
// XX001 when it is damaged or only a placeholder.
Result<std::vector<failover::TimelineSwitch>> ReadTimelineHistory(const std::string& data_directory,
                                                                  failover::Timeline timeline);

struct TimelineFiles {
  std::vector<uint32_t> real;          // ids with a history of their own, ascending
  std::vector<uint32_t> placeholders;  // ids with an empty file, ascending
};
Result<TimelineFiles> ListTimelineFiles(const std::string& data_directory);

// Makes `wanted` the id that a promotion will get: an empty file for every id from `current` + 1 to
// `wanted` - 1 that has none. 55000 when `wanted` is not above `current`, has a file already, or an
// id above it has: then this id cannot come out. Bounded: 54000-like refusal (53400) for more than
// kMaxTimelineGap new files.
//
// Place them just before the promotion: while they are the newest, a standby logs "new timeline ...
// is not a child" at each retry, and a crash before the promotion needs NormalizeTimelines at boot.
Status PlaceTimelinePlaceholders(const std::string& data_directory, failover::Timeline current,
                                 failover::Timeline wanted);

// Removes every placeholder above the newest real history file, and fills gaps between `oldest`
// (the timeline of the control file's checkpoint) and the newest real one. Run at every boot before
// recovery starts, and after a promotion that did not happen. Returns how many files it changed.
Result<int> NormalizeTimelines(const std::string& data_directory, failover::Timeline oldest);

// Gives every id from 2 to below `timeline` a file: an ancestor its history, cut from `ancestors`
// (those of `timeline`, oldest first), any other a placeholder. A node that was cloned, or whose
// files were tidied away, lacks older ones, and a standby that is several timelines behind could
// not follow it: its walreceiver asks for each. Never touches a real file. Returns how many files
// it wrote.
Result<int> CompleteTimelines(const std::string& data_directory, failover::Timeline timeline,
                              const std::vector<failover::TimelineSwitch>& ancestors);

inline constexpr uint32_t kMaxTimelineGap = 10'000;

}  // namespace pgquorum::consensus
