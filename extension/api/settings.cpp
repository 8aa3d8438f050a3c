// SQL area "settings": the settings of the cluster.
#include "extension/api/cluster.h"
#include "extension/api/rows.h"
#include "extension/shmem.h"

using namespace pgquorum;  // lint: allow(using) C entry points

PGQUORUM_FUNCTION(pgquorum_settings) {
  static shared::SettingsView settings;  // too large for the stack
  shared::Root& root = api::Memory();
  ReturnSetInfo* rows = api::BeginRows(fcinfo);
  if (!root.settings.Read(settings)) {
    return 0;
  }
  for (uint32_t i = 0; i < Min(settings.count, uint32_t{shared::kMaxSettings}); ++i) {
    const shared::SettingView& setting = settings.entries[i];
    api::Row row;
    row.Text(setting.name.view());
    row.Text(setting.value.view());
    row.Text(setting.unit.view());
    row.Text(setting.default_value.view());
    row.Text(setting.allowed.view());
    row.PutInto(rows);
  }
  return 0;
}
