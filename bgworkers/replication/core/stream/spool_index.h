// What a site's spool holds of each origin, who still needs it, and what may go.
//
// The spool keeps every origin's transactions, the own ones included, until this site has applied
// them and every member has them on its own disk: if an origin is lost, the most advanced member
// serves the others from here. The index knows sequences and sizes; files are the caller's.
//
// A spool is bounded. The way out is never to drop what a member needs in silence: writers slow
// down (Pressure), nothing more is accepted (kFull), and a peer that holds back more than its
// budget is parked: it no longer holds anything, and needs a new copy when it comes back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <vector>

#include "base/status.h"
#include "bgworkers/replication/core/clock/origin.h"

namespace pgquorum::replication {

struct SpoolOptions {
  uint64_t segment_bytes = uint64_t{16} << 20;
  // Of each origin. A bound of all together would let origins wait for each other in a circle: each
  // spool full of what another, full one has to take first.
  uint64_t max_bytes = uint64_t{1} << 30;
  uint64_t peer_max_bytes = uint64_t{2} << 30;  // that one peer may hold back
};

// Of one origin at one site: it has the transactions in memory, on disk, in its tables.
// applied <= durable <= received.
struct Watermarks {
  uint64_t received = 0;
  uint64_t durable = 0;
  uint64_t applied = 0;
  bool operator==(const Watermarks&) const = default;
};

struct Segment {
  uint64_t first = 0;  // sequences, both included
  uint64_t last = 0;
  uint64_t bytes = 0;
  bool operator==(const Segment&) const = default;
};

class SpoolIndex {
 public:
  SpoolIndex(SiteId own, const SpoolOptions& options) : own_(own), options_(options) {}

  enum class Appended : uint8_t {
    kYes,
    kDuplicate,  // it is there, or was: acknowledge again
    kGap,        // one before it is missing: ask for Of(origin).received + 1
    kFull,       // take nothing of this origin until something was trimmed
  };
  Appended Append(Origin origin, uint64_t sequence, uint64_t bytes);
  // kErrBadAcknowledgement for more than was received, or applied more than is durable.
  Status MarkDurable(Origin origin, uint64_t sequence);
  Status MarkApplied(Origin origin, uint64_t sequence);
  // A copy of the data brought everything up to `sequence` along; older segments are of no use.
  void StartAt(Origin origin, uint64_t sequence);
  // After a restart: what is on disk, in order, and how much of it the tables have.
  // kErrSequenceGap when the segments do not follow each other.
  Status Recover(Origin origin, const std::vector<Segment>& segments, uint64_t applied);
  Watermarks Of(Origin origin) const;
  // The segment that the last transaction went to; nothing when none is held.
  std::optional<Segment> Newest(Origin origin) const;
  // The newest segment takes nothing more: the next transaction begins one.
  void Seal(Origin origin);

  // The peer holds back everything that it has not acknowledged, from now on.
  void AddPeer(SiteId peer);
  void RemovePeer(SiteId peer);
  // What the peer says it has; never lowers. kErrBadAcknowledgement for what was never here.
  Status Acknowledge(SiteId peer, Origin origin, const Watermarks& marks);
  // A new session with the peer. What it had in memory only may be lost, so it counts as not
  // received; acknowledgements of the session before must not be applied any more.
  void Reconnected(SiteId peer);
  Watermarks PeerAt(SiteId peer, Origin origin) const;
  // Whether a peer at `next` can go on from this spool; if not it needs a new copy, or another
  // site.
  bool CanServe(Origin origin, uint64_t next) const;

  // Segments that nobody needs; the caller deletes the files and then calls Trimmed.
  std::vector<Segment> Trimmable(Origin origin) const;
  void Trimmed(Origin origin, uint64_t last);

  // The peer that holds back most, when it is over its budget, or when the part of an
  // origin is full.
  std::optional<SiteId> PeerToPark() const;
  void Park(SiteId peer);
  bool Parked(SiteId peer) const;
  // Whole segments that would be trimmable without this peer.
  uint64_t HeldBackBy(SiteId peer) const;

  uint64_t bytes() const { return bytes_; }
  // 0 … 1000: how much writers have to slow down; rises from three quarters of the own part.
  uint32_t Pressure() const;
  std::vector<Origin> origins() const;

 private:
  struct Log {
    Watermarks marks;
    std::deque<Segment> segments;
    uint64_t bytes = 0;
    bool sealed = false;
  };
  struct Peer {
    bool parked = false;
    std::map<Origin, Watermarks> acknowledged;
  };
  // The highest sequence that may go, as far as this site and the peers but `except` care.
  uint64_t ReleasedTo(Origin origin, const Log& log, SiteId except) const;
  uint64_t ReleasedBy(const Peer& peer, SiteId site, Origin origin) const;

  SiteId own_;
  SpoolOptions options_;
  uint64_t bytes_ = 0;
  std::map<Origin, Log> logs_;
  std::map<SiteId, Peer> peers_;
};

// How the survivors of an origin's loss come to the same prefix of it: the most advanced one serves
// everybody else.
struct LevelUp {
  SiteId source;
  uint64_t target = 0;         // what everybody will have
  std::vector<SiteId> behind;  // who fetches from the source
};
// `durable`: what each surviving member has on disk, final because they no longer listen to the
// origin.
LevelUp PlanLevelUp(const std::map<SiteId, uint64_t>& durable);

}  // namespace pgquorum::replication

#include "base/pure.h"
