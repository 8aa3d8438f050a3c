#include "bgworkers/consensus/postgres_replay.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>
#include <vector>

#include "bgworkers/consensus/postgres_guard.h"
#include "bgworkers/consensus/postgres_timeline.h"
#include "sqlstates.h"

extern "C" {
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xlogreader.h"
#include "access/xlogrecovery.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/wait_event.h"
}

namespace pgquorum::consensus {

using failover::History;
using failover::Timeline;
using failover::TimelineSwitch;

// ---- reading the local WAL files --------------------------------------------------------------

namespace {

// The histories that the startup process would read for `own`: that of the newest timeline it knows
// if that is a descendant, else the own one (xlogrecovery.c, rescanLatestTimeLine).
std::vector<TimelineSwitch> ReadableTimelines(const History& own) {
  std::vector<TimelineSwitch> chain = own.ancestors;
  Timeline newest = own.timeline;
  Result<TimelineFiles> files = ListTimelineFiles(".");
  if (files.ok()) {
    const auto known = [&](uint32_t id) {
      return std::binary_search(files.value().real.begin(), files.value().real.end(), id) ||
             std::binary_search(files.value().placeholders.begin(),
                                files.value().placeholders.end(), id);
    };
    while (known(newest.value() + 1)) {
      ++newest;
    }
  }
  if (newest != own.timeline) {
    Result<std::vector<TimelineSwitch>> later = ReadTimelineHistory(".", newest);
    const bool child = later.ok() && std::any_of(later.value().begin(), later.value().end(),
                                                 [&](const TimelineSwitch& s) {
                                                   return s.timeline == own.timeline;
                                                 });
    if (child) {
      chain = std::move(later).value();
    } else {
      newest = own.timeline;
    }
  }
  chain.push_back({newest, Lsn()});
  return chain;
}

// Page source of an XLogReader over pg_wal. Plain memory: it lives across PostgreSQL calls that may
// raise.
struct PageSource {
  const TimelineSwitch* chain;  // oldest first
  std::size_t chain_size;
  int fd;
  XLogSegNo segment;
};

void OpenSegment(PageSource* source, XLogSegNo segment) {
  if (source->fd >= 0) {
    close(source->fd);
  }
  source->fd = -1;
  source->segment = segment;
  // The newest timeline that has the segment, as the startup process chooses.
  for (std::size_t i = source->chain_size; i-- > 0 && source->fd < 0;) {
    if (i > 0) {
      const XLogRecPtr begin = source->chain[i - 1].end.value();
      if (segment < begin / static_cast<uint64_t>(wal_segment_size)) {
        continue;  // this timeline began later
      }
    }
    char path[MAXPGPATH];
    XLogFilePath(path, source->chain[i].timeline.value(), segment, wal_segment_size);
    source->fd = open(path, O_RDONLY | O_CLOEXEC);
  }
}

int ReadPage(XLogReaderState* reader, XLogRecPtr page, int, XLogRecPtr, char* buffer) {
  PageSource* source = static_cast<PageSource*>(reader->private_data);
  const uint64_t size = static_cast<uint64_t>(wal_segment_size);
  if (source->fd < 0 || source->segment != page / size) {
    OpenSegment(source, page / size);
  }
  if (source->fd < 0) {
    return -1;
  }
  const ssize_t n = pread(source->fd, buffer, XLOG_BLCKSZ, static_cast<off_t>(page % size));
  return n == XLOG_BLCKSZ ? XLOG_BLCKSZ : -1;
}

void CloseNothing(XLogReaderState*) {}

bool HasRecordAt(XLogReaderState* reader, XLogRecPtr at) {
  char* error = nullptr;
  XLogBeginRead(reader, at);
  return XLogReadRecord(reader, &error) != nullptr;
}

bool RecordFollows(XLogReaderState* reader, XLogRecPtr from) {
  if (!HasRecordAt(reader, from)) {
    return false;
  }
  // A walreceiver writes into recycled files, so behind the last byte received may stand an old
  // record that is valid in itself. A true successor names a predecessor that ends here.
  const XLogRecPtr previous = XLogRecGetPrev(reader);
  if (HasRecordAt(reader, previous)) {
    return reader->EndRecPtr == from;
  }
  // The predecessor's file is gone. Recycled garbage is many segments old; a true predecessor is
  // not.
  const uint64_t size = static_cast<uint64_t>(wal_segment_size);
  return previous / size + 1 >= from / size;
}

}  // namespace

Result<bool> WalRecordFollows(const History& history, Lsn from) {
  const std::vector<TimelineSwitch> chain = ReadableTimelines(history);
  PageSource source{chain.data(), chain.size(), -1, 0};
  static XLogReaderRoutine routine = [] {
    XLogReaderRoutine r{};
    r.page_read = ReadPage;
    r.segment_close = CloseNothing;
    return r;
  }();
  bool follows = false;
  Status status = Guarded("could not read the WAL files", [&] {
    XLogReaderState* reader = XLogReaderAllocate(wal_segment_size, nullptr, &routine, &source);
    if (reader == nullptr) {
      ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
    }
    follows = RecordFollows(reader, from.value());
    XLogReaderFree(reader);
  });
  if (source.fd >= 0) {
    close(source.fd);
  }
  if (!status.ok()) {
    return status;
  }
  return follows;
}

// ---- end of replay -----------------------------------------------------------------------------

namespace {

// What pg_stat_activity shows for the startup process; 0: it does not wait.
uint32_t StartupWaitEvent(int32_t startup_pid) {
  const PGPROC* proc = startup_pid == 0 ? nullptr : AuxiliaryPidGetProc(startup_pid);
  return proc == nullptr ? 0 : *const_cast<const volatile uint32*>(&proc->wait_event_info);
}

// Between two searches for WAL.
bool StartupWaitsForWal(int32_t startup_pid) {
  return StartupWaitEvent(startup_pid) == WAIT_EVENT_RECOVERY_RETRIEVE_RETRY_INTERVAL;
}

bool Empty(const char* setting) {
  return setting == nullptr || setting[0] == '\0';
}

}  // namespace

void ReplayEndDetector::Reset() {
  *this = ReplayEndDetector();
}

bool ReplayEndDetector::NotYet(const char* why) {
  obstacle_ = why;
  position_ = failover::Position();
  return false;
}

bool ReplayEndDetector::Poll(const PostgresFacts& facts, int32_t startup_pid) {
  const char* obstacle = nullptr;
  if (!facts.in_recovery) {
    obstacle = "the server is not in recovery";
  } else if (!Empty(PrimaryConnInfo)) {
    obstacle = "an upstream is configured";
  } else if (!Empty(recoveryRestoreCommand)) {
    obstacle = "restore_command is set";
  } else if (facts.receiver.running) {
    obstacle = "the walreceiver is running";
  } else if (facts.replay.paused) {
    obstacle = "replay is paused";
  } else if (!facts.replay.timeline) {
    obstacle = "replay has not begun";
  } else if (!StartupWaitsForWal(startup_pid)) {
    obstacle = "WAL is being replayed";
  }
  if (obstacle != nullptr) {
    waits_seen_ = 0;
    return NotYet(obstacle);
  }
  if (position_ && position_.lsn == facts.replay.end) {
    return true;
  }
  if (waits_seen_ == 0 || end_at_wait_ != facts.replay.end) {
    waits_seen_ = 1;
    end_at_wait_ = facts.replay.end;
    WakeReplay();
    return NotYet("waiting for the startup process to look for WAL once more");
  }
  Result<bool> follows = WalRecordFollows(facts.history, facts.replay.end);
  if (!follows.ok()) {
    NotYet("");
    obstacle_ = follows.status().ToString();
    return false;
  }
  if (follows.value()) {
    WakeReplay();
    return NotYet("WAL on disk is not replayed yet");
  }
  position_ = {facts.replay.timeline, facts.replay.end};
  obstacle_.clear();
  return true;
}

bool ReplayAwaitsWal(int32_t startup_pid) {
  const uint32_t event = StartupWaitEvent(startup_pid);
  return event == WAIT_EVENT_RECOVERY_RETRIEVE_RETRY_INTERVAL ||
         event == WAIT_EVENT_RECOVERY_WAL_STREAM;
}

void EndReceiver(const ReceiverFact& receiver) {
  // The pid is the one that shared memory names now, not one of the past.
  if (receiver.pid != 0 && AuxiliaryPidGetProc(receiver.pid) != nullptr) {
    kill(receiver.pid, SIGTERM);
  }
}

void WakeReplay() {
  WakeupRecovery();
}

Status LiftReplayPause() {
  if (!RecoveryInProgress()) {
    return Status::Error(sqlstate::kObjectNotInPrerequisiteState, "the server is not in recovery");
  }
  return Guarded("could not resume replay", [] { SetRecoveryPause(false); });
}

Result<int> CancelReplayConflicts() {
  if (!RecoveryInProgress()) {
    return Status::Error(sqlstate::kObjectNotInPrerequisiteState, "the server is not in recovery");
  }
  int told = 0;
  Status status = Guarded("could not cancel queries", [&] {
    // Every transaction of every database, whatever its snapshot.
    VirtualTransactionId* id = GetConflictingVirtualXIDs(InvalidTransactionId, InvalidOid);
    for (; VirtualTransactionIdIsValid(*id); ++id) {
      if (CancelVirtualTransaction(*id, PROCSIG_RECOVERY_CONFLICT_SNAPSHOT) != 0) {
        ++told;
      }
    }
  });
  if (!status.ok()) {
    return status;
  }
  return told;
}

}  // namespace pgquorum::consensus
