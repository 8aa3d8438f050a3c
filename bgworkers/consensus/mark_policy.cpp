#include "bgworkers/consensus/mark_policy.h"

#include "base/pure.h"

namespace pgquorum::consensus {

using failover::History;
using failover::Lsn;
using failover::Position;
using failover::Timeline;

namespace {

// The insert position names the byte where the next record may begin, behind the header of a page
// that is not begun yet; replay of the record before ends in front of the header. So a position
// that is less than the longest header (XLogLongPageHeaderData, 40 bytes) into its page may be the
// page's begin.
constexpr uint64_t kPage = 8192;
constexpr uint64_t kLongestHeader = 40;

Lsn WithoutPageHeader(Lsn insert) {
  uint64_t into = insert.value() % kPage;
  return into <= kLongestHeader ? Lsn(insert.value() - into) : insert;
}

}  // namespace

Position SurvivingPosition::Look(const History& history, Lsn insert, Lsn flush) {
  if (!insert) {  // in recovery
    awaited_ = Position();
    flushed_ = {history.timeline, history.end};
    return history.timeline && history.end ? flushed_ : Position();
  }
  if (awaited_.timeline == history.timeline && flush >= awaited_.lsn) {
    flushed_ = awaited_;
    awaited_ = Position();
  }
  if (awaited_.timeline != history.timeline) {
    awaited_ = {history.timeline, WithoutPageHeader(insert)};
  }
  return flushed_;
}

bool EndsBelowMark(const History& reached, Position mark) {
  if (!mark) {
    return false;
  }
  // Without the ancestors (a history file that could not be read) the order of positions is what is
  // left.
  bool ancestors_known = reached.timeline == Timeline(1) || !reached.ancestors.empty();
  return ancestors_known ? !reached.Contains(mark) : Position{reached.timeline, reached.end} < mark;
}

}  // namespace pgquorum::consensus

#include "base/pure.h"
