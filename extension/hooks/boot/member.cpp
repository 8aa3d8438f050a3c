#include "extension/hooks/boot/member.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <vector>

#include "extension/identity/files.h"
#include "extension/identity/force_order.h"
#include "extension/identity/move_order.h"

namespace pgquorum::boot {

namespace {

namespace fs = std::filesystem;
using identity::FileExists;

Membership Closed(std::string reason) {
  Membership membership;
  membership.kind = Membership::Kind::kClosed;
  membership.reason = std::move(reason);
  return membership;
}

std::string TextOf(const Status& status) {
  return status.detail().empty() ? status.message() : status.message() + ": " + status.detail();
}

// Copies `name` when it exists at `from` and differs at `to`.
Status CopyIfChanged(const std::string& from, const std::string& to) {
  if (!FileExists(from)) {
    return Status::Ok();
  }
  Result<std::string> wanted = identity::ReadFile(from, std::size_t{16} << 20);
  if (!wanted.ok()) {
    return wanted.status();
  }
  Result<std::string> present = identity::ReadFile(to, std::size_t{16} << 20);
  if (present.ok() && present.value() == wanted.value()) {
    return Status::Ok();
  }
  return identity::CopyFileDurably(from, to);
}

Status CopyNodeFiles(const std::string& from, const std::string& to) {
  for (const char* name : identity::kNodeFiles) {
    Status status = CopyIfChanged(from + "/" + name, to + "/" + name);
    if (!status.ok()) {
      return status;
    }
  }
  return Status::Ok();
}

bool IsHistoryName(const std::string& name) {
  return name.size() == 16 && name.ends_with(".history") &&
         name.find_first_not_of("0123456789ABCDEF") == 8;
}

// Files of the node's own become the source's in the middle of a rewind, the marker too. After an
// interruption there the marker leads nowhere, or to another node: the touched intent in one of the
// places where the state directory can be tells whose directory this is.
Membership InterruptedRepair(const std::string& data_directory, std::string_view state_setting,
                             const identity::Marker& marker, Membership otherwise) {
  std::optional<std::string> state = FindUnfinishedRepair(data_directory, state_setting);
  if (!state) {
    return otherwise;
  }
  Result<identity::NodeIdentity> id =
      identity::Load<identity::NodeIdentity>(*state + "/" + identity::kIdentityFile);
  Result<identity::Marker> own = identity::Load<identity::Marker>(
      *state + "/" + identity::kConfDirectory + "/" + identity::kMarkerFile);
  if (!id.ok() || !own.ok() || id.value().cluster_id != marker.cluster_id) {
    return otherwise;
  }
  Membership membership;
  membership.kind = Membership::Kind::kMember;
  membership.marker = own.value();
  membership.identity = id.value();
  return membership;
}

// What the order in `file` says when it is there. A file that cannot be read counts.
template <typename Order>
std::optional<std::string> WhyOrdered(const std::string& file, std::string (*why)(const Order&)) {
  if (!FileExists(file)) {
    return std::nullopt;
  }
  Result<Order> order = identity::Load<Order>(file);
  return order.ok() ? why(order.value()) : TextOf(order.status());
}

Membership CheckMarker(const identity::Marker& marker, std::string_view state_setting,
                       uint64_t system_identifier) {
  const std::string& state = marker.state_directory;
  if (!state_setting.empty() && state_setting != state) {
    return Closed("pgquorum.state_directory is \"" + std::string(state_setting) +
                  "\", but this data directory became a member with \"" + state + "\"");
  }
  Result<identity::NodeIdentity> identity =
      identity::Load<identity::NodeIdentity>(state + "/" + identity::kIdentityFile);
  if (!identity.ok()) {
    return Closed(TextOf(identity.status()));
  }
  const identity::NodeIdentity& id = identity.value();
  if (id.cluster_id != marker.cluster_id) {
    return Closed("state directory \"" + state + "\" belongs to another cluster (\"" +
                  id.cluster_name + "\")");
  }
  if (id.raft_node_id != marker.raft_node_id) {
    return Closed("state directory \"" + state + "\" belongs to another node (\"" + id.node_name +
                  "\")");
  }
  if (id.system_identifier != system_identifier) {
    return Closed("the data directory has system identifier " + std::to_string(system_identifier) +
                  ", the state directory expects " + std::to_string(id.system_identifier));
  }
  if (std::optional<std::string> why =
          WhyOrdered(state + "/" + identity::kMovingFile, identity::WhyMoving)) {
    return Closed(*why);
  }
  Membership membership;
  membership.kind = Membership::Kind::kMember;
  membership.marker = marker;
  membership.identity = id;
  return membership;
}

}  // namespace

Membership FindMembership(const std::string& data_directory, std::string_view state_setting,
                          uint64_t system_identifier) {
  std::string marker_file = data_directory + "/" + identity::kMarkerFile;
  if (!FileExists(marker_file)) {
    return {};
  }
  Result<identity::Marker> marker = identity::Load<identity::Marker>(marker_file);
  if (!marker.ok()) {
    return Closed(TextOf(marker.status()));
  }
  Membership membership = CheckMarker(marker.value(), state_setting, system_identifier);
  return membership.kind == Membership::Kind::kMember
             ? membership
             : InterruptedRepair(data_directory, state_setting, marker.value(), membership);
}

bool LockStateDirectory(const std::string& state_directory, std::string* error) {
  std::string path = state_directory + "/" + identity::kLockFile;
  int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) {
    *error = "could not open \"" + path + "\": " + std::strerror(errno);
    return false;
  }
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    *error = errno == EWOULDBLOCK
                 ? "another server uses state directory \"" + state_directory + "\""
                 : "could not lock \"" + path + "\": " + std::strerror(errno);
    close(fd);
    return false;
  }
  return true;  // the descriptor stays open on purpose
}

std::optional<std::string> FindUnfinishedRepair(const std::string& data_directory,
                                                std::string_view state_setting) {
  Result<identity::Marker> marker =
      identity::Load<identity::Marker>(data_directory + "/" + identity::kMarkerFile);
  for (const std::string& state :
       {std::string(state_setting), marker.ok() ? marker.value().state_directory : std::string(),
        identity::StateDirectory("", data_directory)}) {
    Result<identity::Intent> intent =
        identity::Load<identity::Intent>(state + "/" + identity::kIntentFile);
    Result<identity::Marker> own = identity::Load<identity::Marker>(
        state + "/" + identity::kConfDirectory + "/" + identity::kMarkerFile);
    if (intent.ok() && intent.value().touched && own.ok() && own.value().state_directory == state) {
      return state;
    }
  }
  return std::nullopt;
}

std::optional<std::string> WhyShutOut(const std::string& state_directory) {
  return WhyOrdered(state_directory + "/" + identity::kShutOutFile, identity::WhyShutOut);
}

Status SaveNodeFiles(const std::string& data_directory, const std::string& state_directory) {
  std::string conf = state_directory + "/" + identity::kConfDirectory;
  Status status = identity::MakeDirectory(conf);
  return status.ok() ? CopyNodeFiles(data_directory, conf) : status;
}

Status RestoreNodeFiles(const std::string& data_directory, const std::string& state_directory) {
  return CopyNodeFiles(state_directory + "/" + identity::kConfDirectory, data_directory);
}

std::string BootConfiguration() {
  return "# Written by pgquorum; changes are lost. This is the configuration of a start: follow\n"
         "# nobody. The consensus worker replaces it by what the cluster decided.\n"
         "primary_conninfo = ''\n"
         "primary_slot_name = ''\n"
         "synchronous_standby_names = ''\n"
         "pgquorum.sync_generation = " +
         std::to_string(kBootSyncGeneration) + "\n";
}

Result<int> RemoveHistoryPlaceholders(const std::string& data_directory) {
  std::vector<std::string> empty;
  std::string newest;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(data_directory + "/pg_wal", error)) {
    std::string name = entry.path().filename().string();
    if (!IsHistoryName(name)) {
      continue;
    }
    std::error_code size_error;
    if (fs::file_size(entry.path(), size_error) == 0 && !size_error) {
      empty.push_back(name);
    } else {
      newest = std::max(newest, name);
    }
  }
  if (error) {
    return Status::Error(
        "58030", "could not read directory \"" + data_directory + "/pg_wal\": " + error.message());
  }
  int removed = 0;
  for (const std::string& name : empty) {
    if (name > newest) {
      Status status = identity::RemoveFileDurably(data_directory + "/pg_wal/" + name);
      if (!status.ok()) {
        return status;
      }
      ++removed;
    }
  }
  return removed;
}

}  // namespace pgquorum::boot

#include "base/pure.h"
