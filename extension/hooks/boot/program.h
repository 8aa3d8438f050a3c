// Runs pg_rewind, pg_basebackup and the like from the postmaster before it has opened anything.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/status.h"

namespace pgquorum::boot {

struct ProgramResult {
  bool success = false;  // exit status 0
  bool stopped = false;  // ended because the postmaster was told to shut down
  std::string output;    // stdout and stderr, the last 16 kB
  std::string ending;    // "exit status 1", "signal 9"
};

using OnLine = std::function<void(const char* line)>;

// `argv[0]` is a path. The program runs in the C locale, with default signal handling, without the
// server's descriptors, and dies with this process (kill -9 included). While it runs, a shutdown
// signal to this process, all of which are blocked during the start, ends it. Each output line also
// goes to `on_line`, without the newline.
ProgramResult RunProgram(const std::vector<std::string>& argv, const OnLine& on_line = nullptr);

}  // namespace pgquorum::boot

#include "base/pure.h"
