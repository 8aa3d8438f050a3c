// The processes below one process, from /proc: a sandbox node is everything below its keeper.
#pragma once

#include <vector>

#include <sys/types.h>

namespace pgquorum::cli {

// Every living descendant, parents before children, `root` left out.
std::vector<pid_t> Descendants(pid_t root);

// Sends the signal to every descendant, parents first, and looks again until no new one appears: a
// process may fork while we walk.
void SignalDescendants(pid_t root, int signal_number);

// 'T' stopped, 'Z' zombie, 0 gone, …, as in /proc/PID/stat.
char ProcessState(pid_t pid);

}  // namespace pgquorum::cli
