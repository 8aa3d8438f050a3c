// raft::Host: snapshots of the state machine, taken, sent, received and restored.
#include <algorithm>
#include <utility>

#include "raftlog/runtime/host_impl.h"
#include "raftlog/storage/errors.h"

#include "base/pure.h"

namespace pgquorum::raft {

void Host::Impl::MaybeSnapshot() {
  if (!snapshot_busy_ && core_->SnapshotDue()) {
    TakeSnapshot();
  }
}

// The copy is made here, between two entries; writing it is the files thread's work.
void Host::Impl::TakeSnapshot() {
  if (!fatal_.ok() || snapshot_busy_ || applied_ <= core_->snapshot().index) {
    return;
  }
  snapshot_busy_ = true;
  snapshot_since_ = Clock::now();
  SnapshotMeta meta;
  meta.index = applied_;
  meta.term = core_->log().TermAt(applied_);
  meta.configuration = core_->ConfigurationAt(applied_);
  std::string data = EncodeState();
  SnapshotStore::Describe(data, meta);
  files_.Submit([this, meta, data = std::move(data)] {
    Status saved = snapshots_->Save(meta, data);
    if (saved.ok()) {
      LogJob job;
      job.mark = meta;
      writer_->Submit(std::move(job));
    } else if (saved.sqlstate() == kErrDiskFull) {
      // The log goes on in its preallocated segments; the next attempt overwrites the leftover.
      Post([this] {
        snapshot_busy_ = false;
        core_->SnapshotFailed();
      });
    } else {
      Post([this, saved] { Fail(saved); });
    }
  });
}

void Host::Impl::SnapshotSaved(const SnapshotMeta& meta) {
  snapshot_busy_ = false;
  if (!fatal_.ok() || meta.index <= core_->snapshot().index) {
    return;
  }
  ++snapshots_taken_;
  RecordSince(snapshot_since_, snapshot_us_);
  core_->SnapshotTaken(meta);
  Release(meta);
}

// The core forgets the entries before the log store may drop them.
void Host::Impl::Release(const SnapshotMeta& meta) {
  Index through = core_->ReleasableTo();
  if (through) {
    core_->Compact(through);
  }
  LogJob job;
  job.release = through;
  job.keep = meta;
  writer_->Submit(std::move(job));
}

void Host::Impl::SendPiece(SnapshotSend send) {
  files_.Submit([this, send = std::move(send)]() mutable {
    Message& message = send.message;
    if (message.offset == 0) {
      // A transfer begins: what has rotted must not be sent for ever. The next start refills it.
      Result<SnapshotMeta> intact =
          snapshots_->Verify(message.snapshot.index, message.snapshot.term);
      if (!intact.ok() && intact.status().sqlstate() == kErrDamaged) {
        Post([this, intact] { Fail(intact.status()); });
        return;
      }
    }
    Result<std::string> piece =
        snapshots_->ReadPiece(message.snapshot, message.offset, send.max_bytes);
    if (piece.ok() && !piece.value().empty()) {
      message.chunk = std::move(piece).value();
      Send(message);
      return;
    }
    Post([this, to = message.to] {
      if (fatal_.ok()) {
        core_->SnapshotUnavailable(to);
      }
    });
  });
}

void Host::Impl::WritePiece(SnapshotWrite write) {
  files_.Submit([this, write = std::move(write)] {
    Result<uint64_t> next = snapshots_->WritePiece(write.meta, write.offset, write.data);
    Post([this, next, meta = write.meta] {
      if (!next.ok()) {
        Fail(next.status());
      } else if (fatal_.ok()) {
        core_->SnapshotWritten(meta, next.value());
      }
    });
  });
}

void Host::Impl::Restore(const SnapshotMeta& meta) {
  Status status = RestoreMachine(meta);
  if (!status.ok()) {
    Fail(std::move(status));
    return;
  }
  // Proposals up to here were decided without this node seeing how.
  while (!waiters_.empty() && waiters_.begin()->first <= meta.index) {
    auto node = waiters_.extract(waiters_.begin());
    node.mapped().done(Status::Error(kErrOutcomeUnknown, "the outcome of the proposal is not known")
                           .WithDetail("A snapshot replaced the log it was in."),
                       Index(), {});
  }
  recent_.clear();
  core_->Applied(applied_);
  ReleaseReads();
  Release(meta);
}

// A megabyte at a time: every fourth tick (25 MB/s with ticks of 10 ms) beside commits that have a
// segment to go to, every tick when the next segment would else be filled while they wait.
void Host::Impl::PrepareSpares() {
  uint32_t missing = log_->missing_spares();
  uint64_t every = missing == options_.log.spare_segments ? 1 : 4;
  if (missing == 0 || ticks_ % every != 0 || files_.queued() != 0) {
    return;
  }
  files_.Submit([this] {
    Status made = log_->PrepareSpare();
    if (!made.ok() && made.sqlstate() != kErrDiskFull) {
      Post([this, made] { Fail(made); });
    }
  });
}

}  // namespace pgquorum::raft
