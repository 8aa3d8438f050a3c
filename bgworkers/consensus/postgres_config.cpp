#include "bgworkers/consensus/postgres_config.h"

#include <signal.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "extension/identity/files.h"
#include "sqlstates.h"

#include "extension/pg/pg.h"

extern "C" {
#include "miscadmin.h"
#include "replication/walreceiver.h"
#include "utils/guc.h"
}

namespace pgquorum::consensus {

namespace {

constexpr char kFileName[] = "pgquorum.conf";

static_assert(kMaxConninfoLength == MAXCONNINFO - 1);

}  // namespace

SettingsFile::SettingsFile(std::string data_directory)
    : data_directory_(std::move(data_directory)) {}

Status SettingsFile::Apply(const PostgresSettings& settings) {
  if (valid_ && settings == written_) {
    return Status::Ok();
  }
  if (settings.primary_conninfo.size() > kMaxConninfoLength) {
    return Status::Error(sqlstate::kInvalidParameterValue,
                         "the connection string of the upstream is too long")
        .WithDetail("It has " + std::to_string(settings.primary_conninfo.size()) +
                    " bytes; the server uses at most " + std::to_string(kMaxConninfoLength) + ".")
        .WithHint("Use a state directory with a shorter path.");
  }
  // If this fails half way the content on disk is unknown: the next call writes again.
  valid_ = false;
  Status status =
      identity::WriteFileDurably(data_directory_ + "/" + kFileName, FormatSettings(settings));
  if (status.ok()) {
    status = ReloadConfiguration();
  }
  if (status.ok()) {
    written_ = settings;
    valid_ = true;
  }
  return status;
}

Status SettingsFile::CheckInForce() const {
  if (!valid_) {
    return Status::Error(sqlstate::kObjectNotInPrerequisiteState, "nothing was written yet");
  }
  const auto check = [](const char* name, const std::string& expected) {
    const std::string actual = SettingInForce(name);
    if (actual == expected) {
      return Status::Ok();
    }
    // primary_conninfo holds no secret: certificates are named by path.
    return Status::Error(sqlstate::kObjectNotInPrerequisiteState,
                         std::string("setting \"") + name + "\" is not in force")
        .WithDetail("It is " + QuoteSetting(actual) + " instead of " + QuoteSetting(expected) + ".")
        .WithHint(
            "Remove it from postgresql.auto.conf, and include pgquorum.conf last in "
            "postgresql.conf.");
  };
  Status status = check("primary_conninfo", written_.primary_conninfo);
  if (status.ok()) {
    status = check("primary_slot_name", written_.primary_slot_name);
  }
  if (status.ok()) {
    status = check("synchronous_standby_names", written_.synchronous_standby_names);
  }
  if (status.ok()) {
    status = check("pgquorum.sync_generation", std::to_string(written_.sync_generation));
  }
  if (status.ok() && written_.lift_replay_delay) {
    status = check("recovery_min_apply_delay", "0");
    if (status.ok()) {
      status = check("restore_command", "");
    }
  }
  return status;
}

Status ReloadConfiguration() {
  if (kill(PostmasterPid, SIGHUP) != 0) {
    return Status::Error(sqlstate::kInternalError,
                         "could not signal the postmaster: " + identity::ErrnoText(errno));
  }
  return Status::Ok();
}

std::string SettingInForce(const char* name) {
  const char* value = GetConfigOption(name, true, false);
  return value == nullptr ? "" : value;
}

}  // namespace pgquorum::consensus
