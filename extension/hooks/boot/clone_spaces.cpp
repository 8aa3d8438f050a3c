#include "extension/hooks/boot/clone_spaces.h"

#include <filesystem>

#include "extension/hooks/boot/repair.h"
#include "extension/identity/files.h"

namespace pgquorum::boot {

namespace {

namespace fs = std::filesystem;

constexpr char kLinks[] = "pg_tblspc";

// A tablespace's directory holds one per version of the server, "PG_15_202209061".
std::vector<fs::path> VersionsIn(const fs::path& directory) {
  std::vector<fs::path> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    if (entry.path().filename().string().rfind("PG_", 0) == 0) {
      found.push_back(entry.path());
    }
  }
  return found;
}

Status RemoveVersions(const fs::path& directory) {
  for (const fs::path& version : VersionsIn(directory)) {
    std::error_code error;
    fs::remove_all(version, error);
    if (error) {
      return FileFailed("remove", version, error);
    }
  }
  return Status::Ok();
}

// Where the links of a pg_tblspc lead; what is no link lies within the data directory.
Spaces LinksOf(const fs::path& directory) {
  Spaces links;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    std::error_code unread;
    fs::path target = fs::read_symlink(entry.path(), unread);
    if (!unread) {
      links[entry.path().filename().string()] = target.string();
    }
  }
  return links;
}

fs::path CloneOf(const std::string& space) {
  return fs::path(space) / kCloneDirectory;
}

void RemoveMarks(const Spaces& spaces) {
  for (const auto& [oid, space] : spaces) {
    for (const fs::path& version : VersionsIn(space)) {
      std::error_code error;
      for (const auto& entry : fs::directory_iterator(version, error)) {
        if (entry.path().filename().string().rfind(kSpaceMark, 0) == 0) {
          std::error_code ignored;
          fs::remove(entry.path(), ignored);
        }
      }
    }
  }
}

Status SwapInOne(const fs::path& link, const std::string& space) {
  Status status = RemoveVersions(space);
  for (const fs::path& version : VersionsIn(CloneOf(space))) {
    std::error_code error;
    if (status.ok()) {
      fs::rename(version, fs::path(space) / version.filename(), error);
      status = error ? FileFailed("move", version, error) : Status::Ok();
    }
  }
  if (!status.ok()) {
    return status;
  }
  std::error_code error;
  fs::remove_all(CloneOf(space), error);
  fs::remove(link, error);
  fs::create_directory_symlink(space, link, error);
  return error ? FileFailed("link", link, error) : Status::Ok();
}

}  // namespace

Status FileFailed(const char* what, const fs::path& path, const std::error_code& error) {
  return Status::Error(
      "58030", std::string("could not ") + what + " \"" + path.string() + "\": " + error.message());
}

Spaces FindSpaces(const std::string& data_directory) {
  // Before a swap has begun, and after each step of one.
  Spaces found = LinksOf(fs::path(data_directory) / kLinks);
  found.merge(LinksOf(fs::path(data_directory) / kOldDirectory / kLinks));
  return found;
}

Status ClearSpaces(const std::string& data_directory, const Spaces& spaces, bool everything) {
  // pg_basebackup makes a link when it has found the directory empty, or made it: unless it is one
  // of ours, all in there is the attempt's.
  for (const auto& [oid, target] : LinksOf(fs::path(data_directory) / kCloneDirectory / kLinks)) {
    auto ours = spaces.find(oid);
    if (ours == spaces.end() || (target != ours->second && target != CloneOf(ours->second))) {
      if (Status removed = RemoveVersions(target); !removed.ok()) {
        return removed;
      }
    }
  }
  for (const auto& [oid, space] : spaces) {
    std::error_code error;
    fs::remove_all(CloneOf(space), error);
    if (error) {
      return FileFailed("remove", CloneOf(space), error);
    }
    if (Status removed = everything ? RemoveVersions(space) : Status::Ok(); !removed.ok()) {
      return removed;
    }
  }
  return Status::Ok();
}

std::vector<std::string> SpaceMappings(const Spaces& spaces) {
  std::vector<std::string> words;
  for (const auto& [oid, space] : spaces) {
    std::string escaped;
    for (char c : space) {
      escaped += c == '=' ? "\\=" : std::string(1, c);
    }
    words.push_back("--tablespace-mapping=" + escaped + "=" + escaped + "/" + kCloneDirectory);
  }
  return words;
}

Status MarkSpaces(const Spaces& spaces, const std::string& mark) {
  RemoveMarks(spaces);  // of an attempt that was killed
  for (const auto& [oid, space] : spaces) {
    for (const fs::path& version : VersionsIn(space)) {
      Status written = identity::WriteFileDurably((version / mark).string(), "");
      if (!written.ok()) {
        return written;
      }
    }
  }
  return Status::Ok();
}

Status CheckMarks(const Spaces& spaces, const std::string& mark) {
  RemoveMarks(spaces);
  Status status = Status::Ok();
  for (const auto& [oid, space] : spaces) {
    for (const fs::path& version : VersionsIn(CloneOf(space))) {
      std::error_code error;
      if (fs::exists(version / mark, error)) {
        status =
            Status::Error("0A000", "tablespace directory \"" + space +
                                       "\" is the source's own: a node whose tablespaces lie in "
                                       "the same place as another's cannot be cloned");
      }
    }
  }
  return status;
}

Status SwapInSpaces(const std::string& data_directory, const Spaces& spaces) {
  fs::path links = fs::path(data_directory) / kCloneDirectory / kLinks;
  Spaces fresh = LinksOf(links);
  for (const auto& [oid, space] : spaces) {
    auto copied = fresh.find(oid);
    // The source may have dropped it, or have it elsewhere since.
    bool replaced = copied != fresh.end() && copied->second == CloneOf(space);
    Status status = replaced ? SwapInOne(links / oid, space) : RemoveVersions(space);
    if (!status.ok()) {
      return status;
    }
  }
  return Status::Ok();
}

}  // namespace pgquorum::boot

#include "base/pure.h"
