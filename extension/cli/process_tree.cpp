#include "extension/cli/process_tree.h"

#include <cctype>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <string>

#include <dirent.h>

#include "extension/identity/files.h"

namespace pgquorum::cli {
namespace {

struct Entry {
  pid_t parent = 0;
  char state = 0;
};

bool ReadEntry(pid_t pid, Entry& entry) {
  const Result<std::string> text = identity::ReadFile("/proc/" + std::to_string(pid) + "/stat");
  if (!text.ok()) {
    return false;
  }
  // pid (name) state parent …; the name may hold any character, parentheses too.
  const std::size_t end = text.value().rfind(')');
  int parent = 0;
  if (end == std::string::npos ||
      std::sscanf(text.value().c_str() + end + 1, " %c %d", &entry.state, &parent) != 2) {
    return false;
  }
  entry.parent = parent;
  return true;
}

}  // namespace

std::vector<pid_t> Descendants(pid_t root) {
  std::multimap<pid_t, pid_t> children;
  DIR* proc = opendir("/proc");
  if (proc == nullptr) {
    return {};
  }
  while (const dirent* file = readdir(proc)) {
    const pid_t pid = std::atoi(file->d_name);
    Entry entry;
    if (pid > 0 && ReadEntry(pid, entry) && entry.state != 'Z') {
      children.emplace(entry.parent, pid);
    }
  }
  closedir(proc);
  std::vector<pid_t> found = {root};
  for (std::size_t i = 0; i < found.size(); ++i) {
    const auto [first, last] = children.equal_range(found[i]);
    for (auto child = first; child != last; ++child) {
      found.push_back(child->second);
    }
  }
  found.erase(found.begin());
  return found;
}

void SignalDescendants(pid_t root, int signal_number) {
  std::set<pid_t> done;
  for (bool found_new = true; found_new;) {
    found_new = false;
    for (const pid_t pid : Descendants(root)) {
      if (done.insert(pid).second) {
        kill(pid, signal_number);
        found_new = true;
      }
    }
  }
}

char ProcessState(pid_t pid) {
  Entry entry;
  return pid > 0 && ReadEntry(pid, entry) ? entry.state : '\0';
}

}  // namespace pgquorum::cli
