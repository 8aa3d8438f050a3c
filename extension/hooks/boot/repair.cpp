#include "extension/hooks/boot/repair.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <vector>

#include "extension/hooks/boot/clone_spaces.h"
#include "extension/hooks/boot/member.h"
#include "extension/hooks/boot/program.h"
#include "extension/identity/files.h"
#include "extension/identity/mark.h"

namespace pgquorum::boot {

namespace {

namespace fs = std::filesystem;
using identity::Intent;

std::string IntentFile(const RepairPaths& paths) {
  return paths.state_directory + "/" + identity::kIntentFile;
}

// What the program said last; continuation lines are indented and say less.
std::string Complaint(const ProgramResult& run) {
  std::string found;
  for (std::size_t at = 0; at < run.output.size();) {
    std::size_t end = std::min(run.output.find('\n', at), run.output.size());
    if (end > at && !std::isspace(static_cast<unsigned char>(run.output[at]))) {
      found = run.output.substr(at, end - at);
    }
    at = end + 1;
  }
  return found.empty() ? run.ending : found + " (" + run.ending + ")";
}

// Everything the program wrote, to the disk: one call for the file system costs less than the
// program's own fsync of every file, changed or not.
Status SyncAll(const std::string& data_directory) {
  std::error_code error;
  bool elsewhere = fs::is_symlink(fs::symlink_status(data_directory + "/pg_wal", error)) ||
                   !fs::is_empty(data_directory + "/pg_tblspc", error);
  if (elsewhere || error) {
    ::sync();
    return Status::Ok();
  }
  int fd = ::open(data_directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  bool synced = fd >= 0 && ::syncfs(fd) == 0;
  int failure = errno;
  if (fd >= 0) {
    ::close(fd);
  }
  return synced ? Status::Ok()
                : Status::Error("58030", "could not sync \"" + data_directory +
                                             "\": " + std::strerror(failure));
}

// pg_rewind connects to a database, whose name would default to the role's.
std::string SourceOf(const Intent& intent) {
  bool named = intent.source_conninfo.find("dbname") != std::string::npos;
  return named ? intent.source_conninfo : intent.source_conninfo + " dbname=postgres";
}

uint32_t AttemptLimit(const Intent& intent) {
  return intent.kind == Intent::Kind::kRewind ? identity::kMaxRewindAttempts
                                              : identity::kMaxRecloneAttempts;
}

// pg_rewind runs the server in single-user mode when the target was not shut down cleanly; that
// refuses a standby's signal file, and a lock file of a living process: ours. The state directory's
// lock keeps other servers out meanwhile.
constexpr char kLockFileAside[] = "/postmaster.pid.pgquorum";

Status PrepareForSingleUser(const RepairPaths& paths) {
  for (const char* name : {"standby.signal", "recovery.signal"}) {
    Status status = identity::RemoveFileDurably(paths.data_directory + "/" + name);
    if (!status.ok()) {
      return status;
    }
  }
  std::string lock = paths.data_directory + "/postmaster.pid";
  if (::rename(lock.c_str(), (paths.data_directory + kLockFileAside).c_str()) != 0 &&
      errno != ENOENT) {
    return Status::Error("58030", "could not rename \"" + lock + "\": " + std::strerror(errno));
  }
  return Status::Ok();
}

// For the start that goes on in this process.
void PutLockFileBack(const RepairPaths& paths) {
  (void)::rename((paths.data_directory + kLockFileAside).c_str(),
                 (paths.data_directory + "/postmaster.pid").c_str());
}

Repair Failed(const RepairPaths& paths, Intent intent, RepairResult result, std::string error) {
  intent.last_error = error;
  intent.touched = result != RepairResult::kUntouched;
  // Rewinding is given up after a bound; a copy always helps as long as there is a source.
  if (intent.kind == Intent::Kind::kRewind && intent.touched &&
      intent.attempts >= identity::kMaxRewindAttempts) {
    intent.kind = Intent::Kind::kReclone;
    intent.attempts = 0;
  }
  Status saved = identity::Save(IntentFile(paths), intent);
  if (!saved.ok()) {
    error += "; " + saved.message();
  }
  return {result, intent, error};
}

// After the program has succeeded. The intent goes last.
Repair Finish(const RepairPaths& paths, const Intent& intent) {
  Status status = SyncAll(paths.data_directory);
  if (status.ok()) {
    status = RestoreNodeFiles(paths.data_directory, paths.state_directory);
  }
  if (status.ok()) {
    status = identity::WriteFileDurably(paths.data_directory + "/" + identity::kNodeConfigFile,
                                        BootConfiguration());
  }
  if (status.ok()) {
    status = identity::WriteFileDurably(paths.data_directory + "/standby.signal", "");
  }
  if (status.ok()) {
    status = identity::NoteReplaced(paths.state_directory);
  }
  if (status.ok()) {
    status = identity::Save(paths.state_directory + "/" + identity::kRepairedFile, intent);
  }
  if (status.ok()) {
    status = identity::RemoveFileDurably(IntentFile(paths));
  }
  if (!status.ok()) {
    return Failed(paths, intent, RepairResult::kUnfinished, status.message());
  }
  return {RepairResult::kDone, intent, ""};
}

// pg_rewind empties the configuration files long before it fills them again. A server that is
// killed in between would start without this library, and open the directory. What stops it is
// first a backup_label that no server accepts. pg_rewind removes it, for it removes everything that
// its source does not have, before it has filled the files again (filemap.c, decide_file_action).
// What it has not seen when it listed the directory it leaves alone: so a recovery.conf follows,
// beside which no server since 12 recovers (readRecoverySignalFile), as soon as the list is made.
constexpr char kPoison[] = "pgquorum: a rewind of this directory is unfinished\n";
constexpr char kListIsMade[] = "reading WAL in target";  // pg_rewind --progress

std::string LabelFile(const RepairPaths& paths) {
  return paths.data_directory + "/backup_label";
}

std::string OutdatedFile(const RepairPaths& paths) {
  return paths.data_directory + "/recovery.conf";
}

Status RemovePoison(const RepairPaths& paths) {
  Status status;
  for (const std::string& file : {LabelFile(paths), OutdatedFile(paths)}) {
    Result<std::string> content = identity::ReadFile(file);
    if (status.ok() && content.ok() && content.value() == kPoison) {
      status = identity::RemoveFileDurably(file);
    }
  }
  return status;
}

bool WasShutDownCleanly(const RepairPaths& paths) {
  ProgramResult run =
      RunProgram({paths.bin_directory + "/pg_controldata", "-D", paths.data_directory}, nullptr);
  constexpr char kState[] = "Database cluster state:";
  std::size_t at = run.output.find(kState);
  std::size_t value =
      at == std::string::npos ? at : run.output.find_first_not_of(' ', at + sizeof(kState) - 1);
  return value != std::string::npos && run.output.compare(value, 9, "shut down") == 0;
}

std::vector<std::string> RewindCommand(const RepairPaths& paths, const Intent& intent) {
  return {paths.bin_directory + "/pg_rewind",
          "--target-pgdata=" + paths.data_directory,
          "--source-server=" + SourceOf(intent),
          "--config-file=" + paths.config_file,
          "--progress",
          "--no-sync",
          "--no-ensure-shutdown"};
}

// What pg_rewind would do by itself, but before the poison is laid. An unreachable source is
// noticed first: recovery without the standby's signal file ends in a record that the primary never
// wrote.
ProgramResult RecoverTarget(const RepairPaths& paths, const Intent& intent,
                            void (*log)(const char*)) {
  std::vector<std::string> dry = RewindCommand(paths, intent);
  dry.emplace_back("--dry-run");
  ProgramResult run = RunProgram(dry, nullptr);
  if (run.stopped || RewindLeftTargetUntouched(run.output)) {
    run.success = false;
    return run;
  }
  return RunProgram({paths.bin_directory + "/postgres", "--single", "-F", "-D",
                     paths.data_directory, "-c", "config_file=" + paths.config_file, "template1"},
                    log);
}

// The program's part, with the lock file aside and the intent touched.
ProgramResult RewindTarget(const RepairPaths& paths, const Intent& intent,
                           void (*log)(const char*)) {
  ProgramResult failed;
  Status status = RemovePoison(paths);
  if (status.ok() && !WasShutDownCleanly(paths)) {
    ProgramResult recovered = RecoverTarget(paths, intent, log);
    if (!recovered.success) {
      return recovered;
    }
  }
  if (status.ok()) {
    status = identity::WriteFileDurably(LabelFile(paths), kPoison);
  }
  if (!status.ok()) {
    failed.ending = status.message();
    return failed;
  }
  return RunProgram(RewindCommand(paths, intent), [&](const char* line) {
    if (std::strstr(line, kListIsMade) != nullptr) {
      Status laid = identity::WriteFileDurably(OutdatedFile(paths), kPoison);
      if (!laid.ok() && log != nullptr) {
        log(("nothing keeps another server from this directory: " + laid.message()).c_str());
      }
    }
    if (log != nullptr) {
      log(line);
    }
  });
}

Repair RunRewind(const RepairPaths& paths, Intent intent, void (*log)(const char*)) {
  bool was_touched = intent.touched;
  Status status = PrepareForSingleUser(paths);
  if (status.ok()) {
    intent.touched = true;
    status = identity::Save(IntentFile(paths), intent);
  }
  if (!status.ok()) {
    PutLockFileBack(paths);
    intent.touched = was_touched;
    return Failed(paths, intent, was_touched ? RepairResult::kUnfinished : RepairResult::kUntouched,
                  status.message());
  }
  ProgramResult run = RewindTarget(paths, intent, log);
  bool untouched = !was_touched && RewindLeftTargetUntouched(run.output);
  if (run.success || untouched) {
    // It is still there when nothing had to be rewound.
    status = RemovePoison(paths);
    if (run.success && status.ok()) {
      return Finish(paths, intent);
    }
    untouched = untouched && status.ok();
  }
  PutLockFileBack(paths);
  Repair failed =
      Failed(paths, intent, untouched ? RepairResult::kUntouched : RepairResult::kUnfinished,
             "pg_rewind: " + Complaint(run));
  if (run.stopped) {
    failed.result = RepairResult::kStopped;
  }
  return failed;
}

bool NoRoom(const Intent& intent) {
  return intent.last_error.find("No space left on device") != std::string::npos;
}

// The copy is made beside the old content. When the disk cannot hold both, the next attempt gives
// the old content up first.
Status MakeRoom(const RepairPaths& paths, const Intent& intent, const Spaces& spaces) {
  Status cleared = ClearSpaces(paths.data_directory, spaces, NoRoom(intent));
  if (!cleared.ok()) {
    return cleared;
  }
  std::error_code error;
  fs::remove_all(fs::path(paths.data_directory) / kCloneDirectory, error);
  if (!error && NoRoom(intent)) {
    for (const auto& entry :
         fs::directory_iterator(fs::path(paths.data_directory) / kOldDirectory, error)) {
      if (entry.path().filename() != "pg_tblspc") {  // it may be all that names the tablespaces
        std::error_code ignored;
        fs::remove_all(entry.path(), ignored);
      }
    }
    fs::remove_all(fs::path(paths.data_directory) / "base", error);
  }
  return error ? Status::Error("58030", "could not make room for a base backup: " + error.message())
               : Status::Ok();
}

ProgramResult CopySource(const RepairPaths& paths, const Intent& intent, const Spaces& spaces,
                         void (*log)(const char*)) {
  std::vector<std::string> words = {paths.bin_directory + "/pg_basebackup",
                                    "--pgdata=" + paths.data_directory + "/" + kCloneDirectory,
                                    "--dbname=" + SourceOf(intent),
                                    "--checkpoint=fast",
                                    "--wal-method=stream",
                                    "--no-password",
                                    "--no-sync"};
  for (std::string& mapping : SpaceMappings(spaces)) {
    words.push_back(std::move(mapping));
  }
  return RunProgram(words, log);
}

// The finished copy takes the old content's place.
Status SwapIn(const RepairPaths& paths, const Intent& intent, const Spaces& spaces) {
  Status status = SyncAll(paths.data_directory + "/" + kCloneDirectory);
  if (status.ok()) {
    status = identity::Save(IntentFile(paths), intent);
  }
  if (status.ok()) {
    status = SwapInSpaces(paths.data_directory, spaces);
  }
  return status.ok() ? SwapInClone(paths.data_directory) : status;
}

Repair RunReclone(const RepairPaths& paths, Intent intent, void (*log)(const char*)) {
  // Touched only when the swap begins, unless the old content is given up for its space.
  intent.touched = intent.touched || NoRoom(intent);
  const Spaces spaces = FindSpaces(paths.data_directory);
  const std::string mark =
      kSpaceMark + std::to_string(::getpid()) + "." + std::to_string(std::time(nullptr));
  Status status = identity::Save(IntentFile(paths), intent);
  if (status.ok()) {
    status = MakeRoom(paths, intent, spaces);
  }
  RepairResult failure = intent.touched ? RepairResult::kUnfinished : RepairResult::kUntouched;
  if (status.ok()) {
    status = MarkSpaces(spaces, mark);
  }
  if (!status.ok()) {
    return Failed(paths, intent, failure, status.message());
  }
  ProgramResult run = CopySource(paths, intent, spaces, log);
  status = CheckMarks(spaces, mark);
  if (!run.success || !status.ok()) {
    Repair failed = Failed(paths, intent, failure,
                           run.success ? status.message() : "pg_basebackup: " + Complaint(run));
    if (run.stopped) {
      failed.result = RepairResult::kStopped;
    }
    return failed;
  }
  intent.touched = true;
  status = SwapIn(paths, intent, spaces);
  if (!status.ok()) {
    return Failed(paths, intent, RepairResult::kUnfinished, status.message());
  }
  return Finish(paths, intent);
}

}  // namespace

bool RewindLeftTargetUntouched(const std::string& output) {
  constexpr std::array kSigns = {
      "connection to server",  // libpq could not connect: the first thing that pg_rewind does
      "source and target clusters are from different systems",
      "target server needs to use either data checksums or",
      "could not find common ancestor of the source and target",
      "could not translate host name",
  };
  // From this line on it changes the target.
  if (output.find("need to copy") != std::string::npos) {
    return false;
  }
  for (const char* sign : kSigns) {
    if (output.find(sign) != std::string::npos) {
      return true;
    }
  }
  return false;
}

Repair AttemptRepair(const RepairPaths& paths, void (*log)(const char* line)) {
  if (!identity::FileExists(IntentFile(paths))) {
    return {};
  }
  Result<Intent> loaded = identity::Load<Intent>(IntentFile(paths));
  if (!loaded.ok()) {
    // What was begun is not known: the directory cannot be trusted, and there is no source to name.
    return {RepairResult::kUnfinished, {}, loaded.status().message()};
  }
  Intent intent = loaded.value();
  if (!intent.touched) {
    Status saved = SaveNodeFiles(paths.data_directory, paths.state_directory);
    if (!saved.ok()) {
      return Failed(paths, intent, RepairResult::kUntouched, saved.message());
    }
  }
  if (!intent.touched && intent.attempts >= AttemptLimit(intent)) {
    return {RepairResult::kUntouched, intent, "given up: " + intent.last_error};
  }
  ++intent.attempts;
  return intent.kind == Intent::Kind::kRewind ? RunRewind(paths, intent, log)
                                              : RunReclone(paths, intent, log);
}

}  // namespace pgquorum::boot

#include "base/pure.h"
