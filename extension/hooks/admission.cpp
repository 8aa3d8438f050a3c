#include "extension/hooks/admission.h"

#include "extension/pg/port.h"

extern "C" {
#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "replication/walsender.h"
#include "storage/latch.h"
#include "storage/procarray.h"
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

// Why a name is refused; nothing when it is not.
struct Refusal {
  int sqlstate = 0;
  char detail[256] = "";

  template <typename... Arguments>
  Refusal& Because(int why, const char* format, Arguments... arguments) {
    sqlstate = why;
    snprintf(detail, sizeof(detail), format, arguments...);
    return *this;
  }
};

constexpr int kNotTheirs = ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION;
constexpr int kNotNow = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;

Refusal JudgeTimeline(const CountedName& name) {
  Refusal refusal;
  if (RecoveryInProgress()) {
    return name.timeline == 0 ? refusal
                              : refusal.Because(kNotNow, "This server is not the primary.");
  }
  uint32_t timeline = GetWALInsertionTimeLine();
  return name.timeline == timeline
             ? refusal
             : refusal.Because(kNotNow, "This server writes timeline %u.", timeline);
}

// Two connections would count for two standbys.
Refusal JudgeTwins(const shared::MemberView& member) {
  Refusal refusal;
  int32_t other = shmem::TakeMemberName(member.raft_node_id);
  if (other == 0) {
    return refusal;
  }
  if (BackendPidGetProc(other) != nullptr) {
    kill(other, SIGTERM);
  }
  return refusal.Because(kNotNow, "Process %d streams under this name, and was told to end.",
                         other);
}

Refusal JudgeMember(const CountedName& name, const shared::MemberView* member) {
  Refusal refusal = JudgeTimeline(name);
  if (refusal.sqlstate != 0 || member == nullptr) {
    return refusal;
  }
  switch (member->admission) {
    case shared::Admission::kPledged:
      return refusal.Because(kNotNow, "%s",
                             "The node has promised itself to a later epoch than this server's.");
    case shared::Admission::kDiverged:
      return refusal.Because(kNotNow, "%s", "Its WAL is not part of this server's history.");
    default:
      return RecoveryInProgress() ? refusal : JudgeTwins(*member);
  }
}

// Nothing while the members are not known.
const shared::NodeView* ReadMembers(const shared::Root* root) {
  static shared::NodeView view;  // too large for the stack
  return root->node.Read(view) && view.member_count > 0 ? &view : nullptr;
}

// Its machine may be trusted less than those of the data.
void RefuseDataToWitness(const shared::Root* root, const Port& connection) {
  const shared::NodeView* view = ReadMembers(root);
  const char* name = connection.peer_cn;
  if (view == nullptr || name == nullptr) {
    return;
  }
  const shared::MemberView* member = Find(*view, {false, name, strlen(name), 0});
  if (member != nullptr && member->role == shared::MemberRole::kWitness) {
    ereport(FATAL, (errcode(kNotTheirs), errmsg("node \"%s\" is a witness", name),
                    errdetail("It gets no data: it neither copies nor streams.")));
  }
}

Refusal Judge(const shared::Root* root, const CountedName& name, const Port& connection) {
  const shared::NodeView* view = ReadMembers(root);
  bool known = view != nullptr;
  const shared::MemberView* member = known ? Find(*view, name) : nullptr;
  Refusal refusal;
  if (strcmp(connection.user_name, kReplicator) != 0) {
    return known && member == nullptr
               ? refusal  // somebody else's standby
               : refusal.Because(kNotTheirs, "Only %s may use the name of a member.", kReplicator);
  }
  if (connection.peer_cn != nullptr && !IsOf(name, connection.peer_cn)) {
    return refusal.Because(kNotTheirs, "The certificate of the connection belongs to node \"%s\".",
                           connection.peer_cn);
  }
  if (known && member == nullptr) {
    return refusal.Because(kNotTheirs, "It is no member of cluster \"%s\".",
                           root->boot.cluster_name.data);
  }
  return JudgeMember(name, member);
}

}  // namespace

void AwaitSettling() {
  constexpr long kLookMs = 10;
  shared::Root* root = shmem::Attach();
  while (root != nullptr && !am_walsender &&
         shmem::BootTimeNs() < root->gate.settling_until_ns.load(std::memory_order_acquire)) {
    CHECK_FOR_INTERRUPTS();
    WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, kLookMs, PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
  }
}

void CheckLogin(const char* user) {
  shared::Root* root = shmem::Attach();
  if (root == nullptr || root->boot.mode == shared::Mode::kStandalone) {
    return;
  }
  if (AdministratorsOnly(root) && !am_walsender && !IsPrivileged(user)) {
    Refuse(root, FATAL);
  }
  if (strcmp(user, kReplicator) == 0 && MyProcPort != nullptr) {
    RefuseDataToWitness(root, *MyProcPort);
  }
}

bool MayTakeName(const char* application_name, int* sqlstate, const char** detail) {
  shared::Root* root = shmem::Attach();
  CountedName name = Parse(application_name);
  if (root == nullptr || root->boot.mode == shared::Mode::kStandalone || MyProcPort == nullptr ||
      MyProcPort->user_name == nullptr || !name.counts) {
    return true;
  }
  static Refusal refusal;
  refusal = Judge(root, name, *MyProcPort);
  if (refusal.sqlstate == 0) {
    return true;
  }
  root->counters.connections_refused.fetch_add(1, std::memory_order_relaxed);
  *sqlstate = refusal.sqlstate;
  *detail = refusal.detail;
  return false;
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
