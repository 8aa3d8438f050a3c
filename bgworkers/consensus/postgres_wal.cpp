#include "bgworkers/consensus/postgres_wal.h"

#include <dirent.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <memory>
#include <set>

#include "extension/identity/files.h"
#include "sqlstates.h"

namespace pgquorum::consensus {

namespace {

std::optional<uint32_t> Hex(std::string_view digits) {
  uint32_t value = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  if (error != std::errc() || end != digits.data() + digits.size()) {
    return std::nullopt;
  }
  return value;
}

}  // namespace

std::optional<uint64_t> SegmentOfName(std::string_view name, uint32_t segment_size) {
  if (name.size() != 24 || segment_size == 0) {
    return std::nullopt;
  }
  const std::optional<uint32_t> timeline = Hex(name.substr(0, 8));
  const std::optional<uint32_t> high = Hex(name.substr(8, 8));
  const std::optional<uint32_t> low = Hex(name.substr(16, 8));
  const uint64_t per_id = (uint64_t{1} << 32) / segment_size;
  if (!timeline || !high || !low || *low >= per_id) {
    return std::nullopt;
  }
  return *high * per_id + *low;
}

Result<uint64_t> OldestSegment(const std::string& data_directory, uint64_t newest,
                               uint32_t segment_size) {
  const std::string directory = data_directory + "/pg_wal";
  std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir(directory.c_str()), closedir);
  if (!dir) {
    return Status::Error(sqlstate::kIoError, "could not open directory \"" + directory +
                                                 "\": " + identity::ErrnoText(errno));
  }
  std::set<uint64_t> present;
  errno = 0;
  while (const dirent* entry = readdir(dir.get())) {
    if (const std::optional<uint64_t> segment = SegmentOfName(entry->d_name, segment_size)) {
      present.insert(*segment);
    }
    errno = 0;
  }
  if (errno != 0) {
    return Status::Error(sqlstate::kIoError, "could not read directory \"" + directory +
                                                 "\": " + identity::ErrnoText(errno));
  }
  uint64_t oldest = present.contains(newest) ? newest : std::max<uint64_t>(newest, 1) - 1;
  if (!present.contains(oldest)) {
    return newest + 1;
  }
  while (oldest > 0 && present.contains(oldest - 1)) {
    --oldest;
  }
  return oldest;
}

}  // namespace pgquorum::consensus
