#include "bgworkers/consensus/test/ops_operations.h"

#include <time.h>

#include <optional>
#include <utility>

#include "bgworkers/consensus/pledge_file.h"
#include "bgworkers/consensus/postgres_guard.h"
#include "bgworkers/consensus/postgres_timeline.h"
#include "bgworkers/consensus/test/ops_json.h"

extern "C" {
#include "storage/lwlock.h"
}

namespace pgquorum::consensus {

using failover::Lsn;
using failover::Timeline;

int64_t NowNs() {
  timespec now;
  clock_gettime(CLOCK_BOOTTIME, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

namespace {

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

std::string ApplySettings(Machine& m, const Arguments& a) {
  // apply|host|port|application_name|slot|names (comma separated)|g|generation|lift|retry_ms[|pki]
  PostgresSettings settings;
  if (!a[1].empty()) {
    Upstream upstream;
    upstream.host = a[1];
    upstream.port = static_cast<uint16_t>(Number(a[2]));
    upstream.application_name = a[3];
    upstream.user = "postgres";
    upstream.tls = a.size() > 10;
    upstream.pki_directory = a.size() > 10 ? a[10] : "";
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

using Table = std::map<std::string, Operation>;

Table Observing() {
  return {
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
  };
}

Table Promoting() {
  return {
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
  };
}

Table Slots() {
  return {
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
  };
}

Table Controlling() {
  return {
      {"end_senders",
       [](Machine& m, const Arguments& a) {
         const std::vector<WalSenderFact> senders = m.gatherer.Gather().senders;
         const int told = EndWalSenders(senders, [&](const WalSenderFact& s) {
           return a[1].empty() || s.application_name == a[1];
         });
         return Json().Add("ok", true).Add("value", told).Take();
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
  };
}

Table Probing() {
  return {
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
}

}  // namespace

const std::map<std::string, Operation>& Operations() {
  static const Table operations = [] {
    Table all;
    for (Table part : {Observing(), Promoting(), Slots(), Controlling(), Probing()}) {
      all.merge(part);
    }
    return all;
  }();
  return operations;
}

}  // namespace pgquorum::consensus
