#include "bgworkers/consensus/postgres_promote.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "bgworkers/consensus/postgres_guard.h"
#include "bgworkers/consensus/postgres_timeline.h"
#include "extension/identity/files.h"
#include "sqlstates.h"

extern "C" {
#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "miscadmin.h"
#include "postmaster/bgwriter.h"
#include "replication/message.h"
}

namespace pgquorum::consensus {

using failover::Lsn;
using failover::Position;
using failover::Timeline;

namespace {

Status NotNow(const std::string& message) {
  return Status::Error(sqlstate::kObjectNotInPrerequisiteState, message);
}

// The postmaster looks for the file when it gets SIGUSR1 and passes the request on, if the startup
// process exists by then (postmaster.c, sigusr1_handler).
Status RequestPromotion() {
  const int fd = open(PROMOTE_SIGNAL_FILE, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) {
    return Status::Error(sqlstate::kIoError, "could not create file \"" PROMOTE_SIGNAL_FILE "\": " +
                                                 identity::ErrnoText(errno));
  }
  close(fd);
  if (kill(PostmasterPid, SIGUSR1) != 0) {
    return Status::Error(sqlstate::kInternalError,
                         "could not signal the postmaster: " + identity::ErrnoText(errno));
  }
  return Status::Ok();
}

}  // namespace

Status Promotion::Begin(Timeline current, Timeline assigned) {
  if (state_ == State::kRunning) {
    return NotNow("a promotion is already under way");
  }
  if (!RecoveryInProgress()) {
    return NotNow("the server is not in recovery");
  }
  if (PromoteIsTriggered() || CheckPromoteSignal()) {
    return NotNow("somebody else has asked this server to promote");
  }
  Status status = PlaceTimelinePlaceholders(".", current, assigned);
  if (status.ok()) {
    status = RequestPromotion();
  }
  if (!status.ok()) {
    // Whatever was placed must not be the newest at the next start. Its own failure adds nothing:
    // boot does it again.
    (void)NormalizeTimelines(".", current).ok();
    return status;
  }
  assigned_ = assigned;
  error_ = Status::Ok();
  state_ = State::kRunning;
  return Status::Ok();
}

Promotion::State Promotion::Fail(Status error) {
  error_ = std::move(error);
  state_ = State::kFailed;
  return state_;
}

Promotion::State Promotion::Poll() {
  if (state_ != State::kRunning) {
    return state_;
  }
  if (!RecoveryInProgress()) {
    const Timeline got(GetWALInsertionTimeLine());
    if (got != assigned_) {
      return Fail(Status::Error(sqlstate::kInternalError,
                                "promotion came out on timeline " + std::to_string(got.value()) +
                                    " instead of " + std::to_string(assigned_.value())));
    }
    state_ = State::kDone;
    return state_;
  }
  if (!PromoteIsTriggered()) {
    if (CheckPromoteSignal()) {
      // Not taken up yet: the signal may have come before the startup process existed.
      kill(PostmasterPid, SIGUSR1);
    }
    // No file and not triggered: the startup process is between the two.
  }
  return state_;
}

bool Promotion::Cancel() {
  if (state_ != State::kRunning) {
    return state_ == State::kIdle || state_ == State::kFailed;
  }
  if (!RecoveryInProgress() || PromoteIsTriggered() || unlink(PROMOTE_SIGNAL_FILE) != 0) {
    return false;
  }
  // The placeholders stay until the next boot or promotion: removing them here, should the startup
  // process have seen the file just before, would let it take a wrong timeline.
  state_ = State::kIdle;
  return true;
}

Result<Position> WriteMarker(std::string_view content) {
  if (RecoveryInProgress()) {
    return Status::Error(sqlstate::kReadOnlySqlTransaction,
                         "a server in recovery cannot write a marker");
  }
  XLogRecPtr end = InvalidXLogRecPtr;
  const char* data = content.data();
  const Size size = content.size();
  Status status = Guarded("could not write the marker", [&] {
    end = LogLogicalMessage("pgquorum", data, size, false);
    XLogFlush(end);
  });
  if (!status.ok()) {
    return status;
  }
  return Position{Timeline(GetWALInsertionTimeLine()), Lsn(end)};
}

Status RequestCheckpointNow() {
  return Guarded("could not request a checkpoint",
                 [] { RequestCheckpoint(CHECKPOINT_FORCE | CHECKPOINT_IMMEDIATE); });
}

}  // namespace pgquorum::consensus
