// A library for development servers only (PGQUORUM_DEV_TESTS): a background worker like the
// consensus worker (shared memory, no database connection, started with the postmaster) that runs
// one operation of postgres_*.h at a time as told by the SQL function pgquorum_ops(text).
// ops_servers.py drives it.
#include <charconv>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <time.h>

#include "bgworkers/consensus/postgres_config.h"
#include "bgworkers/consensus/postgres_control.h"
#include "bgworkers/consensus/postgres_facts.h"
#include "bgworkers/consensus/postgres_files.h"
#include "bgworkers/consensus/postgres_guard.h"
#include "bgworkers/consensus/postgres_promote.h"
#include "bgworkers/consensus/postgres_replay.h"
#include "bgworkers/consensus/postgres_slots.h"
#include "bgworkers/consensus/postgres_timeline.h"

extern "C" {
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/wait_event.h"
}

namespace {

using namespace pgquorum;             // NOLINT: a test program
using namespace pgquorum::consensus;  // NOLINT
using failover::Lsn;
using failover::Timeline;

// One request at a time; the test is the only client.
struct Mailbox {
  volatile uint64 asked;
  volatile uint64 answered;
  Latch* volatile worker;
  Latch* volatile client;
  char request[4096];
  char answer[65536];
};

Mailbox* g_mailbox = nullptr;
shmem_request_hook_type g_next_request = nullptr;
shmem_startup_hook_type g_next_startup = nullptr;

int64_t NowNs() {
  timespec now;
  clock_gettime(CLOCK_BOOTTIME, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

// ---- text -------------------------------------------------------------------------------------

std::vector<std::string> Split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (;;) {
    const std::size_t end = text.find(separator);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) {
      return parts;
    }
    text.remove_prefix(end + 1);
  }
}

uint64_t Number(std::string_view text) {
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

class Json {
 public:
  Json& Add(const char* key, const std::string& value) {
    Key(key);
    text_ += '"';
    for (char c : value) {
      if (c == '"' || c == '\\') {
        text_ += '\\';
      }
      text_ += c == '\n' ? ' ' : c;
    }
    text_ += '"';
    return *this;
  }
  Json& Add(const char* key, const char* value) { return Add(key, std::string(value)); }
  Json& Add(const char* key, bool value) { return Raw(key, value ? "true" : "false"); }
  template <std::integral T>
  Json& Add(const char* key, T value) {
    return Raw(key, std::to_string(value));
  }
  Json& Add(const char* key, Lsn value) { return Add(key, value.value()); }
  Json& Add(const char* key, Timeline value) { return Add(key, value.value()); }
  Json& Raw(const char* key, const std::string& value) {
    Key(key);
    text_ += value;
    return *this;
  }
  std::string Take() { return text_ + "}"; }

 private:
  void Key(const char* key) {
    text_ += text_.size() > 1 ? ",\"" : "\"";
    text_ += key;
    text_ += "\":";
  }
  std::string text_ = "{";
};

std::string Of(const Status& status) {
  Json json;
  json.Add("ok", status.ok());
  if (!status.ok()) {
    json.Add("sqlstate", status.sqlstate()).Add("error", status.ToString());
  }
  return json.Take();
}

template <typename T>
std::string Of(const Result<T>& result) {
  if (!result.ok()) {
    return Of(result.status());
  }
  return Json().Add("ok", true).Add("value", result.value()).Take();
}

std::string List(const std::vector<std::string>& items) {
  std::string text = "[";
  for (const std::string& item : items) {
    text += (text.size() > 1 ? "," : "") + item;
  }
  return text + "]";
}

// ---- operations -------------------------------------------------------------------------------

struct Machine {
  FactGatherer gatherer;
  ReplayEndDetector replay_end;
  Promotion promotion;
  SettingsFile settings{"."};
  RewindRetention retention;
  ListenerProbe probe;
  bool watch_replay = false;
  int64_t replay_asked = 0;
  int64_t replay_settled = 0;
  int64_t promotion_asked = 0;
  int64_t promotion_ended = 0;
  int64_t probe_asked = 0;
  int64_t probe_ended = 0;

  // Everything that is polled; called each turn of the loop.
  void Poll() {
    if (watch_replay && replay_settled == 0) {
      const PostgresFacts& facts = gatherer.Gather();
      if (replay_end.Poll(facts, gatherer.startup_pid())) {
        replay_settled = NowNs();
      }
    }
    if (promotion.state() == Promotion::State::kRunning &&
        promotion.Poll() != Promotion::State::kRunning) {
      promotion_ended = NowNs();
    }
    if (probe_asked != 0 && probe_ended == 0 &&
        probe.Poll(NowNs(), 1'000'000'000) != ListenerProbe::Result::kPending) {
      probe_ended = NowNs();
    }
  }
  bool Busy() const {
    return (watch_replay && replay_settled == 0) ||
           promotion.state() == Promotion::State::kRunning ||
           (probe_asked != 0 && probe_ended == 0);
  }
};

std::string SenderJson(const WalSenderFact& s) {
  return Json()
      .Add("pid", s.pid)
      .Add("name", s.application_name)
      .Add("state", static_cast<int>(s.state))
      .Add("connected_at_us", s.connected_at_us)
      .Add("sent", s.sent)
      .Add("write", s.write)
      .Add("flush", s.flush)
      .Add("apply", s.apply)
      .Add("priority", s.sync_priority)
      .Add("reply_age_ms", s.reply_age_ms)
      .Take();
}

std::string SendersJson(const std::vector<WalSenderFact>& senders) {
  std::vector<std::string> items;
  for (const WalSenderFact& sender : senders) {
    items.push_back(SenderJson(sender));
  }
  return List(items);
}

std::string FactsJson(FactGatherer* gatherer) {
  const PostgresFacts& f = gatherer->Gather();
  std::vector<std::string> ancestors;
  for (const failover::TimelineSwitch& s : f.history.ancestors) {
    ancestors.push_back(Json().Add("timeline", s.timeline).Add("end", s.end).Take());
  }
  std::string warnings;
  for (const std::string& warning : gatherer->warnings()) {
    warnings += warning + ";";
  }
  Json json;
  json.Add("in_recovery", f.in_recovery)
      .Add("hot_standby_active", f.hot_standby_active)
      .Add("promote_triggered", f.promote_triggered)
      .Add("timeline", f.history.timeline)
      .Add("end", f.history.end)
      .Raw("ancestors", List(ancestors))
      .Add("newest_known", f.newest_known)
      .Add("insert", f.insert)
      .Add("write", f.write)
      .Add("flush", f.flush)
      .Add("replay_timeline", f.replay.timeline)
      .Add("replay_end", f.replay.end)
      .Add("replay_paused", f.replay.paused)
      .Add("replay_delay_ms", f.replay.delay_ms)
      .Add("replay_lag_ms", f.replay.lag_ms);
  const ReceiverFact& r = f.receiver;
  json.Add("receiver_running", r.running)
      .Add("receiver_streaming", r.streaming)
      .Add("receiver_host", r.host)
      .Add("receiver_port", r.port)
      .Add("receiver_slot", r.slot)
      .Add("receiver_timeline", r.timeline)
      .Add("receiver_start", r.start)
      .Add("receiver_flushed", r.flushed)
      .Add("receiver_moved", r.flushed_moved)
      .Add("receiver_message_age_ms", r.message_age_ms)
      .Add("receiver_wal_age_ms", r.wal_age_ms);
  return json.Raw("senders", SendersJson(f.senders))
      .Add("sync_waiters", f.sync_waiters)
      .Add("sync_defined", f.sync_defined)
      .Add("system_identifier", f.control.system_identifier)
      .Add("checkpoint_timeline", f.control.checkpoint_timeline)
      .Add("checkpoint_redo", f.control.checkpoint_redo)
      .Add("min_recovery_timeline", f.control.min_recovery_timeline)
      .Add("checkpointed_timeline", f.checkpointed_timeline)
      .Add("client_backends", f.client_backends)
      .Add("wal_free_bytes", f.wal_free_bytes)
      .Add("wal_writable", f.wal_writable)
      .Add("uptime_s", f.uptime_s)
      .Add("startup_pid", gatherer->startup_pid())
      .Add("warnings", warnings)
      .Take();
}

std::string SlotsJson() {
  Result<std::vector<SlotFact>> slots = ListSlots();
  if (!slots.ok()) {
    return Of(slots.status());
  }
  std::vector<std::string> items;
  for (const SlotFact& s : slots.value()) {
    items.push_back(Json()
                        .Add("name", s.name)
                        .Add("physical", s.physical)
                        .Add("active_pid", s.active_pid)
                        .Add("restart", s.restart)
                        .Add("invalidated", s.invalidated)
                        .Take());
  }
  return Json().Add("ok", true).Raw("slots", List(items)).Take();
}

using Arguments = std::vector<std::string>;
using Operation = std::string (*)(Machine&, const Arguments&);

std::string ApplySettings(Machine& m, const Arguments& a) {
  // apply|host|port|application_name|slot|names (comma separated)|g|generation|lift|retry_ms
  PostgresSettings settings;
  if (!a[1].empty()) {
    Upstream upstream;
    upstream.host = a[1];
    upstream.port = static_cast<uint16_t>(Number(a[2]));
    upstream.application_name = a[3];
    upstream.user = "postgres";
    upstream.tls = false;
    settings.primary_conninfo = BuildPrimaryConninfo(upstream);
    settings.primary_slot_name = a[4];
  }
  Result<std::string> names = BuildSynchronousStandbyNames(
      static_cast<uint32_t>(Number(a[6])), a[5].empty() ? Arguments() : Split(a[5], ','));
  if (!names.ok()) {
    return Of(names.status());
  }
  settings.synchronous_standby_names = names.value();
  settings.sync_generation = Number(a[7]);
  settings.lift_replay_delay = a[8] == "1";
  settings.wal_retrieve_retry_interval_ms = static_cast<uint32_t>(Number(a[9]));
  return Of(m.settings.Apply(settings));
}

std::string BeginPromotion(Machine& m, const Arguments& a) {
  m.promotion_asked = NowNs();
  m.promotion_ended = 0;
  return Of(m.promotion.Begin(Timeline(static_cast<uint32_t>(Number(a[1]))),
                              Timeline(static_cast<uint32_t>(Number(a[2])))));
}

std::string PromotionState(Machine& m, const Arguments&) {
  return Json()
      .Add("state", static_cast<int>(m.promotion.state()))
      .Add("error", m.promotion.error().ToString())
      .Add("us", m.promotion_ended == 0 ? -1 : (m.promotion_ended - m.promotion_asked) / 1000)
      .Take();
}

std::string ReplayEnd(Machine& m, const Arguments&) {
  return Json()
      .Add("settled", m.replay_settled != 0)
      .Add("obstacle", m.replay_end.obstacle())
      .Add("timeline", m.replay_end.position().timeline)
      .Add("end", m.replay_end.position().lsn)
      .Add("us", m.replay_settled == 0 ? -1 : (m.replay_settled - m.replay_asked) / 1000)
      .Take();
}

std::string Marker(Machine&, const Arguments& a) {
  const int64_t begin = NowNs();
  Result<failover::Position> position = WriteMarker(a[1]);
  if (!position.ok()) {
    return Of(position.status());
  }
  return Json()
      .Add("ok", true)
      .Add("timeline", position.value().timeline)
      .Add("end", position.value().lsn)
      .Add("us", (NowNs() - begin) / 1000)
      .Take();
}

std::string Reconcile(Machine&, const Arguments& a) {
  // reconcile|self|own_end|retain|node=lsn,...
  SlotPlan plan;
  plan.self = a[1];
  plan.own_end = Lsn(Number(a[2]));
  plan.retain_bytes_max = Number(a[3]);
  for (const std::string& member : Split(a[4], ',')) {
    const Arguments parts = Split(member, '=');
    if (parts.size() == 2) {
      plan.members[parts[0]] = Lsn(Number(parts[1]));
    }
  }
  return Of(ReconcileSlots(plan));
}

std::string Pledge(Machine&, const Arguments& a) {
  // pledge|path|cluster|content ; without content: read
  const PledgeFile file(a[1], Number(a[2]));
  if (a.size() > 3) {
    return Of(file.Write(a[3]));
  }
  Result<std::optional<std::string>> content = file.Read();
  if (!content.ok()) {
    return Of(content.status());
  }
  Json json;
  json.Add("ok", true).Add("there", content.value().has_value());
  return json.Add("content", content.value().value_or("")).Take();
}

std::string Bench(Machine& m, const Arguments& a) {
  const int rounds = static_cast<int>(Number(a[2]));
  const int64_t begin = NowNs();
  for (int i = 0; i < rounds; ++i) {
    if (a[1] == "invalidate") {
      m.gatherer.Invalidate();
    }
    m.gatherer.Gather();
  }
  return Json().Add("ns_each", (NowNs() - begin) / rounds).Take();
}

const std::map<std::string, Operation>& Operations() {
  static const std::map<std::string, Operation> operations = {
      {"facts", [](Machine& m, const Arguments&) { return FactsJson(&m.gatherer); }},
      {"invalidate",
       [](Machine& m, const Arguments&) {
         m.gatherer.Invalidate();
         return Of(Status::Ok());
       }},
      {"bench", Bench},
      {"apply", ApplySettings},
      {"in_force", [](Machine& m, const Arguments&) { return Of(m.settings.CheckInForce()); }},
      {"watch_replay",
       [](Machine& m, const Arguments&) {
         m.watch_replay = true;
         m.replay_end.Reset();
         m.replay_asked = NowNs();
         m.replay_settled = 0;
         return Of(Status::Ok());
       }},
      {"replay_end", ReplayEnd},
      {"follows",
       [](Machine& m, const Arguments& a) {
         return Of(WalRecordFollows(m.gatherer.Gather().history, Lsn(Number(a[1]))));
       }},
      {"promote", BeginPromotion},
      {"promotion", PromotionState},
      {"cancel_promotion",
       [](Machine& m, const Arguments&) {
         return Json().Add("ok", true).Add("value", m.promotion.Cancel()).Take();
       }},
      {"normalize",
       [](Machine&, const Arguments& a) {
         return Of(NormalizeTimelines(".", Timeline(static_cast<uint32_t>(Number(a[1])))));
       }},
      {"place",
       [](Machine&, const Arguments& a) {
         return Of(PlaceTimelinePlaceholders(".", Timeline(static_cast<uint32_t>(Number(a[1]))),
                                             Timeline(static_cast<uint32_t>(Number(a[2])))));
       }},
      {"marker", Marker},
      {"checkpoint",
       [](Machine& m, const Arguments&) {
         m.gatherer.Invalidate();
         return Of(RequestCheckpointNow());
       }},
      {"slots", [](Machine&, const Arguments&) { return SlotsJson(); }},
      {"slot_ensure", [](Machine&, const Arguments& a) { return Of(EnsureSlot(a[1])); }},
      {"slot_drop", [](Machine&, const Arguments& a) { return Of(DropSlot(a[1])); }},
      {"slot_advance",
       [](Machine&, const Arguments& a) {
         return Of(AdvanceSlot(a[1], Lsn(Number(a[2])), Lsn(Number(a[3]))));
       }},
      {"reconcile", Reconcile},
      {"retain",
       [](Machine& m, const Arguments&) {
         m.gatherer.Invalidate();
         const PostgresFacts& facts = m.gatherer.Gather();
         return Of(m.retention.Update(facts.control.checkpoint_redo, facts.history.end));
       }},
      {"end_senders",
       [](Machine& m, const Arguments& a) {
         const std::vector<WalSenderFact> senders = m.gatherer.Gather().senders;
         const int told = EndWalSenders(senders, [&](const WalSenderFact& s) {
           return a[1].empty() || s.application_name == a[1];
         });
         return Json().Add("ok", true).Add("value", told).Take();
       }},
      {"duplicates",
       [](Machine& m, const Arguments&) {
         return Json()
             .Raw("senders", SendersJson(StaleDuplicates(m.gatherer.Gather().senders)))
             .Take();
       }},
      {"clients",
       [](Machine&, const Arguments&) {
         Result<ClientCounts> counts = CountClients();
         return counts.ok() ? Json()
                                  .Add("all", counts.value().all)
                                  .Add("in_transaction", counts.value().in_transaction)
                                  .Take()
                            : Of(counts.status());
       }},
      {"terminate_clients", [](Machine&, const Arguments&) { return Of(TerminateClients()); }},
      {"cancel_conflicts", [](Machine&, const Arguments&) { return Of(CancelReplayConflicts()); }},
      {"end_receiver",
       [](Machine& m, const Arguments&) {
         EndReceiver(m.gatherer.Gather().receiver);
         return Of(Status::Ok());
       }},
      {"lift_pause", [](Machine&, const Arguments&) { return Of(LiftReplayPause()); }},
      {"probe",
       [](Machine& m, const Arguments&) {
         m.probe.Start(NowNs());
         m.probe_asked = NowNs();
         m.probe_ended = 0;
         return Of(Status::Ok());
       }},
      {"probe_result",
       [](Machine& m, const Arguments&) {
         return Json()
             .Add("ended", m.probe_ended != 0)
             .Add("alive", m.probe_ended != 0 && m.probe.Poll(NowNs(), 1'000'000'000) ==
                                                     ListenerProbe::Result::kAlive)
             .Add("error", m.probe.error())
             .Add("us", m.probe_ended == 0 ? -1 : (m.probe_ended - m.probe_asked) / 1000)
             .Take();
       }},
      {"pledge", Pledge},
      {"stop",
       [](Machine&, const Arguments& a) {
         return Of(StopServer(a[1] == "fast" ? StopMode::kFast : StopMode::kImmediate));
       }},
      // An ERROR with a lightweight lock held: the next operation must not hang.
      {"error",
       [](Machine&, const Arguments&) {
         return Of(Guarded("on purpose", [] {
           LWLockAcquire(ReplicationSlotControlLock, LW_EXCLUSIVE);
           ereport(ERROR, (errcode(ERRCODE_DIVISION_BY_ZERO), errmsg("raised with a lock held"),
                           errdetail("The detail."), errhint("The hint.")));
         }));
       }},
  };
  return operations;
}

void Serve(Machine& machine) {
  if (g_mailbox->asked == g_mailbox->answered) {
    return;
  }
  pg_memory_barrier();
  const Arguments arguments = Split(g_mailbox->request, '|');
  const auto found = Operations().find(arguments[0]);
  const std::string answer = found == Operations().end() ? R"({"error":"no such operation"})"
                                                         : found->second(machine, arguments);
  strlcpy(g_mailbox->answer, answer.c_str(), sizeof g_mailbox->answer);
  pg_memory_barrier();
  g_mailbox->answered = g_mailbox->asked;
  if (g_mailbox->client != nullptr) {
    SetLatch(g_mailbox->client);
  }
}

void RequestMemory() {
  if (g_next_request != nullptr) {
    g_next_request();
  }
  RequestAddinShmemSpace(sizeof(Mailbox));
}

void StartMemory() {
  if (g_next_startup != nullptr) {
    g_next_startup();
  }
  bool found = false;
  LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
  g_mailbox = static_cast<Mailbox*>(ShmemInitStruct("pgquorum_ops", sizeof(Mailbox), &found));
  if (!found) {
    MemSet(g_mailbox, 0, sizeof(Mailbox));
  }
  LWLockRelease(AddinShmemInitLock);
}

}  // namespace

PGQUORUM_EXPORT const Pg_magic_struct* PG_MAGIC_FUNCTION_NAME(void);
const Pg_magic_struct* PG_MAGIC_FUNCTION_NAME(void) {
  static const Pg_magic_struct magic = PG_MODULE_MAGIC_DATA;
  return &magic;
}

PGQUORUM_EXPORT void _PG_init(void);
void _PG_init(void) {
  if (!process_shared_preload_libraries_in_progress) {
    return;
  }
  g_next_request = shmem_request_hook;
  shmem_request_hook = RequestMemory;
  g_next_startup = shmem_startup_hook;
  shmem_startup_hook = StartMemory;
  BackgroundWorker worker{};
  worker.bgw_flags = BGWORKER_SHMEM_ACCESS;
  worker.bgw_start_time = BgWorkerStart_PostmasterStart;
  worker.bgw_restart_time = 1;
  strlcpy(worker.bgw_name, "pgquorum operations test", sizeof worker.bgw_name);
  strlcpy(worker.bgw_type, "pgquorum operations test", sizeof worker.bgw_type);
  strlcpy(worker.bgw_library_name, "pgquorum_ops_test", sizeof worker.bgw_library_name);
  strlcpy(worker.bgw_function_name, "pgquorum_ops_main", sizeof worker.bgw_function_name);
  RegisterBackgroundWorker(&worker);
}

PGQUORUM_EXPORT void pgquorum_ops_main(Datum argument);
void pgquorum_ops_main(Datum) {
  pqsignal(SIGHUP, SignalHandlerForConfigReload);
  pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
  BackgroundWorkerUnblockSignals();
  g_mailbox->worker = MyLatch;
  static Machine machine;
  while (!ShutdownRequestPending) {
    if (ConfigReloadPending) {
      ConfigReloadPending = false;
      ProcessConfigFile(PGC_SIGHUP);
    }
    Serve(machine);
    machine.Poll();
    const long timeout_ms = machine.Busy() ? 2 : 1000;
    WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, timeout_ms,
              PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
  }
  proc_exit(1);
}

// pgquorum_ops(text) returns text: runs one operation in the worker.
PGQUORUM_FUNCTION(pgquorum_ops) {
  char* request = text_to_cstring(PG_GETARG_TEXT_PP(0));
  strlcpy(g_mailbox->request, request, sizeof g_mailbox->request);
  g_mailbox->client = MyLatch;
  pg_memory_barrier();
  g_mailbox->asked = g_mailbox->asked + 1;
  if (g_mailbox->worker != nullptr) {
    SetLatch(g_mailbox->worker);
  }
  while (g_mailbox->asked != g_mailbox->answered) {
    WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 100, PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
    CHECK_FOR_INTERRUPTS();
  }
  PG_RETURN_TEXT_P(cstring_to_text(g_mailbox->answer));
}
