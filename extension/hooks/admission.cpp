#include "extension/hooks/admission.h"

#include "extension/pg/pg.h"

extern "C" {
#include "access/xact.h"
#include "miscadmin.h"
#include "replication/walsender.h"
#include "utils/acl.h"
}

#include "extension/hooks/commit_gate.h"
#include "extension/shmem.h"

namespace pgquorum::admission {

namespace {

// The role under which members stream, rewind and copy.
constexpr char kReplicator[] = "pgquorum_replicator";

bool AdministratorsOnly(const shared::Root* root) {
  return root != nullptr && root->boot.mode != shared::Mode::kStandalone &&
         root->gate.admit.load(std::memory_order_acquire) ==
             static_cast<uint32_t>(shared::Admit::kAdministrators);
}

bool IsPrivileged(const char* user) {
  Oid role = get_role_oid(user, true);
  Oid administrators = get_role_oid("pgquorum_admin", true);
  return OidIsValid(role) &&
         (superuser_arg(role) || strcmp(user, kReplicator) == 0 ||
          (OidIsValid(administrators) && has_privs_of_role(role, administrators)));
}

void Refuse(shared::Root* root, int level) {
  root->counters.connections_refused.fetch_add(1, std::memory_order_relaxed);
  bool closed = root->boot.mode == shared::Mode::kClosed;
  ereport(level,
          (errcode(ERRCODE_CANNOT_CONNECT_NOW), errmsg("this node does not serve clients now"),
           closed ? errdetail_internal("The node is closed: %s", root->boot.closed_reason.data)
                  : errdetail("It has not joined the current history of its cluster yet."),
           errhint("Connect to another node, or try again; administrators are admitted.")));
}

}  // namespace

void CheckLogin(const char* user) {
  shared::Root* root = shmem::Attach();
  if (AdministratorsOnly(root) && !am_walsender && !IsPrivileged(user)) {
    Refuse(root, FATAL);
  }
}

void CheckReplicationName(const char* user, const char* application_name, const char* certificate) {
  shared::Root* root = shmem::Attach();
  if (root == nullptr || root->boot.mode == shared::Mode::kStandalone || !am_walsender ||
      strcmp(user, kReplicator) != 0 || application_name == nullptr || certificate == nullptr) {
    return;
  }
  const char* timeline = strstr(application_name, ".t");
  if (timeline == nullptr) {
    return;  // not a name that counts: base backups, receivers for other purposes
  }
  auto length = static_cast<std::size_t>(timeline - application_name);
  if (strlen(certificate) != length || strncmp(certificate, application_name, length) != 0) {
    ereport(FATAL,
            (errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
             errmsg("replication under the name \"%s\" is refused", application_name),
             errdetail("The certificate of the connection belongs to node \"%s\".", certificate)));
  }
}

void CheckStatement() {
  shared::Root* root = shmem::Attach();
  if (AdministratorsOnly(root) && IsTransactionState() && MyProcPort != nullptr && !am_walsender &&
      !commit_gate::IsAdministrator()) {
    Refuse(root, ERROR);
  }
}

}  // namespace pgquorum::admission
