#include "bgworkers/consensus/postgres_timeline.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "extension/identity/files.h"
#include "sqlstates.h"

namespace pgquorum::consensus {

using failover::Lsn;
using failover::Timeline;
using failover::TimelineSwitch;

namespace {

constexpr std::size_t kMaxHistorySize = 1024 * 1024;
constexpr std::size_t kMaxAncestors = 4096;

std::string HistoryPath(const std::string& data_directory, uint32_t timeline) {
  char name[32];
  std::snprintf(name, sizeof name, "%08X.history", timeline);
  return data_directory + "/pg_wal/" + name;
}

// True for a line that PostgreSQL skips.
bool IsBlank(std::string_view line) {
  const std::size_t first = line.find_first_not_of(" \t\r\n\v\f");
  return first == std::string_view::npos || line[first] == '#';
}

template <typename F>
void ForEachLine(std::string_view text, F f) {
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    f(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
}

bool IsPlaceholder(std::string_view text) {
  bool blank = true;
  ForEachLine(text, [&](std::string_view line) { blank = blank && IsBlank(line); });
  return blank;
}

Status Damaged(Timeline timeline, const std::string& why) {
  return Status::Error(sqlstate::kDataCorrupted,
                       "history of timeline " + std::to_string(timeline.value()) + " " + why);
}

// The id of a `<8 hex digits>.history` name.
std::optional<uint32_t> HistoryId(std::string_view name) {
  if (name.size() != 16 || name.substr(8) != ".history") {
    return std::nullopt;
  }
  uint32_t id = 0;
  for (char c : name.substr(0, 8)) {
    const char* digits = "0123456789ABCDEF";
    const char* digit = std::strchr(digits, c);
    if (c == '\0' || digit == nullptr) {
      return std::nullopt;
    }
    id = id * 16 + static_cast<uint32_t>(digit - digits);
  }
  return id;
}

Status CreateEmpty(const std::string& path) {
  // O_EXCL: never truncates a history that appeared meanwhile.
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) {
    if (errno == EEXIST) {
      return Status::Ok();
    }
    return Status::Error(sqlstate::kIoError,
                         "could not create file \"" + path + "\": " + std::strerror(errno));
  }
  const bool synced = fsync(fd) == 0;
  const int error = errno;
  close(fd);
  if (!synced) {
    return Status::Error(sqlstate::kIoError,
                         "could not fsync file \"" + path + "\": " + std::strerror(error));
  }
  return Status::Ok();
}

// Creates the missing ones of [first, end). Counts them in `created`.
Status FillGap(const std::string& data_directory, uint32_t first, uint32_t end,
               const TimelineFiles& files, int* created) {
  if (first >= end) {
    return Status::Ok();
  }
  if (end - first > kMaxTimelineGap) {
    return Status::Error(
        sqlstate::kConfigurationLimitExceeded,
        "too many timelines between " + std::to_string(first) + " and " + std::to_string(end));
  }
  for (uint32_t id = first; id < end; ++id) {
    if (std::binary_search(files.real.begin(), files.real.end(), id) ||
        std::binary_search(files.placeholders.begin(), files.placeholders.end(), id)) {
      continue;
    }
    if (Status status = CreateEmpty(HistoryPath(data_directory, id)); !status.ok()) {
      return status;
    }
    ++*created;
  }
  return Status::Ok();
}

}  // namespace

Result<std::vector<TimelineSwitch>> ParseTimelineHistory(Timeline timeline, std::string_view text) {
  std::vector<TimelineSwitch> ancestors;
  std::string error;
  ForEachLine(text, [&](std::string_view line) {
    if (IsBlank(line) || !error.empty()) {
      return;
    }
    unsigned id = 0;
    unsigned high = 0;
    unsigned low = 0;
    if (std::sscanf(std::string(line).c_str(), "%u\t%X/%X", &id, &high, &low) != 3) {
      error = "has a malformed line";
    } else if (!ancestors.empty() && id <= ancestors.back().timeline.value()) {
      error = "is not in increasing order";
    } else if (ancestors.size() >= kMaxAncestors) {
      error = "is too long";
    } else {
      ancestors.push_back({Timeline(id), Lsn(uint64_t{high} << 32 | low)});
    }
  });
  if (!error.empty()) {
    return Damaged(timeline, error);
  }
  if (ancestors.empty()) {
    return Damaged(timeline, "is empty");
  }
  if (ancestors.back().timeline >= timeline) {
    return Damaged(timeline, "names a later timeline");
  }
  return ancestors;
}

Result<std::vector<TimelineSwitch>> ReadTimelineHistory(const std::string& data_directory,
                                                        Timeline timeline) {
  if (timeline == Timeline(1)) {
    return std::vector<TimelineSwitch>();
  }
  const std::string path = HistoryPath(data_directory, timeline.value());
  Result<std::optional<std::string>> text = identity::ReadFileIfThere(path, kMaxHistorySize);
  if (!text.ok()) {
    return text.status();
  }
  if (!text.value()) {
    return Status::Error(sqlstate::kUndefinedFile, "file \"" + path + "\" does not exist");
  }
  return ParseTimelineHistory(timeline, *text.value());
}

Result<TimelineFiles> ListTimelineFiles(const std::string& data_directory) {
  const std::string directory = data_directory + "/pg_wal";
  std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir(directory.c_str()), closedir);
  if (!dir) {
    return Status::Error(sqlstate::kIoError,
                         "could not open directory \"" + directory + "\": " + std::strerror(errno));
  }
  TimelineFiles files;
  for (;;) {
    errno = 0;
    const dirent* entry = readdir(dir.get());
    if (entry == nullptr) {
      break;
    }
    const std::optional<uint32_t> id = HistoryId(entry->d_name);
    if (!id) {
      continue;
    }
    Result<std::optional<std::string>> text =
        identity::ReadFileIfThere(HistoryPath(data_directory, *id), kMaxHistorySize);
    if (!text.ok()) {
      return text.status();
    }
    if (text.value()) {  // else removed meanwhile
      (IsPlaceholder(*text.value()) ? files.placeholders : files.real).push_back(*id);
    }
  }
  if (errno != 0) {
    return Status::Error(sqlstate::kIoError,
                         "could not read directory \"" + directory + "\": " + std::strerror(errno));
  }
  std::sort(files.real.begin(), files.real.end());
  std::sort(files.placeholders.begin(), files.placeholders.end());
  return files;
}

Status PlaceTimelinePlaceholders(const std::string& data_directory, Timeline current,
                                 Timeline wanted) {
  if (!current || wanted <= current) {
    return Status::Error(sqlstate::kObjectNotInPrerequisiteState,
                         "timeline " + std::to_string(wanted.value()) + " cannot follow timeline " +
                             std::to_string(current.value()));
  }
  Result<TimelineFiles> files = ListTimelineFiles(data_directory);
  if (!files.ok()) {
    return files.status();
  }
  for (const std::vector<uint32_t>* ids : {&files.value().real, &files.value().placeholders}) {
    if (!ids->empty() && ids->back() >= wanted.value()) {
      return Status::Error(sqlstate::kObjectNotInPrerequisiteState,
                           "timeline " + std::to_string(wanted.value()) +
                               " cannot be taken: this node knows timeline " +
                               std::to_string(ids->back()));
    }
  }
  int created = 0;
  Status status =
      FillGap(data_directory, current.value() + 1, wanted.value(), files.value(), &created);
  if (status.ok() && created > 0) {
    status = identity::SyncDirectory(data_directory + "/pg_wal");
  }
  return status;
}

Result<int> NormalizeTimelines(const std::string& data_directory, Timeline oldest) {
  Result<TimelineFiles> files = ListTimelineFiles(data_directory);
  if (!files.ok()) {
    return files.status();
  }
  const std::vector<uint32_t>& real = files.value().real;
  const uint32_t newest = real.empty() ? 0 : real.back();
  int changed = 0;
  for (uint32_t id : files.value().placeholders) {
    if (id > newest) {
      const std::string path = HistoryPath(data_directory, id);
      if (unlink(path.c_str()) != 0 && errno != ENOENT) {
        return Status::Error(sqlstate::kIoError,
                             "could not remove file \"" + path + "\": " + std::strerror(errno));
      }
      ++changed;
    }
  }
  // Only towards a descendant: a history that is not ours must not be found by the next start.
  if (newest > oldest.value()) {
    Result<std::vector<TimelineSwitch>> ancestors =
        ReadTimelineHistory(data_directory, Timeline(newest));
    if (!ancestors.ok()) {
      return ancestors.status();
    }
    const bool descendant =
        std::any_of(ancestors.value().begin(), ancestors.value().end(),
                    [&](const TimelineSwitch& s) { return s.timeline == oldest; });
    if (descendant) {
      Status status = FillGap(data_directory, oldest.value() + 1, newest, files.value(), &changed);
      if (!status.ok()) {
        return status;
      }
    }
  }
  if (changed > 0) {
    if (Status status = identity::SyncDirectory(data_directory + "/pg_wal"); !status.ok()) {
      return status;
    }
  }
  return changed;
}

namespace {

// The text of the history file of ancestors[index].
std::string HistoryText(const std::vector<TimelineSwitch>& ancestors, std::size_t index) {
  std::string text;
  for (std::size_t i = 0; i < index; ++i) {
    char line[96];
    std::snprintf(line, sizeof line, "%u\t%X/%X\tcompleted by pgquorum\n",
                  ancestors[i].timeline.value(),
                  static_cast<unsigned>(ancestors[i].end.value() >> 32),
                  static_cast<unsigned>(ancestors[i].end.value() & 0xFFFFFFFFu));
    text += line;
  }
  return text;
}

}  // namespace

Result<int> CompleteTimelines(const std::string& data_directory, Timeline timeline,
                              const std::vector<TimelineSwitch>& ancestors) {
  Result<TimelineFiles> files = ListTimelineFiles(data_directory);
  if (!files.ok()) {
    return files.status();
  }
  int changed = 0;
  // The oldest ancestor has no parents, and then no file if it is timeline 1.
  for (std::size_t i = 1; i < ancestors.size(); ++i) {
    const uint32_t id = ancestors[i].timeline.value();
    if (std::binary_search(files.value().real.begin(), files.value().real.end(), id)) {
      continue;
    }
    Status status =
        identity::WriteFileDurably(HistoryPath(data_directory, id), HistoryText(ancestors, i));
    if (!status.ok()) {
      return status;
    }
    files.value().real.insert(
        std::upper_bound(files.value().real.begin(), files.value().real.end(), id), id);
    ++changed;
  }
  Status status = FillGap(data_directory, 2, timeline.value(), files.value(), &changed);
  if (status.ok() && changed > 0) {
    status = identity::SyncDirectory(data_directory + "/pg_wal");
  }
  if (!status.ok()) {
    return status;
  }
  return changed;
}

}  // namespace pgquorum::consensus
