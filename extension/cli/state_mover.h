// Moves a node's state directory to another place, on another file system or not. The server is
// stopped. Every step is durable before the next: after a crash at any point the same call
// finishes, and never can a server start with the original and another with the copy.
//
//   1  FROM/moving             no server starts with FROM any more
//   2  TO/moving, the copy     nor with TO; each file is synced
//   3  FROM/moving: copied     from here on only forward
//   4  FROM's Raft directory is given up for good, TO's is recorded as the place of the log
//   5  the server's configuration and the marker of the data directory name TO
//   6  FROM is removed, its `moving` last; then TO/moving
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/storage/file.h"
#include "extension/cli/files.h"
#include "extension/identity/identity.h"
#include "extension/identity/move_order.h"
#include "raftlog/storage/state_directory.h"

namespace pgquorum::cli {

enum class MoveOutcome {
  kMoved,
  kThere,      // the node's state is in that place already; nothing was to be done
  kTakenBack,  // an unfinished move away from that place was given up
};

class StateMover {
 public:
  // All absolute. `config`: the postgresql.conf whose block names the state directory. `point` is
  // called after each durable step (tests end the process there).
  StateMover(fs::path data, fs::path config, fs::path to, std::function<void()> point = nullptr);

  // Errors that change nothing: 55000, 22023, those of the identity, of the disk while it copies.
  // After any other error call it again.
  Result<MoveOutcome> Run();

  const fs::path& from() const { return from_; }
  // Not everything of FROM could be removed; what is left is of no use to anybody.
  bool leftovers() const { return leftovers_; }

 private:
  Status Open();
  Status Lock(const fs::path& state);
  Status CheckTarget() const;
  Status CheckOriginal() const;
  Result<std::optional<identity::MoveOrder>> OrderIn(const fs::path& state) const;
  Status Begin();
  Status Copy();
  Status CopyInto(const fs::path& from, const fs::path& to, bool top);
  Status CopyFile(const fs::path& from, const fs::path& to);
  void Undo();
  Status SealCopy();
  Status HandOver();
  Status Switch();
  Status RemoveOriginal();
  Result<MoveOutcome> Finish();
  Result<MoveOutcome> TakeBack(const identity::MoveOrder& order);
  Status Empty(const fs::path& state);
  Status Save(const fs::path& state);
  void Point() const;
  raft::DirectoryIdentity RaftIdentity() const;

  const fs::path data_;
  const fs::path config_;
  const fs::path to_;
  const std::function<void()> point_;
  fs::path from_;
  identity::Marker marker_;
  identity::MoveOrder order_;
  std::vector<std::unique_ptr<FileLock>> locks_;
  bool created_ = false;
  bool target_is_ours_ = false;
  bool leftovers_ = false;
};

}  // namespace pgquorum::cli
