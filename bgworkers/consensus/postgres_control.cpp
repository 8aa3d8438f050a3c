#include "bgworkers/consensus/postgres_control.h"

#include <signal.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "bgworkers/consensus/postgres_guard.h"
#include "extension/identity/files.h"
#include "sqlstates.h"

extern "C" {
#include "miscadmin.h"
#include "storage/procarray.h"
#include "utils/backend_status.h"
}

namespace pgquorum::consensus {

namespace {

// A pid from a snapshot may be another process's by now. Being in the array of processes makes sure
// it is one of this server's backends, as pg_terminate_backend() does.
bool Terminate(int32_t pid) {
  return BackendPidGetProc(pid) != nullptr && kill(pid, SIGTERM) == 0;
}

// Pids of client backends, and whether each has a transaction id.
Status ReadClients(std::vector<std::pair<int32_t, bool>>* clients) {
  int count = 0;
  Status status = Guarded("could not read the backend entries", [&] {
    pgstat_clear_backend_activity_snapshot();
    count = pgstat_fetch_stat_numbackends();
  });
  if (!status.ok()) {
    return status;
  }
  for (int i = 1; i <= count; ++i) {
    const LocalPgBackendStatus* entry = pgstat_fetch_stat_local_beentry(i);
    if (entry != nullptr && entry->backendStatus.st_procpid > 0 &&
        entry->backendStatus.st_backendType == B_BACKEND) {
      clients->emplace_back(entry->backendStatus.st_procpid,
                            TransactionIdIsValid(entry->backend_xid));
    }
  }
  pgstat_clear_backend_activity_snapshot();
  return Status::Ok();
}

}  // namespace

int EndWalSenders(const std::vector<WalSenderFact>& senders,
                  const std::function<bool(const WalSenderFact&)>& wanted) {
  int told = 0;
  for (const WalSenderFact& sender : senders) {
    if ((!wanted || wanted(sender)) && Terminate(sender.pid)) {
      ++told;
    }
  }
  return told;
}

Result<ClientCounts> CountClients() {
  std::vector<std::pair<int32_t, bool>> clients;
  if (Status status = ReadClients(&clients); !status.ok()) {
    return status;
  }
  ClientCounts counts;
  for (const auto& [pid, in_transaction] : clients) {
    ++counts.all;
    counts.in_transaction += in_transaction ? 1 : 0;
  }
  return counts;
}

Result<int> TerminateClients() {
  std::vector<std::pair<int32_t, bool>> clients;
  if (Status status = ReadClients(&clients); !status.ok()) {
    return status;
  }
  int told = 0;
  for (const auto& [pid, in_transaction] : clients) {
    told += Terminate(pid) ? 1 : 0;
  }
  return told;
}

Status StopServer(StopMode mode) {
  if (kill(PostmasterPid, mode == StopMode::kImmediate ? SIGQUIT : SIGINT) != 0) {
    return Status::Error(sqlstate::kInternalError,
                         "could not signal the postmaster: " + identity::ErrnoText(errno));
  }
  return Status::Ok();
}

}  // namespace pgquorum::consensus
