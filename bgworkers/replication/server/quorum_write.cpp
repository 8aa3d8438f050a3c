// A transaction that has written replicated tables commits here, and then waits until as many sites
// as were asked for have applied it, durably: until their slots have confirmed its end. It can be
// seen meanwhile, and holds no lock any more: the others' changes of the same rows are applied
// while it waits, or two such commits at two sites would wait for each other.
//
// What has been committed stays. Whoever waits in vain is told so by a warning (RX215), never by an
// error.
#include "bgworkers/replication/server/quorum_write.h"

#include "extension/pg/pg.h"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "replication/slot.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/spin.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/pg_lsn.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"
}

namespace pgquorum::replication::server {

namespace {

constexpr long kLookMs = 1;
constexpr char kErrWriteQuorumMissed[] = "RX215";

struct QuorumWrite {
  bool registered;
  bool wrote;            // this transaction has
  int sites;             // asked for, this one included; 1: nothing to wait for
  XLogRecPtr waits_for;  // the end of the commit
  XLogRecPtr last;       // of the session's newest commit of replicated rows
};
QuorumWrite g_write;

int Setting(const char* name) {
  const char* text = GetConfigOption(name, true, false);
  return text == nullptr ? 0 : pg_strtoint32(text);
}

int QuorumOfGroup() {
  Oid schema = get_namespace_oid("pgquorum_internal", false);
  Oid table = get_relname_relid("replication_group", schema);
  if (!OidIsValid(table)) {
    return 1;
  }
  Relation groups = table_open(table, AccessShareLock);
  Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
  SysScanDesc scan = systable_beginscan(groups, InvalidOid, false, snapshot, 0, nullptr);
  HeapTuple group = systable_getnext(scan);
  int sites = 1;
  if (HeapTupleIsValid(group)) {
    bool is_null = false;
    Datum value =
        heap_getattr(group, get_attnum(table, "write_quorum"), RelationGetDescr(groups), &is_null);
    sites = is_null ? 1 : DatumGetInt32(value);
  }
  systable_endscan(scan);
  UnregisterSnapshot(snapshot);
  table_close(groups, AccessShareLock);
  return sites;
}

// Sites whose slots have confirmed everything before `end`; this one counts.
int SitesBeyond(XLogRecPtr end) {
  char prefix[NAMEDATALEN];
  int length = snprintf(prefix, sizeof(prefix), "pgquorum_%u_", MyDatabaseId);
  int sites = 1;
  LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
  for (int i = 0; i < max_replication_slots; ++i) {
    ReplicationSlot* slot = &ReplicationSlotCtl->replication_slots[i];
    if (!slot->in_use ||
        strncmp(NameStr(slot->data.name), prefix, static_cast<Size>(length)) != 0) {
      continue;
    }
    SpinLockAcquire(&slot->mutex);
    XLogRecPtr confirmed = slot->data.confirmed_flush;
    SpinLockRelease(&slot->mutex);
    sites += confirmed != InvalidXLogRecPtr && confirmed >= end ? 1 : 0;
  }
  LWLockRelease(ReplicationSlotControlLock);
  return sites;
}

void Warn(const char* why) {
  const char* code = kErrWriteQuorumMissed;
  ereport(
      WARNING,
      (errcode(MAKE_SQLSTATE(code[0], code[1], code[2], code[3], code[4])),
       errmsg("the transaction is committed at this site, but %s", why),
       errdetail("%d of %d sites have applied it.", SitesBeyond(g_write.waits_for), g_write.sites),
       errhint("The others apply it when they are reached; system.replication_peers shows "
               "what keeps them.")));
}

// The commit stands: interrupts are held, and whatever ends the wait is said and left to the
// caller.
bool IsInterrupted() {
  if (ProcDiePending) {
    Warn("the wait for other sites ends with the session");
    whereToSendOutput = DestNone;
    return true;
  }
  if (QueryCancelPending) {
    QueryCancelPending = false;
    Warn("the wait for other sites was canceled");
    return true;
  }
  return false;
}

void AwaitSites() {
  TimestampTz until =
      TimestampTzPlusMilliseconds(GetCurrentTimestamp(), Setting("pgquorum.write_quorum_timeout"));
  XLogFlush(g_write.waits_for);
  while (SitesBeyond(g_write.waits_for) < g_write.sites) {
    if (IsInterrupted()) {
      return;
    }
    if (GetCurrentTimestamp() >= until) {
      Warn("too few other sites have applied it in time");
      return;
    }
    int woken = WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_POSTMASTER_DEATH, kLookMs,
                          PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
    if ((woken & WL_POSTMASTER_DEATH) != 0) {
      ProcDiePending = true;
    }
  }
}

void RefuseIfOutOfReach() {
  int there = SitesBeyond(1);
  if (g_write.sites > there) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("the transaction is to be applied at %d sites, but the group has %d",
                           g_write.sites, there),
                    errhint("Let more sites join, or lower pgquorum.write_quorum or the group's "
                            "write_quorum (system.set_write_quorum).")));
  }
}

void OnTransaction(XactEvent event, void*) {
  switch (event) {
    case XACT_EVENT_PRE_COMMIT:
      if (g_write.wrote && g_write.sites > 1) {
        RefuseIfOutOfReach();
      }
      break;
    case XACT_EVENT_PRE_PREPARE:
      if (g_write.wrote && g_write.sites > 1) {
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("a prepared transaction cannot wait for other sites"),
                        errhint("SET LOCAL pgquorum.write_quorum = 1 in it.")));
      }
      break;
    case XACT_EVENT_COMMIT:
      if (g_write.wrote) {
        g_write.last = XactLastCommitEnd;
        g_write.waits_for = g_write.sites > 1 ? XactLastCommitEnd : InvalidXLogRecPtr;
      }
      g_write.wrote = false;
      break;
    case XACT_EVENT_ABORT:
    case XACT_EVENT_PREPARE:
      g_write.wrote = false;
      g_write.waits_for = InvalidXLogRecPtr;
      break;
    default:
      break;
  }
}

// The first moment at which the transaction has no locks any more.
void OnRelease(ResourceReleasePhase phase, bool, bool is_top_level, void*) {
  if (phase == RESOURCE_RELEASE_AFTER_LOCKS && is_top_level &&
      g_write.waits_for != InvalidXLogRecPtr) {
    AwaitSites();
    g_write.waits_for = InvalidXLogRecPtr;
  }
}

}  // namespace

void NoteReplicatedWrite() {
  if (g_write.wrote) {
    return;
  }
  if (!g_write.registered) {
    RegisterXactCallback(OnTransaction, nullptr);  // lint: allow(xact_callback) another library
    RegisterResourceReleaseCallback(OnRelease, nullptr);
    g_write.registered = true;
  }
  g_write.wrote = true;
  int asked = Setting("pgquorum.write_quorum");
  g_write.sites = asked == 0 ? QuorumOfGroup() : asked;
}

}  // namespace pgquorum::replication::server

// Where this session's newest commit of replicated rows ends; null before the first.
PGQUORUM_FUNCTION(pgquorum_last_replicated_commit) {
  using namespace pgquorum::replication::server;
  if (g_write.last == InvalidXLogRecPtr) {
    PG_RETURN_NULL();
  }
  PG_RETURN_LSN(g_write.last);
}
