#include "extension/cli/node_config.h"

#include <algorithm>
#include <charconv>
#include <vector>

#include "extension/cli/config_text.h"
#include "extension/cli/console.h"
#include "extension/identity/files.h"

namespace pgquorum::cli {
namespace {

struct Setting {
  std::string name;
  std::string old_value;
  std::string new_value;
  const char* reason;
};

// Lowest values that hold a full cluster (16 members) and its workers. Higher ones stay.
struct Minimum {
  const char* name;
  long value;
  const char* reason;
};
constexpr Minimum kMinimums[] = {
    {"max_wal_senders", 20, "a sender for every member, base backups and rewinds"},
    {"max_replication_slots", 20, "a slot for every member"},
    {"max_worker_processes", 16, "pgquorum's workers beside parallel query"},
};

// In every node's file, whatever was there. Times without a unit would be read in the parameter's
// own.
struct Fixed {
  const char* name;
  const char* value;
  const char* reason;
};
constexpr Fixed kFixed[] = {
    {"hot_standby", "on", "standbys serve reads and answer the cluster"},
    {"full_page_writes", "on", "pg_rewind needs it"},
    {"restart_after_crash", "on", "a crashed backend must not end the node"},
    {"recovery_target_timeline", "latest", "standbys follow a new primary"},
    {"wal_receiver_status_interval", "1s", "lag is known to a second"},
};

// A witness's server holds nothing: it only has to be there, small and quiet.
constexpr Fixed kWitness[] = {
    {"hot_standby", "on", "its views answer"},
    {"restart_after_crash", "on", "a crashed backend must not end the node"},
    {"max_wal_senders", "0", "nobody streams from a witness"},
    {"max_replication_slots", "0", "nobody streams from a witness"},
    {"max_connections", "20", "for administrators only"},
    {"shared_buffers", "4MB", "there is no data to keep in memory"},
    {"wal_retrieve_retry_interval", "1h", "no WAL will ever come"},
};

// Owned by pgquorum.conf; anything in postgresql.auto.conf would silently win over it.
constexpr const char* kFollowedSettings[] = {
    "primary_conninfo",          "primary_slot_name",   "synchronous_standby_names",
    "recovery_target",           "recovery_target_lsn", "recovery_target_name",
    "recovery_target_time",      "recovery_target_xid", "recovery_target_action",
    "recovery_target_inclusive", "promote_trigger_file"};

class Planner {
 public:
  Planner(const Installation& installation, const ServerDirectory& directory)
      : installation_(installation), directory_(directory) {}

  // The value now, or "" after an error, which status() keeps.
  std::string Now(const std::string& name) {
    const Result<std::string> value = ConfiguredValue(installation_, directory_, name);
    if (!value.ok() && status_.ok()) {
      status_ = value.status();
    }
    return value.ok() ? value.value() : "";
  }

  void Set(const std::string& name, const std::string& value, const char* reason) {
    settings_.push_back({name, Now(name), value, reason});
  }

  // `postgres -C` knows no parameter of a library, as it loads none.
  void SetOwn(const std::string& name, const std::string& value, const char* reason) {
    settings_.push_back({name, "", value, reason});
  }

  void AtLeast(const Minimum& minimum) {
    const std::string now = Now(minimum.name);
    long value = 0;
    std::from_chars(now.data(), now.data() + now.size(), value);
    // Also when it is high enough: what stands in the source's managed block, which a base backup
    // brings along, goes with that block.
    settings_.push_back(
        {minimum.name, now, std::to_string(std::max(value, minimum.value)), minimum.reason});
  }

  const std::vector<Setting>& settings() const { return settings_; }
  const Status& status() const { return status_; }

 private:
  const Installation& installation_;
  const ServerDirectory& directory_;
  std::vector<Setting> settings_;
  Status status_;
};

bool IsLoopback(const std::string& host) {
  return host == "localhost" || host == "::1" || host.starts_with("127.");
}

// The node's address, and localhost for the administrator; a list that covers the address stays.
std::string ListenAddresses(const std::string& host, const std::string& now) {
  if (now == "*" || now == "0.0.0.0") {
    return now;
  }
  return IsLoopback(host) ? host : "localhost," + host;
}

void PlanReplication(Planner& planner, const NodePlan& plan) {
  planner.Set("wal_level", planner.Now("wal_level") == "logical" ? "logical" : "replica",
              "streaming replication");
  for (const Minimum& minimum : kMinimums) {
    planner.AtLeast(minimum);
  }
  for (const Fixed& fixed : kFixed) {
    planner.Set(fixed.name, fixed.value, fixed.reason);
  }
  // Without page checksums pg_rewind needs to see hint bits in the WAL.
  if (!plan.checksums) {
    planner.Set("wal_log_hints", "on", "pg_rewind needs it, as there are no page checksums");
  }
  // WAL back to the last common checkpoint must still exist when an old primary is rewound.
  const std::string keep = planner.Now("wal_keep_size");
  planner.Set("wal_keep_size", keep == "0" ? "512MB" : keep, "an old primary is rewound with it");
}

void PlanSettings(Planner& planner, const NodePlan& plan) {
  planner.Set("shared_preload_libraries",
              AddLibrary(planner.Now("shared_preload_libraries"), "pgquorum"),
              "the cluster runs inside the server");
  planner.SetOwn("pgquorum.state_directory", plan.state.string(),
                 "identity, certificates and Raft log of this node");
  planner.Set("listen_addresses",
              ListenAddresses(plan.listen.host, planner.Now("listen_addresses")),
              "the address of --listen");
  planner.Set("port", std::to_string(plan.listen.port), "the port of --listen");
  if (!plan.socket_directory.empty()) {
    planner.Set("unix_socket_directories", plan.socket_directory, "--socket-directory");
  }
  if (plan.witness) {
    for (const Fixed& fixed : kWitness) {
      planner.Set(fixed.name, fixed.value, fixed.reason);
    }
  } else {
    PlanReplication(planner, plan);
  }
  const fs::path pki = plan.state / identity::kPkiDirectory;
  planner.Set("ssl", "on", "nodes authenticate by certificate");
  planner.Set("ssl_ca_file", pki / "ca.crt", "certificates of this cluster");
  planner.Set("ssl_cert_file", pki / "node.crt", "certificate of this node");
  planner.Set("ssl_key_file", pki / "node.key", "key of this node");
}

std::string ShownValue(const std::string& value) {
  return value.empty() ? "''" : value;
}

Status WriteSettings(const ServerDirectory& directory, const std::vector<Setting>& settings,
                     const std::vector<std::string>& own) {
  std::vector<std::string> lines;
  for (const Setting& setting : settings) {
    lines.push_back(setting.name + " = " + QuoteSetting(setting.new_value));
    if (setting.old_value != setting.new_value) {
      Say("  postgresql.conf: " + setting.name + " = " + ShownValue(setting.new_value) + " (was " +
          ShownValue(setting.old_value) + "): " + setting.reason);
    }
  }
  lines.push_back("# Last: whom to follow and whom to wait for, written by the cluster itself.");
  // A relative name is looked up beside the including file, which Debian keeps elsewhere.
  const fs::path include = directory.separate_config() ? directory.data / identity::kNodeConfigFile
                                                       : fs::path(identity::kNodeConfigFile);
  lines.push_back("include_if_exists " + QuoteSetting(include.string()));
  const fs::path file = directory.config / "postgresql.conf";
  const Result<std::string> text = identity::ReadFile(file);
  if (!text.ok()) {
    return text.status();
  }
  std::string changed = text.value();
  for (const std::string& setting : own) {
    const std::size_t equals = setting.find('=');
    changed += setting.substr(0, equals) + " = " + QuoteSetting(setting.substr(equals + 1)) + "\n";
  }
  return WriteFile(file, SetBlock(changed, lines, BlockPlace::kBottom));
}

// postgresql.auto.conf is read after postgresql.conf, so what it sets would win over the block.
Status CleanAutoConf(const ServerDirectory& directory, const std::vector<Setting>& settings) {
  const fs::path file = directory.data / "postgresql.auto.conf";
  if (!Exists(file)) {
    return Status::Ok();
  }
  Result<std::string> read = identity::ReadFile(file);
  if (!read.ok()) {
    return read.status();
  }
  std::string text = read.value();
  std::vector<std::string> names(std::begin(kFollowedSettings), std::end(kFollowedSettings));
  for (const Setting& setting : settings) {
    names.push_back(setting.name);
  }
  bool changed = false;
  for (const std::string& name : names) {
    if (RemoveSetting(text, name)) {
      Say("  postgresql.auto.conf: removed " + name + ": it would override pgquorum's");
      changed = true;
    }
  }
  return changed ? WriteFile(file, text) : Status::Ok();
}

Status EditBlock(const fs::path& file, const std::vector<std::string>& lines, const char* told,
                 const std::vector<std::string>& own) {
  const Result<std::string> text = identity::ReadFile(file);
  if (!text.ok()) {
    return text.status();
  }
  std::string others;
  for (const std::string& line : own) {
    others += line + "\n";
  }
  const std::string changed = SetBlock(others + text.value(), lines, BlockPlace::kTop);
  if (changed == text.value()) {
    return Status::Ok();
  }
  Say("  " + file.filename().string() + ": " + told);
  return WriteFile(file, changed);
}

Status WriteAuthentication(const ServerDirectory& directory, const std::string& hba_file,
                           const std::string& ident_file,
                           const std::vector<std::string>& hba_lines) {
  const std::string role = kReplicatorRole;
  const fs::path base = directory.config;
  const Status hba = EditBlock(
      hba_file.empty() ? base / "pg_hba.conf" : fs::path(hba_file),
      {"hostssl replication " + role + " all cert map=pgquorum",
       "hostssl " + std::string(kServiceDatabase) + " " + role + " all cert map=pgquorum",
       "host all,replication " + role + " all reject", "local all,replication " + role + " reject"},
      "nodes come in as pgquorum_replicator, with their certificate and in no other way",
      hba_lines);
  if (!hba.ok()) {
    return hba;
  }
  return EditBlock(ident_file.empty() ? base / "pg_ident.conf" : fs::path(ident_file),
                   {"pgquorum /^[a-z][a-z0-9_]*$ " + role},
                   "names of node certificates map to pgquorum_replicator", {});
}

}  // namespace

Status ConfigureNode(const Installation& installation, const ServerDirectory& directory,
                     const NodePlan& plan) {
  Planner planner(installation, directory);
  PlanSettings(planner, plan);
  const std::string hba_file = planner.Now("hba_file");
  const std::string ident_file = planner.Now("ident_file");
  if (!planner.status().ok()) {
    return planner.status();
  }
  if (Status s = WriteSettings(directory, planner.settings(), plan.settings); !s.ok()) {
    return s;
  }
  if (Status s = CleanAutoConf(directory, planner.settings()); !s.ok()) {
    return s;
  }
  return WriteAuthentication(directory, hba_file, ident_file, plan.hba_lines);
}

Status SaveNodeFiles(const fs::path& data, const fs::path& state) {
  const fs::path conf = state / identity::kConfDirectory;
  if (Status s = identity::MakeDirectory(conf); !s.ok()) {
    return s;
  }
  for (const char* name : identity::kNodeFiles) {
    if (!Exists(data / name)) {
      continue;  // Debian's layout keeps it elsewhere, where no rewind reaches it
    }
    if (Status s = identity::CopyFileDurably(data / name, conf / name); !s.ok()) {
      return s;
    }
  }
  return Status::Ok();
}

Status PrepareDatabase(const Installation& installation, const ServerDirectory& directory) {
  const std::string role = kReplicatorRole;
  std::vector<std::string> sql = {
      "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '" + role +
          "') THEN CREATE ROLE " + role + "; END IF; END $$",
      "ALTER ROLE " + role +
          " LOGIN REPLICATION NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS PASSWORD NULL",
  };
  // What pg_rewind calls on its source (PostgreSQL's documentation of pg_rewind, "Notes").
  for (const char* function :
       {"pg_ls_dir(text, boolean, boolean)", "pg_stat_file(text, boolean)",
        "pg_read_binary_file(text)", "pg_read_binary_file(text, bigint, bigint, boolean)"}) {
    sql.push_back("GRANT EXECUTE ON FUNCTION pg_catalog." + std::string(function) + " TO " + role);
  }
  sql.push_back("CREATE EXTENSION IF NOT EXISTS pgquorum");
  Say("  role " + role + " (replication, no superuser) and extension pgquorum in database " +
      kServiceDatabase);
  return RunSingleUser(installation, directory, kServiceDatabase, sql);
}

}  // namespace pgquorum::cli
