// The files that make a data directory a member of a cluster
// (docs/design/0001-anatomy-of-a-node.md).
//
//   DATA/pgquorum.member     Marker        written by the command line; its presence forbids the
//                                          server to be anything but a member
//   STATE/identity           NodeIdentity  written by the command line
//   STATE/intent             Intent        what the postmaster must do before it opens anything
//   STATE/repaired             the Intent that was carried out last, until recovery has begun on
//   its
//                                          result
//   STATE/demote             DemoteOrder   the worker asks the postmaster to restart in place
//   STATE/mark             Mark          mark.h; with DATA/pgquorum.starts
//   STATE/conf/              this node's own configuration files
//   STATE/lock               flock of the running server: one server a state directory
//
// All are TextRecords; write them with Save(), which is atomic and durable.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "extension/identity/files.h"
#include "extension/identity/text_record.h"

namespace pgquorum::identity {

inline constexpr char kMarkerFile[] = "pgquorum.member";    // in the data directory
inline constexpr char kNodeConfigFile[] = "pgquorum.conf";  // in the data directory
inline constexpr char kIdentityFile[] = "identity";         // the rest in the state directory
inline constexpr char kIntentFile[] = "intent";
inline constexpr char kRepairedFile[] = "repaired";
inline constexpr char kDemoteFile[] = "demote";
inline constexpr char kLockFile[] = "lock";
inline constexpr char kConfDirectory[] = "conf";
inline constexpr char kPkiDirectory[] = "pki";
inline constexpr char kRaftDirectory[] = "raft";

// Files of the data directory that belong to the node and not to the database: a rewind or re-clone
// copies another node's over them, so they are put back from STATE/conf afterwards. The marker is
// one of them. A file that is absent there is left alone.
inline constexpr const char* kNodeFiles[] = {"postgresql.conf", "postgresql.auto.conf",
                                             "pg_hba.conf", "pg_ident.conf", kMarkerFile};

struct Endpoint {
  std::string host;  // name or address, IPv6 without brackets
  uint16_t port = 0;

  // "host:port", IPv6 as "[::1]:5432".
  std::string Format() const;
  static Result<Endpoint> Parse(std::string_view text);
  bool operator==(const Endpoint&) const = default;
};

// [a-z][a-z0-9_]{0,30}
bool IsNodeName(std::string_view name);
// [a-z][a-z0-9_-]{0,30}
bool IsClusterName(std::string_view name);

struct Marker {
  uint64_t cluster_id = 0;
  uint64_t raft_node_id = 0;
  std::string state_directory;  // absolute
  bool operator==(const Marker&) const = default;

  std::string Format() const;
  static Result<Marker> Parse(std::string_view text);
};

struct NodeIdentity {
  std::string cluster_name;
  uint64_t cluster_id = 0;  // random, never 0
  std::string node_name;
  uint64_t raft_node_id = 0;  // never reused, never 0
  uint64_t system_identifier = 0;
  Endpoint listen;  // where clients and other nodes reach PostgreSQL
  Endpoint raft;    // where other nodes reach the transport
  // How the first start finds the cluster. Empty: it is the first node and makes the cluster.
  std::vector<Endpoint> join_addresses;
  // It votes and holds none of the cluster's data: its server is its own, empty one, and
  // system_identifier is that server's.
  bool witness = false;
  bool operator==(const NodeIdentity&) const = default;

  std::string Format() const;
  static Result<NodeIdentity> Parse(std::string_view text);
};

// Written by the consensus worker (kind, source, epoch), then updated by the postmaster.
struct Intent {
  enum class Kind { kRewind, kReclone };
  Kind kind = Kind::kRewind;
  std::string source_node;      // node name, for messages
  std::string source_conninfo;  // libpq, without a password: certificates of STATE/pki
  uint64_t epoch_generation = 0;
  uint64_t epoch_number = 0;
  std::string reason;
  // The postmaster's part. `attempts` counts starts of the program; `touched` is set durably before
  // the first byte of the data directory may change: from then on the directory must not be opened
  // until the intent is done.
  uint32_t attempts = 0;
  bool touched = false;
  std::string last_error;
  bool operator==(const Intent&) const = default;

  std::string Format() const;
  static Result<Intent> Parse(std::string_view text);
};

// Rewinds tried before the intent turns into a re-clone, and re-clones tried before the node stays
// closed and waits for a new intent.
inline constexpr uint32_t kMaxRewindAttempts = 3;
inline constexpr uint32_t kMaxRecloneAttempts = 5;

struct DemoteOrder {
  uint64_t postmaster_pid = 0;  // who must obey; an order for another process is stale
  uint64_t boot_id = 0;
  std::string reason;
  bool operator==(const DemoteOrder&) const = default;

  std::string Format() const;
  static Result<DemoteOrder> Parse(std::string_view text);
};

// Reads and parses, or formats and writes durably. T is one of the above.
template <typename T>
Result<T> Load(const std::string& path) {
  Result<std::string> text = ReadFile(path, kMaxRecordBytes);
  if (!text.ok()) {
    return text.status();
  }
  Result<T> value = T::Parse(text.value());
  if (!value.ok()) {
    Status error = value.status();
    return Status::Error(error.sqlstate(), "file \"" + path + "\": " + error.message())
        .WithDetail(error.detail())
        .WithHint(error.hint());
  }
  return value;
}

template <typename T>
Status Save(const std::string& path, const T& value) {
  return WriteFileDurably(path, value.Format());
}

// pgquorum.state_directory, or its default for an empty setting.
std::string StateDirectory(std::string_view setting, std::string_view data_directory);

}  // namespace pgquorum::identity

#include "base/pure.h"
