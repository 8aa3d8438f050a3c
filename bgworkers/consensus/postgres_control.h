// Orders to the own server's processes: end streaming, end sessions, stop.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "bgworkers/consensus/postgres_facts.h"

namespace pgquorum::consensus {

// SIGTERM to each walsender for which `wanted` (null: all). Returns how many were told; they are
// gone when a later Gather() no longer shows them.
int EndWalSenders(const std::vector<WalSenderFact>& senders,
                  const std::function<bool(const WalSenderFact&)>& wanted = nullptr);

struct ClientCounts {
  int32_t all = 0;
  int32_t in_transaction = 0;  // with a transaction id: may still commit a write
};
Result<ClientCounts> CountClients();

// SIGTERM to every client backend. A commit that waits for the quorum is dropped unanswered, never
// acknowledged. Returns how many were told.
Result<int> TerminateClients();

// Stops the server. The caller has written the intent (extension/identity) that tells the
// postmaster what to do next, durably, before this. Does not return control differently: the worker
// gets SIGQUIT or SIGTERM from the postmaster soon after.
enum class StopMode : uint8_t {
  kImmediate,  // SIGQUIT: no checkpoint, no waiting for standbys; the only mode while commits wait
  kFast,  // SIGINT: checkpoint, sends all WAL to connected standbys (may take wal_sender_timeout)
};
Status StopServer(StopMode mode);

// Is the own listener alive? A protocol exchange, not only a connection: the kernel accepts for a
// stopped postmaster. Poll-able; at most one exchange at a time.
class ListenerProbe {
 public:
  ListenerProbe() = default;
  ~ListenerProbe();
  ListenerProbe(const ListenerProbe&) = delete;
  ListenerProbe& operator=(const ListenerProbe&) = delete;

  enum class Result : uint8_t { kIdle, kPending, kAlive, kDead };

  // Begins an exchange through the first Unix socket directory (else TCP to the loopback address or
  // the first listen address). Asks whether the server speaks TLS: the postmaster must accept and
  // fork to answer, and the session ends without a log line.
  void Start(int64_t now_ns);
  // kDead: refused, or no answer within `timeout_ns` of Start.
  Result Poll(int64_t now_ns, int64_t timeout_ns);
  const std::string& error() const { return error_; }

 private:
  Result Finish(Result result, std::string error);
  bool Connect();
  void Close();

  int fd_ = -1;
  bool connected_ = false;
  bool sent_ = false;
  int64_t started_at_ = 0;
  Result result_ = Result::kIdle;
  std::string error_;
};

}  // namespace pgquorum::consensus
