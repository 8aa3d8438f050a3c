// Who may stream under the name of a member.
//
// synchronous_standby_names knows standbys by application_name, which every client chooses freely:
// a stranger, or a second connection of a member, that carries "node2.t7" would release commits
// which node2 does not have. So the name is judged (admission.h) where it takes effect, in the
// setting's check: it may come with the startup packet, from its options, from the role's settings
// or by SET in a replication connection to a database.
#include "extension/pg/pg.h"

extern "C" {
#include "replication/walsender.h"
#include "utils/guc.h"
}

#include "extension/hooks/admission.h"
#include "extension/hooks/hooks.h"
#include "extension/pg/compat.h"

namespace pgquorum::hooks {

namespace {

GucStringCheckHook g_original = nullptr;

bool Check(char** value, void** extra, GucSource source) {
  int sqlstate = 0;
  const char* detail = nullptr;
  if (am_walsender && *value != nullptr && !admission::MayTakeName(*value, &sqlstate, &detail)) {
    GUC_check_errcode(sqlstate);
    GUC_check_errmsg("replication under the name \"%s\" is refused", *value);
    GUC_check_errdetail("%s", detail);
    return false;
  }
  return g_original == nullptr || g_original(value, extra, source);
}

}  // namespace

void InstallNameGuard() {
  config_string* setting = compat::FindStringSetting("application_name");
  if (setting == nullptr) {
    ereport(FATAL, (errmsg("the server has no setting \"application_name\"")));
  }
  g_original = setting->check_hook;
  setting->check_hook = Check;
}

}  // namespace pgquorum::hooks
