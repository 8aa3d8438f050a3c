// Who may stream under the name of a member.
//
// synchronous_standby_names knows standbys by application_name, which every client chooses freely:
// a stranger, or a second connection of a member, that carries "node2.t7" would release commits
// which node2 does not have. A name of that form is therefore refused to replication connections
// that are not the member's own. It is looked at where the name takes effect, in the setting's
// check: it may come with the startup packet, from its options, from the role's settings or by SET.
#include "extension/pg/port.h"

extern "C" {
#include "miscadmin.h"
#include "replication/walsender.h"
#include "utils/guc.h"
}

#include "extension/hooks/hooks.h"
#include "extension/pg/compat.h"

namespace pgquorum::hooks {

namespace {

// The role under which members stream, rewind and copy.
constexpr char kReplicator[] = "pgquorum_replicator";

GucStringCheckHook g_original = nullptr;

// Length of the node's name in "node2.t7"; 0 for every other text. Only such names are ever in the
// list; others (base backups, archives, logical consumers) count for nothing.
std::size_t NodeNameLength(const char* name) {
  const char* timeline = strstr(name, ".t");
  bool counts = timeline != nullptr && timeline[2] != '\0' &&
                strspn(timeline + 2, "0123456789") == strlen(timeline + 2);
  return counts ? static_cast<std::size_t>(timeline - name) : 0;
}

bool IsMembersOwn(const char* name, std::size_t length) {
  if (MyProcPort == nullptr || MyProcPort->user_name == nullptr ||
      strcmp(MyProcPort->user_name, kReplicator) != 0) {
    return false;
  }
  // Without TLS there is no certificate, and every peer is trusted.
  const char* certificate = MyProcPort->peer_cn;
  return certificate == nullptr ||
         (strlen(certificate) == length && strncmp(certificate, name, length) == 0);
}

bool Check(char** value, void** extra, GucSource source) {
  std::size_t length = am_walsender && *value != nullptr ? NodeNameLength(*value) : 0;
  if (length > 0 && !IsMembersOwn(*value, length)) {
    GUC_check_errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION);
    GUC_check_errmsg("replication under the name \"%s\" is refused", *value);
    GUC_check_errdetail(
        "It belongs to a member of the cluster, and the certificate of this "
        "connection does not.");
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
