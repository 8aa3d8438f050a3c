#include "bgworkers/replication/core/stream/spool_index.h"

#include <algorithm>
#include <string>

#include "base/check.h"
#include "bgworkers/replication/core/bug.h"
#include "bgworkers/replication/core/errors.h"

#include "base/pure.h"

namespace pgquorum::replication {
namespace {

Status BadAcknowledgement(Origin origin, uint64_t claimed, uint64_t there) {
  return Status::Error(kErrBadAcknowledgement, "acknowledgement of what is not there")
      .WithDetail("Origin " + origin.ToString() + " at " + std::to_string(there) + ", claimed " +
                  std::to_string(claimed) + ".");
}

}  // namespace

SpoolIndex::Appended SpoolIndex::Append(Origin origin, uint64_t sequence, uint64_t bytes) {
  Log& log = logs_[origin];
  if (sequence <= log.marks.received) {
    return Appended::kDuplicate;
  }
  if (sequence != log.marks.received + 1 && !PGQUORUM_REPLICATION_BUG(kGapAccepted)) {
    return Appended::kGap;
  }
  if (log.bytes + bytes > options_.max_bytes && log.bytes > 0) {
    return Appended::kFull;
  }
  bool fresh =
      log.segments.empty() || log.sealed || log.segments.back().bytes >= options_.segment_bytes;
  if (fresh) {
    log.sealed = false;
    log.segments.push_back({sequence, sequence, 0});
  }
  log.segments.back().last = sequence;
  log.segments.back().bytes += bytes;
  log.marks.received = sequence;
  log.bytes += bytes;
  bytes_ += bytes;
  return Appended::kYes;
}

Status SpoolIndex::MarkDurable(Origin origin, uint64_t sequence) {
  Watermarks& marks = logs_[origin].marks;
  if (sequence > marks.received) {
    return BadAcknowledgement(origin, sequence, marks.received);
  }
  marks.durable = std::max(marks.durable, sequence);
  return Status::Ok();
}

Status SpoolIndex::MarkApplied(Origin origin, uint64_t sequence) {
  Watermarks& marks = logs_[origin].marks;
  if (sequence > marks.durable) {
    return BadAcknowledgement(origin, sequence, marks.durable);
  }
  marks.applied = std::max(marks.applied, sequence);
  return Status::Ok();
}

void SpoolIndex::StartAt(Origin origin, uint64_t sequence) {
  Log& log = logs_[origin];
  PGQUORUM_CHECK(log.marks.received <= sequence);
  bytes_ -= log.bytes;
  log.bytes = 0;
  log.segments.clear();
  log.marks = {sequence, sequence, sequence};
}

Status SpoolIndex::Recover(Origin origin, const std::vector<Segment>& segments, uint64_t applied) {
  Log log;
  for (const Segment& segment : segments) {
    bool follows = log.segments.empty() || segment.first == log.segments.back().last + 1;
    if (!follows || segment.last < segment.first) {
      return Status::Error(kErrSequenceGap, "spool of origin " + origin.ToString() + " has a gap")
          .WithDetail("No segment begins where the one before " + std::to_string(segment.first) +
                      " ends.");
    }
    log.segments.push_back(segment);
  }
  uint64_t last = segments.empty() ? applied : segments.back().last;
  if (last < applied) {
    // What was applied was durable; segments that end before it were trimmed late, and nothing can
    // be appended to them.
    log.segments.clear();
    last = applied;
  }
  log.marks = {last, last, applied};
  for (const Segment& segment : log.segments) {
    log.bytes += segment.bytes;
  }
  bytes_ += log.bytes - logs_[origin].bytes;
  logs_[origin] = std::move(log);
  return Status::Ok();
}

Watermarks SpoolIndex::Of(Origin origin) const {
  auto found = logs_.find(origin);
  return found == logs_.end() ? Watermarks() : found->second.marks;
}

std::optional<Segment> SpoolIndex::Newest(Origin origin) const {
  auto found = logs_.find(origin);
  bool none = found == logs_.end() || found->second.segments.empty();
  return none ? std::nullopt : std::optional(found->second.segments.back());
}

void SpoolIndex::Seal(Origin origin) {
  logs_[origin].sealed = true;
}

void SpoolIndex::AddPeer(SiteId peer) {
  peers_[peer] = Peer();
}

void SpoolIndex::RemovePeer(SiteId peer) {
  peers_.erase(peer);
}

Status SpoolIndex::Acknowledge(SiteId site, Origin origin, const Watermarks& marks) {
  auto peer = peers_.find(site);
  if (peer == peers_.end() || marks.applied > marks.durable || marks.durable > marks.received) {
    return BadAcknowledgement(origin, marks.applied, marks.durable);
  }
  // A site knows all of its own; of other origins a peer may have more, since others send as well.
  uint64_t own = Of(origin).received;
  if (origin.site == own_ && marks.received > own) {
    return BadAcknowledgement(origin, marks.received, own);
  }
  Watermarks& known = peer->second.acknowledged[origin];
  known.received = std::max(known.received, marks.received);
  known.durable = std::max(known.durable, marks.durable);
  known.applied = std::max(known.applied, marks.applied);
  return Status::Ok();
}

void SpoolIndex::Reconnected(SiteId site) {
  auto peer = peers_.find(site);
  if (peer != peers_.end() && !PGQUORUM_REPLICATION_BUG(kReceivedOutlivesSession)) {
    for (auto& [origin, marks] : peer->second.acknowledged) {
      marks.received = marks.durable;
    }
  }
}

Watermarks SpoolIndex::PeerAt(SiteId site, Origin origin) const {
  auto peer = peers_.find(site);
  if (peer == peers_.end() || !peer->second.acknowledged.contains(origin)) {
    return {};
  }
  return peer->second.acknowledged.at(origin);
}

bool SpoolIndex::CanServe(Origin origin, uint64_t next) const {
  auto log = logs_.find(origin);
  if (log == logs_.end()) {
    return next == 1;
  }
  if (next > log->second.marks.received) {
    return true;
  }
  return !log->second.segments.empty() && next >= log->second.segments.front().first;
}

uint64_t SpoolIndex::ReleasedBy(const Peer& peer, SiteId site, Origin origin) const {
  // Parked peers get a new copy; a site has its own transactions.
  if (peer.parked || origin.site == site) {
    return UINT64_MAX;
  }
  auto found = peer.acknowledged.find(origin);
  if (found == peer.acknowledged.end()) {
    return 0;
  }
  return PGQUORUM_REPLICATION_BUG(kTrimAfterReceived) ? found->second.received
                                                      : found->second.durable;
}

uint64_t SpoolIndex::ReleasedTo(Origin origin, const Log& log, SiteId except) const {
  uint64_t released = log.marks.applied;
  for (const auto& [site, peer] : peers_) {
    if (site != except) {
      released = std::min(released, ReleasedBy(peer, site, origin));
    }
  }
  return released;
}

std::vector<Segment> SpoolIndex::Trimmable(Origin origin) const {
  std::vector<Segment> trimmable;
  auto log = logs_.find(origin);
  if (log != logs_.end()) {
    uint64_t released = ReleasedTo(origin, log->second, SiteId());
    for (const Segment& segment : log->second.segments) {
      if (segment.last > released) {
        break;
      }
      trimmable.push_back(segment);
    }
  }
  return trimmable;
}

void SpoolIndex::Trimmed(Origin origin, uint64_t last) {
  Log& log = logs_[origin];
  PGQUORUM_CHECK(last <= ReleasedTo(origin, log, SiteId()));
  while (!log.segments.empty() && log.segments.front().last <= last) {
    log.bytes -= log.segments.front().bytes;
    bytes_ -= log.segments.front().bytes;
    log.segments.pop_front();
  }
}

uint64_t SpoolIndex::HeldBackBy(SiteId site) const {
  uint64_t held = 0;
  auto peer = peers_.find(site);
  if (peer == peers_.end()) {
    return 0;
  }
  for (const auto& [origin, log] : logs_) {
    uint64_t others = ReleasedTo(origin, log, site);
    uint64_t this_one = ReleasedBy(peer->second, site, origin);
    for (const Segment& segment : log.segments) {
      held += segment.last <= others && segment.last > this_one ? segment.bytes : 0;
    }
  }
  return held;
}

std::optional<SiteId> SpoolIndex::PeerToPark() const {
  std::optional<SiteId> worst;
  bool full = std::any_of(logs_.begin(), logs_.end(), [this](const auto& log) {
    return log.second.bytes >= options_.max_bytes;
  });
  uint64_t most = full ? 0 : options_.peer_max_bytes;
  for (const auto& [site, peer] : peers_) {
    uint64_t held = HeldBackBy(site);
    if (held > most) {
      most = held;
      worst = site;
    }
  }
  return worst;
}

void SpoolIndex::Park(SiteId peer) {
  auto found = peers_.find(peer);
  PGQUORUM_CHECK(found != peers_.end());
  found->second.parked = true;
}

bool SpoolIndex::Parked(SiteId peer) const {
  auto found = peers_.find(peer);
  return found != peers_.end() && found->second.parked;
}

uint32_t SpoolIndex::Pressure() const {
  uint64_t start = options_.max_bytes / 4 * 3;
  uint64_t range = std::max<uint64_t>(options_.max_bytes - start, 1);
  uint64_t own = 0;
  for (const auto& [origin, log] : logs_) {
    own = origin.site == own_ ? std::max(own, log.bytes) : own;
  }
  uint64_t above = own > start ? std::min(own - start, range) : 0;
  return static_cast<uint32_t>(above * 1000 / range);
}

std::vector<Origin> SpoolIndex::origins() const {
  std::vector<Origin> origins;
  for (const auto& [origin, log] : logs_) {
    origins.push_back(origin);
  }
  return origins;
}

LevelUp PlanLevelUp(const std::map<SiteId, uint64_t>& durable) {
  LevelUp plan;
  for (const auto& [site, sequence] : durable) {
    if (!plan.source || sequence > plan.target) {
      plan.source = site;
      plan.target = sequence;
    }
  }
  for (const auto& [site, sequence] : durable) {
    if (sequence < plan.target) {
      plan.behind.push_back(site);
    }
  }
  return plan;
}

}  // namespace pgquorum::replication
