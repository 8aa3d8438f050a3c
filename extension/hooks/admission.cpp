#include "extension/hooks/admission.h"

#include "extension/pg/pg.h"

extern "C" {
#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "replication/walsender.h"
#include "utils/acl.h"
#include "utils/guc.h"
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

// "node2.t7" in its parts. PostgreSQL compares the names of standbys without regard to case.
struct CountedName {
  bool counts;
  const char* node;  // not terminated
  std::size_t length;
  uint32_t timeline;
};

CountedName Parse(const char* name) {
  const char* dot = strrchr(name, '.');
  if (dot == nullptr || dot == name || (dot[1] != 't' && dot[1] != 'T') || dot[2] < '0' ||
      dot[2] > '9') {
    return {false, name, 0, 0};
  }
  char* end = nullptr;
  unsigned long timeline = strtoul(dot + 2, &end, 10);
  bool counts = *end == '\0' && timeline <= PG_UINT32_MAX;
  return {counts, name, static_cast<std::size_t>(dot - name), static_cast<uint32_t>(timeline)};
}

bool IsOf(const CountedName& name, const char* node) {
  return strlen(node) == name.length && pg_strncasecmp(node, name.node, name.length) == 0;
}

const shared::MemberView* Find(const shared::NodeView& view, const CountedName& name) {
  for (uint32_t i = 0; i < view.member_count; ++i) {
    if (IsOf(name, view.members[i].name.data)) {
      return &view.members[i];
    }
  }
  return nullptr;
}

template <typename... Arguments>
[[noreturn]] void RefuseReplication(shared::Root* root, const Replication& connection, int sqlstate,
                                    const char* detail, Arguments... arguments) {
  root->counters.connections_refused.fetch_add(1, std::memory_order_relaxed);
  ereport(FATAL,
          (errcode(sqlstate),
           errmsg("replication under the name \"%s\" is refused", connection.application_name),
           errdetail_internal(detail, arguments...)));
  pg_unreachable();
}

void CheckTimeline(shared::Root* root, const Replication& connection, const CountedName& name) {
  if (RecoveryInProgress()) {
    if (name.timeline != 0) {
      RefuseReplication(root, connection, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "%s",
                        "This server is not the primary.");
    }
    return;
  }
  uint32_t timeline = GetWALInsertionTimeLine();
  if (name.timeline != timeline) {
    RefuseReplication(root, connection, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                      "This server writes timeline %u.", timeline);
  }
}

}  // namespace

void CheckLogin(const char* user) {
  shared::Root* root = shmem::Attach();
  if (AdministratorsOnly(root) && !am_walsender && !IsPrivileged(user)) {
    Refuse(root, FATAL);
  }
}

void CheckReplication(const Replication& connection) {
  shared::Root* root = shmem::Attach();
  if (root == nullptr || root->boot.mode == shared::Mode::kStandalone || !am_walsender ||
      connection.application_name == nullptr) {
    return;
  }
  static shared::NodeView view;  // too large for the stack
  CountedName name = Parse(connection.application_name);
  bool known = root->node.Read(view) && view.member_count > 0;
  if (!name.counts) {
    return;  // base backups, receivers for other purposes
  }
  const shared::MemberView* member = known ? Find(view, name) : nullptr;
  if (strcmp(connection.user, kReplicator) != 0) {
    if (member != nullptr) {
      RefuseReplication(root, connection, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
                        "Only %s may use the name of a member.", kReplicator);
    }
    return;  // somebody else's standby
  }
  if (connection.certificate != nullptr && !IsOf(name, connection.certificate)) {
    RefuseReplication(root, connection, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
                      "The certificate of the connection belongs to node \"%s\".",
                      connection.certificate);
  }
  if (known && member == nullptr) {
    RefuseReplication(root, connection, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
                      "It is no member of cluster \"%s\".", root->boot.cluster_name.data);
  }
  CheckTimeline(root, connection, name);
  if (member != nullptr && member->admission == shared::Admission::kPledged) {
    RefuseReplication(root, connection, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "%s",
                      "The node has promised itself to a later epoch than this server's.");
  }
  if (member != nullptr && member->admission == shared::Admission::kDiverged) {
    RefuseReplication(root, connection, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "%s",
                      "Its WAL is not part of this server's history.");
  }
}

namespace {

bool g_marked = false;

// Of the weakest source: what the session or its role asks for itself counts more.
void SetReadOnly(const char* value) {
  SetConfigOption("default_transaction_read_only", value, PGC_USERSET, PGC_S_DYNAMIC_DEFAULT);
}

}  // namespace

void MarkSession() {
  shared::Root* root = shmem::Attach();
  if (root == nullptr || root->boot.mode == shared::Mode::kStandalone || am_walsender ||
      RecoveryInProgress() || commit_gate::IsOpen()) {
    return;
  }
  g_marked = true;
  SetReadOnly("on");
}

void CheckStatement() {
  shared::Root* root = shmem::Attach();
  if (g_marked && !IsInParallelMode() && commit_gate::IsOpen()) {
    g_marked = false;
    SetReadOnly("off");
  }
  if (AdministratorsOnly(root) && IsTransactionState() && MyProcPort != nullptr && !am_walsender &&
      !commit_gate::IsAdministrator()) {
    Refuse(root, ERROR);
  }
}

}  // namespace pgquorum::admission
