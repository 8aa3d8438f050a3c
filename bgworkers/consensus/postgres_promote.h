// Promotion on an assigned timeline, as steps that the main loop polls.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "bgworkers/failover/ids.h"

namespace pgquorum::consensus {

// One attempt. Begin() once, then Poll() until it is not kRunning.
//
// The caller's duties before Begin(): replay has ended (ReplayEndDetector), no upstream is
// configured, the list of the new rule is in force, the appoint or resume entry of *this* boot is
// applied.
class Promotion {
 public:
  enum class State : uint8_t { kIdle, kRunning, kDone, kFailed };

  // Places the placeholders and asks for promotion. 55000 when the server is not in recovery, the
  // timeline cannot come out, or a promotion is already under way.
  Status Begin(failover::Timeline current, failover::Timeline assigned);

  // Poll without waiting. kDone: the server is out of recovery on the assigned timeline. kFailed:
  // error() says why; in the case "wrong timeline" the server is a writer that no entry allows, and
  // the caller must keep the gate closed and demote at once.
  State Poll();

  // Withdraws a request that has not been taken up. False: too late, the promotion will finish.
  // True is no promise: the startup process looks at the file and then removes it, and may have
  // looked already. So the caller treats a later exit from recovery as it treats any that no entry
  // allows.
  bool Cancel();

  State state() const { return state_; }
  const Status& error() const { return error_; }
  failover::Timeline assigned() const { return assigned_; }

 private:
  State Fail(Status error);

  State state_ = State::kIdle;
  Status error_;
  failover::Timeline assigned_;
};

// Writes `content` as a non-transactional logical message with prefix "pgquorum" (a record that
// replay ignores and no logical consumer of a database sees) and flushes the WAL up to its end. The
// barrier of an appointment: members report that they have flushed this. Returns the record's end
// and the timeline it was written on. 25006 in recovery.
Result<failover::Position> WriteMarker(std::string_view content);

// Asks for an immediate checkpoint and returns. pg_rewind against this server is right only when
// PostgresFacts::checkpointed_timeline has become true.
Status RequestCheckpointNow();

}  // namespace pgquorum::consensus
