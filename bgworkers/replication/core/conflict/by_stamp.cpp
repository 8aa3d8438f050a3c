#include "bgworkers/replication/core/conflict/by_stamp.h"

#include <algorithm>
#include <string>

#include "base/pure.h"

namespace pgquorum::replication {
namespace {

// The stamp names the version, so it may stand for the image: equal images are equal versions.
Version VersionOf(const Stamp& stamp, bool deleted) {
  char bytes[kStampSize];
  EncodeStamp(stamp, bytes);
  Version version;
  version.stamp = stamp;
  version.dot = {stamp.origin, stamp.hlc.value()};
  version.deleted = deleted;
  if (!deleted) {
    version.image = {Value::Of(std::string(bytes, kStampSize))};
  }
  return version;
}

// A row from before replication began is older than every write, and was everywhere.
constexpr Stamp kBeforeAll{Hlc(1), Origin()};

}  // namespace

// A site's changes arrive in its order. So when the newest write here is the writer's own, it was
// known to it; and when it is not, and no base was shipped, the writer had overwritten something
// older of its own, or nothing.
Stamp KnownToWriter(const Stamp& newest, const std::optional<Stamp>& base, const Stamp& change) {
  if (base) {
    return *base;
  }
  return newest.origin == change.origin || newest == kBeforeAll ? newest : Stamp();
}

Result<StampVerdict> DecideByStamp(const StampedRow& known, const StampedChange& change,
                                   Strategy strategy) {
  StampedRow local = known;
  if (local.live && !local.written) {
    local.written = kBeforeAll;
  }
  // A transaction that deletes a row and inserts it again leaves a row and a tombstone of one
  // stamp.
  if (local.live && local.deleted <= local.written) {
    local.deleted = Stamp();
  }
  TablePolicy policy;
  policy.columns = 1;
  policy.strategy = strategy;
  crdt::FoldTable folds;
  RowState state;
  if (local.live) {
    state.newest = VersionOf(local.written, false);
  }
  if (local.deleted) {
    state.deleted = VersionOf(local.deleted, true);
  }
  Change incoming;
  incoming.operation = change.operation;
  incoming.version = VersionOf(change.stamp, change.operation == Operation::kDelete);
  Stamp newest = std::max(local.live ? local.written : Stamp(), local.deleted);
  incoming.base = KnownToWriter(newest, change.base, change.stamp);
  Result<Decision> decided = Decide(state, incoming, {policy, Stamp(), folds, StableLine()});
  if (!decided.ok()) {
    return decided.status();
  }
  const Decision& decision = decided.value();
  StampVerdict verdict{decision.action, decision.outcome, decision.conflict, false};
  // Beside a row that is newer it says nothing.
  verdict.keep_tombstone =
      !decision.row.live && decision.after.deleted && decision.after.deleted->stamp == change.stamp;
  return verdict;
}

}  // namespace pgquorum::replication
