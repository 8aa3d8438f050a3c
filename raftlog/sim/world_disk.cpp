// What the runtime's writer and files threads do on a simulated node, and what their disk does to
// them. An error of the disk ends the node; it comes back and recovers.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/storage/errors.h"
#include "raftlog/describe.h"
#include "raftlog/sim/world.h"

#include "base/pure.h"

namespace pgquorum::raft::sim {
namespace {

Point PointOf(DiskFault fault) {
  switch (fault) {
    case DiskFault::kWriteError:
      return Point::kDiskWriteError;
    case DiskFault::kNoSpace:
      return Point::kDiskFull;
    case DiskFault::kShortWrite:
      return Point::kDiskShortWrite;
    case DiskFault::kSyncError:
      return Point::kDiskSyncError;
    default:
      return Point::kDiskLaterError;
  }
}

}  // namespace

void World::QueueBatch(Node& node, Persist batch) {
  if (bugs_.send_before_durable) {
    for (const Message& message : std::exchange(batch.messages_after, {})) {
      Transmit(message);
    }
  }
  DiskJob job;
  job.persist = std::move(batch);
  if (node.refilling && !node.core->refilling()) {
    node.refilling = false;
    node.spoiled = false;
    job.refill_done = true;
    coverage_.Hit(Point::kRefilled);
    Trace("refilled " + std::to_string(node.id.value()));
  }
  QueueJob(node, std::move(job));
}

void World::QueueJob(Node& node, DiskJob job) {
  node.idle_ticks = 0;
  node.disk->Queue(std::move(job));
  if (!node.syncing) {
    StartSync(node);
  }
}

// One sync serves all that was queued when it began.
void World::StartSync(Node& node) {
  node.syncing = true;
  node.disk->BeginGroup();
  // Calm includes the disks: the liveness phase measures the protocol, not a slow device.
  uint64_t longest = chaos_ ? plan_.sync_us_max : std::min<uint64_t>(plan_.sync_us_max, 2'000);
  uint64_t done = std::max(now_ + 10 + random_.Below(longest), node.disk_stuck_until);
  OnNode(node.id, done, [this](Node& at) { SyncDone(at); });
}

void World::SyncDone(Node& node) {
  uint64_t incarnation = node.incarnation;
  std::vector<DiskJob> jobs;
  Status status = node.disk->FinishGroup(jobs);
  if (!status.ok()) {
    DiskFailed(node, status);
    return;
  }
  for (DiskJob& job : jobs) {
    if (!JobDone(node, job)) {
      return;
    }
  }
  PGQUORUM_CHECK(node.incarnation == incarnation);
  node.syncing = false;
  if (!node.disk->idle()) {
    StartSync(node);
  }
}

// False: the node has crashed.
bool World::JobDone(Node& node, DiskJob& job) {
  node.disk->NoteDurable(job);
  if (CrashPoint(node, Point::kCrashAfterSync)) {
    return false;
  }
  if (job.mark) {
    node.snapshot_busy = false;
    if (job.mark->index > node.core->snapshot().index) {
      node.core->SnapshotTaken(*job.mark);
      Release(node, *job.mark);
    }
    return true;
  }
  if (!job.persist) {
    return true;
  }
  for (const Message& message : job.persist->messages_after) {
    Transmit(message);
  }
  if (CrashPoint(node, Point::kCrashAfterRelease)) {
    return false;
  }
  node.core->Persisted(job.persist->sequence, job.persist->term, job.persist->index);
  coverage_.Hit(Point::kSnapshotInstalled, job.persist->install_snapshot ? 1 : 0);
  return true;
}

// What the writer does when nothing waits, and the files thread now and then.
void World::IdleDisk(Node& node) {
  Status status = Status::Ok();
  if (node.disk->idle() && ++node.idle_ticks == 3) {
    status = node.disk->Prove();
  }
  if (status.ok() && random_.Chance(1, 16)) {
    status = node.disk->PrepareSpare();
  }
  if (!status.ok()) {
    DiskFailed(node, status);
  }
}

void World::DiskFailed(Node& node, const Status& status) {
  Trace("disk of " + std::to_string(node.id.value()) + " failed: " + status.ToString());
  if (status.sqlstate() == kErrDamaged) {
    coverage_.Hit(Point::kReadFoundDamage);
    if (!node.spoiled) {
      checker_.Fail("node " + std::to_string(node.id.value()) +
                    " found damage where there is none: " + status.ToString());
    }
  } else {
    coverage_.Hit(PointOf(node.disk->failed_with()));
  }
  Down(node, random_.Chance(1, 2) ? MemoryLoss::kNone : MemoryLoss::kRandom);
}

// One disk at a time, and none where no other could make up for it.
void World::SpoilSome(Node* node) {
  bool one_is = std::any_of(nodes_.begin(), nodes_.end(),
                            [](const auto& item) { return item.second->spoiled; });
  if (node == nullptr || one_is || plan_.founders < 3) {
    return;
  }
  bool dies = false;
  Damage damage = node->disk->Spoil(random_, dies);
  if (damage == Damage::kNone) {
    return;
  }
  node->spoiled = true;
  coverage_.Hit(damage == Damage::kBitFlip     ? Point::kBitFlip
                : damage == Damage::kLostWrite ? Point::kLostWrite
                                               : Point::kSnapshotSpoiled);
  Trace("spoiled " + std::to_string(node->id.value()));
  if (dies) {
    Crash(*node);
  }
}

void World::SendSnapshot(Node& node, SnapshotSend& send) {
  Result<std::string> piece =
      node.disk->ReadPiece(send.message.snapshot, send.message.offset, send.max_bytes);
  if (piece.ok() && !piece.value().empty()) {
    send.message.chunk = std::move(piece).value();
    Transmit(send.message);
    return;
  }
  NodeId to = send.message.to;
  OnNode(node.id, now_, [this, to, piece](Node& sender) {
    if (!piece.ok() && piece.status().sqlstate() == kErrDamaged) {
      DiskFailed(sender, piece.status());
      return;
    }
    sender.core->SnapshotUnavailable(to);
  });
}

bool World::WritePiece(Node& node, const SnapshotWrite& piece) {
  Result<uint64_t> next = node.disk->WritePiece(piece);
  if (!next.ok()) {
    DiskFailed(node, next.status());
    return false;
  }
  SnapshotMeta meta = piece.meta;
  uint64_t offset = next.value();
  node.piece_done_at = std::max(node.piece_done_at, now_) + random_.Below(plan_.sync_us_max);
  OnNode(node.id, node.piece_done_at,
         [meta, offset](Node& at) { at.core->SnapshotWritten(meta, offset); });
  return true;
}

bool World::Restore(Node& node, const SnapshotMeta& meta) {
  Trace("restore " + std::to_string(node.id.value()) + " " + Describe(meta));
  Result<std::string> data = node.disk->Load(meta);
  if (!data.ok()) {
    DiskFailed(node, data.status());
    return false;
  }
  node.machine = Machine();
  PGQUORUM_CHECK(node.machine.Load(data.value()).ok());
  checker_.OnApply(node.id, node.machine);
  // Proposals up to here were decided without this node seeing how.
  std::erase_if(node.proposals, [&](const auto& item) { return item.first.first <= meta.index; });
  AnswerReads(node);
  Release(node, meta);
  return true;
}

void World::MaybeSnapshot(Node& node) {
  if (node.snapshot_busy || !node.core->SnapshotDue()) {
    return;
  }
  SnapshotMeta meta;
  std::string data = node.machine.Save();
  meta.index = node.machine.applied();
  meta.term = node.machine.applied_term();
  meta.configuration = node.core->ConfigurationAt(meta.index);
  SnapshotStore::Describe(data, meta);
  Trace("snapshot " + std::to_string(node.id.value()) + " " + Describe(meta));
  bool no_space = chaos_ && plan_.disk_errors && random_.Chance(1, 10);
  Status saved = node.disk->Save(meta, data, no_space);
  if (saved.sqlstate() == kErrDiskFull) {
    // The log goes on in segments that are there already.
    coverage_.Hit(Point::kSnapshotNoSpace);
    node.core->SnapshotFailed();
    return;
  }
  if (!saved.ok()) {
    DiskFailed(node, saved);
    return;
  }
  node.snapshot_busy = true;
  if (CrashPoint(node, Point::kCrashAfterSnapshotTaken)) {
    return;
  }
  DiskJob job;
  job.mark = meta;
  QueueJob(node, std::move(job));
}

// The core forgets the entries before the log store may drop them.
void World::Release(Node& node, const SnapshotMeta& meta) {
  Index through = node.core->ReleasableTo();
  if (through) {
    node.core->Compact(through);
  }
  uint64_t before = node.disk->segments_recycled();
  DiskJob job;
  job.release = through;
  job.keep = meta;
  QueueJob(node, std::move(job));
  coverage_.Hit(Point::kSegmentRecycled, before > 0 ? 1 : 0);
}

}  // namespace pgquorum::raft::sim
