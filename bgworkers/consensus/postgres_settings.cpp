// The text of the settings: postgres_config.h without the server.
#include "bgworkers/consensus/postgres_config.h"

#include "sqlstates.h"

namespace pgquorum::consensus {

namespace {

// libpq's conninfo: single quotes, backslash before quote and backslash.
void AppendOption(std::string* conninfo, const char* key, std::string_view value) {
  if (!conninfo->empty()) {
    *conninfo += ' ';
  }
  *conninfo += key;
  *conninfo += "='";
  for (char c : value) {
    if (c == '\'' || c == '\\') {
      *conninfo += '\\';
    }
    *conninfo += c;
  }
  *conninfo += '\'';
}

void AppendLine(std::string* text, const char* name, std::string_view value) {
  *text += name;
  *text += " = ";
  *text += QuoteSetting(value);
  *text += '\n';
}

}  // namespace

std::string StandbyName(std::string_view node, failover::Timeline timeline) {
  return std::string(node) + ".t" + std::to_string(timeline.value());
}

std::string BuildPrimaryConninfo(const Upstream& upstream) {
  std::string text;
  AppendOption(&text, "host", upstream.host);
  AppendOption(&text, "port", std::to_string(upstream.port));
  AppendOption(&text, "user", upstream.user);
  AppendOption(&text, "application_name", upstream.application_name);
  const bool unix_socket =
      !upstream.host.empty() && (upstream.host.front() == '/' || upstream.host.front() == '@');
  if (upstream.tls && !unix_socket) {
    AppendOption(&text, "sslmode", "verify-ca");
    AppendOption(&text, "sslrootcert", upstream.pki_directory + "/ca.crt");
    AppendOption(&text, "sslcert", upstream.pki_directory + "/node.crt");
    AppendOption(&text, "sslkey", upstream.pki_directory + "/node.key");
    AppendOption(&text, "gssencmode", "disable");
  } else {
    AppendOption(&text, "sslmode", "disable");
    AppendOption(&text, "gssencmode", "disable");
  }
  AppendOption(&text, "connect_timeout", std::to_string(upstream.connect_timeout_s));
  AppendOption(&text, "keepalives", "1");
  AppendOption(&text, "keepalives_idle", "2");
  AppendOption(&text, "keepalives_interval", "1");
  AppendOption(&text, "keepalives_count", "3");
  AppendOption(&text, "tcp_user_timeout", std::to_string(upstream.tcp_user_timeout_ms));
  return text;
}

Result<std::string> BuildSynchronousStandbyNames(uint32_t g,
                                                 const std::vector<std::string>& names) {
  if (g > names.size()) {
    return Status::Error(sqlstate::kInvalidParameterValue,
                         "cannot wait for " + std::to_string(g) + " of " +
                             std::to_string(names.size()) + " standbys");
  }
  if (g == 0) {
    return std::string();
  }
  std::string text = "ANY " + std::to_string(g) + " (";
  for (std::size_t i = 0; i < names.size(); ++i) {
    text += i == 0 ? "\"" : ",\"";
    for (char c : names[i]) {
      text += c;
      if (c == '"') {
        text += c;
      }
    }
    text += '"';
  }
  return text + ")";
}

std::string QuoteSetting(std::string_view value) {
  std::string text = "'";
  for (char c : value) {
    if (c == '\n' || c == '\r' || c == '\0') {
      continue;  // cannot stand in a setting; no value of ours has one
    }
    text += c;
    if (c == '\'' || c == '\\') {
      text += c;
    }
  }
  return text + "'";
}

std::string FormatSettings(const PostgresSettings& settings) {
  std::string text =
      "# Written by pgquorum's consensus worker, which replaces it at any time. Do not edit.\n";
  AppendLine(&text, "primary_conninfo", settings.primary_conninfo);
  AppendLine(&text, "primary_slot_name", settings.primary_slot_name);
  AppendLine(&text, "synchronous_standby_names", settings.synchronous_standby_names);
  AppendLine(&text, "pgquorum.sync_generation", std::to_string(settings.sync_generation));
  if (settings.lift_replay_delay) {
    AppendLine(&text, "recovery_min_apply_delay", "0");
    AppendLine(&text, "restore_command", "");
  }
  if (settings.wal_retrieve_retry_interval_ms != 0) {
    AppendLine(&text, "wal_retrieve_retry_interval",
               std::to_string(settings.wal_retrieve_retry_interval_ms) + "ms");
  }
  return text;
}

}  // namespace pgquorum::consensus
