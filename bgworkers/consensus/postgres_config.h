// `pgquorum.conf` in the data directory: the settings that follow from pledge and rule. The worker
// is the only writer; postgresql.conf includes it last, so it overrides the administrator's (but
// not ALTER SYSTEM's postgresql.auto.conf, which CheckInForce reports).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "bgworkers/failover/ids.h"

namespace pgquorum::consensus {

struct PostgresSettings {
  std::string primary_conninfo;   // empty: follow nobody
  std::string primary_slot_name;  // empty: no slot
  // Text as PostgreSQL parses it (BuildSynchronousStandbyNames). Emptying it releases every waiting
  // commit as successful: only after the rule allows n = 0.
  std::string synchronous_standby_names;
  uint64_t sync_generation =
      0;  // pgquorum.sync_generation: proves which list a process has in force
  // While recruited: recovery_min_apply_delay = 0 and restore_command = ''.
  bool lift_replay_delay = false;
  // Milliseconds; how soon a standby looks for a new upstream. 0 leaves the server's own setting.
  uint32_t wal_retrieve_retry_interval_ms = 0;

  bool operator==(const PostgresSettings&) const = default;
};

// Where and how to connect for streaming.
struct Upstream {
  std::string host;  // name, address, or directory of a Unix socket
  uint16_t port = 0;
  std::string application_name;  // StandbyName(...): what the upstream's list counts
  std::string user = "pgquorum_replicator";
  bool tls = true;            // sslmode verify-ca with the node's own certificate; else disabled
  std::string pki_directory;  // `<state>/pki`: ca.crt, node.crt, node.key
  uint32_t connect_timeout_s = 2;
  uint32_t tcp_user_timeout_ms = 3000;
};

// `node2.t7`: the name under which a standby counts for commits of timeline 7. With the timeline in
// the name a standby on another history never counts (docs/failover.md).
std::string StandbyName(std::string_view node, failover::Timeline timeline);

// The server keeps no more of primary_conninfo than this for the walreceiver (MAXCONNINFO,
// replication/walreceiver.h) and cuts the rest off without a word.
inline constexpr std::size_t kMaxConninfoLength = 1023;

// Value of primary_conninfo; every value quoted. Unix socket directories get no TLS.
std::string BuildPrimaryConninfo(const Upstream& upstream);

// `ANY g ("node2.t7","node3.t7")`; g = 0 or no names: empty. 22023 when g exceeds the names.
Result<std::string> BuildSynchronousStandbyNames(uint32_t g, const std::vector<std::string>& names);

// The file's text; pure.
std::string FormatSettings(const PostgresSettings& settings);

// `value` between single quotes as postgresql.conf reads it.
std::string QuoteSetting(std::string_view value);

class SettingsFile {
 public:
  explicit SettingsFile(std::string data_directory);

  // Writes durably (unless this very content was written last) and sends SIGHUP to the postmaster,
  // which passes it on to all. The settings are in force in a process only after it has handled the
  // signal.
  Status Apply(const PostgresSettings& settings);

  const PostgresSettings& written() const { return written_; }
  // Did any Apply() succeed in this life of the worker?
  bool valid() const { return valid_; }

  // Ok when *this* process has the written values in force (the worker's main loop runs
  // ProcessConfigFile(PGC_SIGHUP) on SIGHUP). 55000 with the first difference otherwise: not
  // reloaded yet, or overridden by postgresql.auto.conf. Other processes: shared memory's
  // generation slots (extension/shmem.h).
  Status CheckInForce() const;

 private:
  std::string data_directory_;
  PostgresSettings written_;
  bool valid_ = false;
};

// SIGHUP to the postmaster.
Status ReloadConfiguration();

// The value in force in this process; empty when the parameter does not exist.
std::string SettingInForce(const char* name);

}  // namespace pgquorum::consensus
