#include "extension/hooks/raft_settings.h"

#include "extension/pg/pg.h"

extern "C" {
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/guc.h"
}

#include "extension/guc.h"
#include "extension/pg/raise.h"
#include "extension/raft_settings.h"

namespace pgquorum::hooks {

namespace {

using raft_settings::kTimings;
using raft_settings::Timing;
using raft_settings::Values;

const Timing* Find(const char* name) {
  for (const Timing& timing : kTimings) {
    if (pg_strcasecmp(name, timing.name) == 0) {
      return &timing;
    }
  }
  return nullptr;
}

// A value that is none is refused by the server itself.
void Set(Values& values, const Timing& timing, const char* text) {
  int value = 0;
  if (text != nullptr && parse_int(text, &value, GUC_UNIT_MS, nullptr)) {
    values.*timing.field = value;
  }
}

void Refuse(int level, const Values& values) {
  pg::ErrorText text = {};
  {
    Status checked = raft_settings::Check(values);
    if (checked.ok()) {
      return;
    }
    pg::FillErrorText(text, checked);
  }
  pg::Report(level, text);
}

// What the next start would read, without the line of `skipped` in postgresql.auto.conf.
Values ReadFiles(const char* skipped) {
  Values values;
  const char* const files[] = {ConfigFileName, PG_AUTOCONF_FILENAME};
  for (const char* file : files) {
    ConfigVariable* head = nullptr;
    ConfigVariable* tail = nullptr;
    // Mistakes in the files are not this statement's.
    ParseConfigFile(file, false, nullptr, 0, 0, DEBUG3, &head, &tail);
    for (ConfigVariable* item = head; item != nullptr; item = item->next) {
      const Timing* timing = item->ignore || item->name == nullptr ? nullptr : Find(item->name);
      if (timing != nullptr && !(file == files[1] && pg_strcasecmp(item->name, skipped) == 0)) {
        Set(values, *timing, item->value);
      }
    }
    FreeConfigVariables(head);
  }
  return values;
}

}  // namespace

void CheckRaftSettings() {
  Values values;
  values.election_timeout_ms = guc::election_timeout;
  values.election_timeout_max_ms = guc::election_timeout_max;
  values.heartbeat_ms = guc::raft_heartbeat_interval;
  Refuse(FATAL, values);
}

void CheckRaftSettingsWith(const char* name, const char* value) {
  const Timing* timing = Find(name);
  // Who may not change it is told so by the server, and nothing about the other values.
  if (timing == nullptr ||
      pg_parameter_aclcheck(name, GetUserId(), ACL_ALTER_SYSTEM) != ACLCHECK_OK) {
    return;
  }
  Values values = ReadFiles(name);
  Set(values, *timing, value);
  Refuse(ERROR, values);
}

}  // namespace pgquorum::hooks
