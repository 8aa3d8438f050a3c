#include "extension/hooks/boot/boot.h"

#include "extension/pg/pg.h"

extern "C" {
#include "access/xlog.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/guc.h"
#include "utils/timestamp.h"
}

#include <unistd.h>

#include <string>

#include "extension/guc.h"
#include "extension/hooks/boot/member.h"
#include "extension/hooks/boot/reexec.h"
#include "extension/hooks/boot/repair.h"
#include "extension/identity/files.h"
#include "extension/identity/mark.h"
#include "extension/pg/compat.h"
#include "extension/pg/raise.h"
#include "extension/shmem.h"
#include "sqlstates.h"

namespace pgquorum::boot {

namespace {

// Lives as long as the postmaster; read again at each crash restart.
Membership* g_membership = nullptr;
shared::IntentOutcome g_outcome = shared::IntentOutcome::kNone;
uint32_t g_attempts = 0;
uint64_t g_boots = 0;

// Raises at the postmaster's start, where an error ends the process: nothing leaks.
void Report(int level, const Status& status) {
  pg::ErrorText text = {};
  pg::FillErrorText(text, status);
  pg::Report(level, text);
}

void LogLine(const char* line) {
  ereport(LOG, (errmsg_internal("pgquorum: %s", line)));
}

std::string Directory(const char* path) {
  std::string text = path;
  return text.substr(0, text.rfind('/'));
}

// Waits before the next attempt; false when a shutdown was asked for. The signals are blocked
// during the start of the postmaster; the one that is taken here has done its work when the caller
// ends.
bool Pause(uint32_t attempts) {
  sigset_t shutdown;
  sigemptyset(&shutdown);
  for (int signal : {SIGTERM, SIGINT, SIGQUIT}) {
    sigaddset(&shutdown, signal);
  }
  timespec timeout = {static_cast<time_t>(Min(attempts, 5U)), 0};
  return sigtimedwait(&shutdown, nullptr, &timeout) < 0;
}

[[noreturn]] void StartAgain() {
  std::string error = Reexec();
  ereport(FATAL, (errmsg("could not execute the server again: %s", error.c_str())));
  pg_unreachable();
}

[[noreturn]] void GiveUp(const Repair& repair) {
  Report(FATAL, Status::Error(sqlstate::kObjectNotInPrerequisiteState,
                              "the data directory is unfinished and must not be opened")
                    .WithDetail("The last attempt to make it whole failed: " + repair.error)
                    .WithHint("The next start tries again. If the source named in the state "
                              "directory's file \"intent\" is gone for good, join the node anew."));
  pg_unreachable();
}

// Carries out the intent, if there is one. Returns only when the directory may be opened as it is.
void CarryOutIntent(const std::string& state_directory) {
  RepairPaths paths{DataDir, state_directory, Directory(my_exec_path), ConfigFileName};
  for (uint32_t attempt = 1;; ++attempt) {
    Repair repair = AttemptRepair(paths, LogLine);
    switch (repair.result) {
      case RepairResult::kNothing:
        return;
      case RepairResult::kDone:
        LogLine("the data directory was made anew from the primary; starting again");
        StartAgain();
      case RepairResult::kUntouched:
        Report(WARNING, Status::Error(sqlstate::kIoError, "could not repair the data directory")
                            .WithDetail(repair.error));
        g_outcome = shared::IntentOutcome::kFailed;
        g_attempts = repair.intent.attempts;
        return;
      case RepairResult::kStopped:
        ereport(LOG, (errmsg("pgquorum: shutdown requested during the repair of the data "
                             "directory")));
        proc_exit(0);
      case RepairResult::kUnfinished:
        Report(WARNING, Status::Error(sqlstate::kIoError, "could not repair the data directory")
                            .WithDetail(repair.error));
        if (attempt >= identity::kMaxRecloneAttempts || !Pause(attempt)) {
          GiveUp(repair);
        }
    }
  }
}

// What the last repair was. It is told once, at the first start on its result; the note stays until
// recovery has consumed the backup_label that the repair left, for without it such a directory
// looks like one that somebody restored. Intent::touched means "not told yet" here.
void ReadRepairNote(const std::string& state_directory) {
  std::string file = state_directory + "/" + identity::kRepairedFile;
  Result<identity::Intent> loaded = identity::Load<identity::Intent>(file);
  if (!loaded.ok()) {
    return;
  }
  identity::Intent note = loaded.value();
  bool label = identity::FileExists(std::string(DataDir) + "/backup_label");
  if (note.touched || label) {
    g_outcome = note.kind == identity::Intent::Kind::kRewind ? shared::IntentOutcome::kRewound
                                                             : shared::IntentOutcome::kRecloned;
  }
  note.touched = false;
  Status status = label ? identity::Save(file, note) : identity::RemoveFileDurably(file);
  if (!status.ok()) {
    Report(WARNING, status);
  }
}

bool Repaired() {
  return g_outcome == shared::IntentOutcome::kRewound ||
         g_outcome == shared::IntentOutcome::kRecloned;
}

// Is this the directory that the node left, or one that somebody put in its place?
Status JudgeDirectory(const std::string& state_directory) {
  bool label = identity::FileExists(std::string(DataDir) + "/backup_label");
  Result<identity::Mark> mark =
      identity::CountStart(DataDir, state_directory, label && !Repaired());
  if (!mark.ok()) {
    return mark.status();
  }
  if (!mark.value().restored.empty()) {
    ereport(LOG, (errmsg("pgquorum: this data directory does not count for what the node has "
                         "acknowledged: %s",
                         mark.value().restored.c_str())));
  }
  return Status::Ok();
}

// At a crash restart too: the worker may have accepted the directory meanwhile.
bool MarkedAsRestored(const std::string& state_directory) {
  Result<identity::Mark> mark =
      identity::Load<identity::Mark>(state_directory + "/" + identity::kMarkFile);
  return !mark.ok() || !mark.value().restored.empty();
}

void WriteStandbySignal() {
  Status status = identity::WriteFileDurably(std::string(DataDir) + "/standby.signal", "");
  if (!status.ok()) {
    Report(FATAL, status);
  }
}

// The configuration of a start. Follows nobody, whatever the last life of this node was told.
Status ApplyBootConfiguration() {
  Status status = identity::WriteFileDurably(std::string(DataDir) + "/" + identity::kNodeConfigFile,
                                             BootConfiguration());
  if (!status.ok()) {
    return status;
  }
  ProcessConfigFile(PGC_POSTMASTER);
  if (guc::sync_generation != kBootSyncGeneration) {
    return Status::Error(sqlstate::kObjectNotInPrerequisiteState,
                         "the configuration does not include \"pgquorum.conf\" of the data "
                         "directory, or overrides it");
  }
  const char* conninfo = GetConfigOption("primary_conninfo", true, false);
  const char* names = GetConfigOption("synchronous_standby_names", true, false);
  if ((conninfo != nullptr && *conninfo != '\0') || (names != nullptr && *names != '\0')) {
    return Status::Error(sqlstate::kObjectNotInPrerequisiteState,
                         "primary_conninfo or synchronous_standby_names is set outside of "
                         "\"pgquorum.conf\", most likely by ALTER SYSTEM");
  }
  return Status::Ok();
}

// Against whatever the files say: nobody manages a closed node, so nothing else would stop it from
// streaming from a server that it does not belong to.
void FollowNobody() {
  for (const char* name : {"primary_conninfo", "primary_slot_name", "restore_command"}) {
    SetConfigOption(name, "", PGC_SIGHUP, PGC_S_OVERRIDE);
  }
}

void Close(const std::string& reason) {
  g_membership->kind = Membership::Kind::kClosed;
  g_membership->reason = reason;
}

// Nobody repairs a node that was shut out, and an unfinished directory is not opened.
void CloseShutOut(const std::string& state_directory, const std::string& why) {
  Result<identity::Intent> intent =
      identity::Load<identity::Intent>(state_directory + "/" + identity::kIntentFile);
  if (intent.ok() && intent.value().touched) {
    Report(FATAL, Status::Error(sqlstate::kForeignIdentity,
                                "the data directory is unfinished and must not be opened")
                      .WithDetail(why));
  }
  Close(why);
}

void LogMembership() {
  if (g_membership->kind == Membership::Kind::kClosed) {
    Report(WARNING,
           Status::Error(sqlstate::kForeignIdentity,
                         "this node is closed: it runs as a standby for administrators only")
               .WithDetail(g_membership->reason));
  } else if (g_membership->kind == Membership::Kind::kMember) {
    const identity::NodeIdentity& id = g_membership->identity;
    ereport(LOG,
            (errmsg("pgquorum: node \"%s\" of cluster \"%s\" starts as a %s", id.node_name.c_str(),
                    id.cluster_name.c_str(), id.witness ? "witness" : "standby")));
  }
}

// Crash recovery begins with an fsync of every file of the data directory: seconds of an outage
// after each kill of a backend. One syncfs for each file system does the same. A value in a
// configuration file wins over this default.
void RecoverQuickly() {
  SetConfigOption("recovery_init_sync_method", "syncfs", PGC_SIGHUP, PGC_S_DYNAMIC_DEFAULT);
}

void PrepareMember() {
  const std::string& state = g_membership->marker.state_directory;
  std::string error;
  if (!LockStateDirectory(state, &error)) {
    Report(FATAL, Status::Error(sqlstate::kForeignIdentity, error));
  }
  if (std::optional<std::string> why = WhyShutOut(state)) {
    CloseShutOut(state, *why);
    return;
  }
  ReadRepairNote(state);
  CarryOutIntent(state);
  Status status = SaveNodeFiles(DataDir, state);
  if (!status.ok()) {
    Close(status.message());
    return;
  }
  status = JudgeDirectory(state);
  if (status.ok()) {
    status = identity::RemoveFileDurably(state + "/" + identity::kDemoteFile);
  }
  if (!status.ok()) {
    Close(status.message());
    return;
  }
  ArmDemotion(state);
  RecoverQuickly();
}

uint64_t NewBootId() {
  uint64_t id = 0;
  while (id == 0) {
    if (!pg_strong_random(&id, sizeof(id))) {
      ereport(FATAL, (errmsg("could not generate a boot id")));
    }
  }
  return id;
}

void FillIdentity(shared::Boot& boot) {
  const identity::NodeIdentity& id = g_membership->identity;
  boot.cluster_id = id.cluster_id;
  boot.raft_node_id = id.raft_node_id;
  boot.cluster_name.Set(id.cluster_name);
  boot.node_name.Set(id.node_name);
  boot.listen_host.Set(id.listen.host);
  boot.listen_port = id.listen.port;
  boot.raft_host.Set(id.raft.host);
  boot.raft_port = id.raft.port;
  boot.witness = id.witness ? 1 : 0;
  boot.state_directory.Set(g_membership->marker.state_directory);
}

void FillBoot(shared::Boot& boot) {
  boot.boot_id = NewBootId();
  boot.boot_count = ++g_boots;
  boot.started_us = GetCurrentTimestamp();
  boot.started_ns = shmem::BootTimeNs();
  boot.postmaster_pid = static_cast<uint32_t>(getpid());
  if (g_boots > 1) {
    g_outcome = shared::IntentOutcome::kNone;  // told once; a crash restart repairs nothing
  }
  boot.intent_outcome = g_outcome;
  boot.intent_attempts = g_attempts;
  boot.system_identifier = GetSystemIdentifier();
  switch (g_membership->kind) {
    case Membership::Kind::kStandalone:
      boot.mode = shared::Mode::kStandalone;
      return;
    case Membership::Kind::kMember:
      boot.mode = shared::Mode::kMember;
      FillIdentity(boot);
      boot.restored = MarkedAsRestored(g_membership->marker.state_directory) ? 1 : 0;
      break;
    case Membership::Kind::kClosed:
      boot.mode = shared::Mode::kClosed;
      boot.closed_reason.Set(g_membership->reason);
      boot.node_name.Set(g_membership->identity.node_name);
      break;
  }
}

}  // namespace

bool PrepareStart() {
  const char* setting = guc::state_directory == nullptr ? "" : guc::state_directory;
  g_membership = new Membership(FindMembership(DataDir, setting, GetSystemIdentifier()));
  if (g_membership->kind == Membership::Kind::kStandalone) {
    return false;
  }
  if (g_membership->kind == Membership::Kind::kMember) {
    PrepareMember();
  }
  Status status = ApplyBootConfiguration();
  if (!status.ok() && g_membership->kind == Membership::Kind::kMember) {
    Close(status.message());
  }
  if (g_membership->kind == Membership::Kind::kClosed) {
    FollowNobody();
  }
  LogMembership();
  return g_membership->kind == Membership::Kind::kMember;
}

void InitializeSharedMemory() {
  shared::Root* root = shmem::Create(compat::ProcessSlots());
  FillBoot(root->boot);
  if (g_membership->kind == Membership::Kind::kStandalone) {
    return;
  }
  Result<int> removed = RemoveHistoryPlaceholders(DataDir);
  if (!removed.ok()) {
    Report(FATAL, removed.status());
  }
  WriteStandbySignal();
  SetDemotionBoot(root->boot.boot_id);
}

}  // namespace pgquorum::boot
