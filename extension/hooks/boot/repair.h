// Carries out an intent: pg_rewind or a new base backup, in the postmaster, before anything of the
// data directory is open.
#pragma once

#include <string>

#include "base/status.h"
#include "extension/identity/identity.h"

namespace pgquorum::boot {

struct RepairPaths {
  std::string data_directory;  // absolute
  std::string state_directory;
  std::string bin_directory;  // of pg_rewind and pg_basebackup
  std::string config_file;    // in force, absolute
};

enum class RepairResult {
  kNothing,     // no intent
  kDone,        // the directory is the source's; the intent is gone; re-exec now
  kUntouched,   // the attempt failed before it changed anything: the server may start as it was
  kUnfinished,  // the directory must not be opened; try again
  kStopped,     // the server was told to shut down meanwhile
};

struct Repair {
  RepairResult result = RepairResult::kNothing;
  identity::Intent intent;
  std::string error;  // kUntouched, kUnfinished
};

// One attempt of the intent in the state directory. Every step is durable before the next, so that
// a kill -9 or power loss at any point leaves either an untouched directory or a touched intent.
Repair AttemptRepair(const RepairPaths& paths, void (*log)(const char* line));

// Whether pg_rewind's output proves that it ended before its first change to the target.
bool RewindLeftTargetUntouched(const std::string& output);

// Puts the finished copy DATA/pgquorum.clone in the place of the data directory's content. The old
// content is moved to DATA/pgquorum.old and removed at last. After an interruption the directory
// holds a mixture: only a new clone and a new swap make it whole.
inline constexpr char kCloneDirectory[] = "pgquorum.clone";
inline constexpr char kOldDirectory[] = "pgquorum.old";
Status SwapInClone(const std::string& data_directory);

}  // namespace pgquorum::boot

#include "base/pure.h"
