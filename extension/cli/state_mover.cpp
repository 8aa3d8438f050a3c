#include "extension/cli/state_mover.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "base/storage/errors.h"
#include "extension/cli/config_text.h"
#include "extension/cli/console.h"
#include "extension/hooks/boot/member.h"
#include "extension/identity/files.h"

namespace pgquorum::cli {
namespace {

using identity::MoveOrder;
using Phase = identity::MoveOrder::Phase;

constexpr std::size_t kPiece = std::size_t{1} << 20;

fs::path MovingFile(const fs::path& state) {
  return state / identity::kMovingFile;
}

fs::path RaftDirectory(const fs::path& state) {
  return state / identity::kRaftDirectory;
}

bool IsDirectory(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

bool IsInside(const fs::path& path, const fs::path& directory) {
  return (path.string() + "/").starts_with(directory.string() + "/");
}

Status ErrorOf(const std::string& what, const std::error_code& error) {
  return SystemError("could not " + what + ": " + error.message());
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) {
      close(fd_);
    }
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

}  // namespace

StateMover::StateMover(fs::path data, fs::path config, fs::path to, std::function<void()> point)
    : data_(std::move(data)),
      config_(std::move(config)),
      to_(std::move(to)),
      point_(std::move(point)) {}

void StateMover::Point() const {
  if (point_) {
    point_();
  }
}

raft::DirectoryIdentity StateMover::RaftIdentity() const {
  return {marker_.cluster_id, raft::NodeId(marker_.raft_node_id)};
}

Result<std::optional<MoveOrder>> StateMover::OrderIn(const fs::path& state) const {
  const fs::path file = MovingFile(state);
  if (!Exists(file)) {
    return std::optional<MoveOrder>();
  }
  Result<MoveOrder> order = identity::Load<MoveOrder>(file);
  if (!order.ok()) {
    return order.status();
  }
  if (order.value().cluster_id != marker_.cluster_id ||
      order.value().raft_node_id != marker_.raft_node_id) {
    return WrongState("directory " + state.string() + " holds the state of another node");
  }
  return std::optional<MoveOrder>(std::move(order).value());
}

Status StateMover::Open() {
  Result<identity::Marker> marker = identity::Load<identity::Marker>(data_ / identity::kMarkerFile);
  if (!marker.ok()) {
    return WrongState(data_.string() + " is no member of a cluster")
        .WithDetail(marker.status().message());
  }
  marker_ = std::move(marker).value();
  from_ = marker_.state_directory;
  return Lock(from_);
}

// The server's own lock: it, and every process that it left behind, is gone.
Status StateMover::Lock(const fs::path& state) {
  auto lock = PosixFileSystem().Lock(state / identity::kLockFile);
  if (!lock.ok()) {
    return lock.status().sqlstate() == kErrInUse
               ? WrongState("state directory " + state.string() + " is in use")
                     .WithDetail("The server runs, or a process that it left behind.")
               : lock.status();
  }
  locks_.push_back(std::move(lock).value());
  return Status::Ok();
}

Status StateMover::CheckTarget() const {
  if (IsInside(to_, data_)) {
    return InvalidArgument("the state directory must be outside of the data directory")
        .WithDetail("A base backup would copy it to other nodes and a rewind would overwrite it.");
  }
  if (IsInside(to_, from_) || IsInside(from_, to_) || IsInside(data_, to_)) {
    return InvalidArgument(to_.string() + " is no place beside " + from_.string())
        .WithDetail("One of the two, or the data directory, would lie inside the other.");
  }
  if (!Exists(to_)) {
    return IsDirectory(to_.parent_path())
               ? Status::Ok()
               : InvalidArgument("directory " + to_.parent_path().string() + " does not exist");
  }
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(to_, error)) {
    // What a move of this node that was taken back has left is replaced; Open() looked whose it is.
    if (entry.path().filename() != identity::kLockFile && !Exists(MovingFile(to_))) {
      return WrongState("directory " + to_.string() + " is not empty")
          .WithDetail("It holds " + entry.path().filename().string() + ".")
          .WithHint("Name a directory that is empty or does not exist.");
    }
  }
  return error ? ErrorOf("read directory " + to_.string(), error) : Status::Ok();
}

// Only what may vote now may be moved: a clone would become an original.
Status StateMover::CheckOriginal() const {
  if (Exists(from_ / identity::kIntentFile) || Exists(from_ / identity::kRepairedFile)) {
    return WrongState("a repair of " + data_.string() + " is not finished")
        .WithHint("Start the server; stop it again when the node is healthy.");
  }
  Result<identity::NodeIdentity> id =
      identity::Load<identity::NodeIdentity>(from_ / identity::kIdentityFile);
  if (!id.ok()) {
    return id.status();
  }
  if (id.value().cluster_id != marker_.cluster_id ||
      id.value().raft_node_id != marker_.raft_node_id) {
    return WrongState("state directory " + from_.string() + " belongs to another node (\"" +
                      id.value().node_name + "\")");
  }
  if (!Exists(RaftDirectory(from_))) {
    return Status::Ok();  // never started
  }
  return raft::StateDirectory::Open(PosixFileSystem(), RaftDirectory(from_), RaftIdentity(), false)
      .status();
}

Result<MoveOutcome> StateMover::Run() {
  if (Status s = Open(); !s.ok()) {
    return s;
  }
  Result<std::optional<MoveOrder>> here = OrderIn(from_);
  Result<std::optional<MoveOrder>> there = OrderIn(to_);
  for (const Status& status : {here.status(), there.status()}) {
    if (!status.ok()) {
      return status;
    }
  }
  const std::optional<MoveOrder>& order = here.value();
  if (to_ == from_) {
    if (!order) {
      return MoveOutcome::kThere;
    }
    if (order->to != to_) {
      return TakeBack(*order);
    }
    order_ = *order;  // it was switched already
    from_ = order_.from;
    return Finish();
  }
  if (order && order->to != to_) {
    return WrongState("the state directory is being moved to " + order->to)
        .WithHint("Finish that with --to " + order->to +
                  (order->phase == Phase::kCopying ? ", or take it back with --to " + order->from
                                                   : std::string()) +
                  ".");
  }
  if (!order || order->phase == Phase::kCopying) {
    for (const Status& status : {CheckTarget(), CheckOriginal()}) {
      if (!status.ok()) {
        return status;
      }
    }
    order_ = MoveOrder{marker_.cluster_id, marker_.raft_node_id, from_, to_, Phase::kCopying, 0};
    Status copied = Begin();
    if (!copied.ok()) {
      Undo();
      return copied;
    }
    if (Status s = SealCopy(); !s.ok()) {
      return s;
    }
  } else {
    order_ = *order;
    if (Status s = Lock(to_); !s.ok()) {
      return s;
    }
  }
  for (Status (StateMover::*step)() : {&StateMover::HandOver, &StateMover::Switch}) {
    if (Status s = (this->*step)(); !s.ok()) {
      return s;
    }
  }
  return Finish();
}

Status StateMover::Save(const fs::path& state) {
  Status saved = identity::Save(MovingFile(state), order_);
  Point();
  return saved;
}

Status StateMover::Begin() {
  if (Status s = Save(from_); !s.ok()) {
    return s;
  }
  if (!IsDirectory(to_)) {
    if (Status s = identity::MakeDirectory(to_); !s.ok()) {
      return Status(s).WithHint("Make it first, for the account of the server, with mode 0700.");
    }
    created_ = true;
    Point();
  }
  if (Status s = Lock(to_); !s.ok()) {
    return s;
  }
  if (Status s = CheckTarget(); !s.ok()) {
    return s;  // somebody was faster
  }
  target_is_ours_ = true;
  if (chmod(to_.c_str(), 0700) != 0) {
    return SystemErrorErrno("could not make directory " + to_.string() + " private");
  }
  if (Status s = Save(to_); !s.ok()) {
    return s;
  }
  if (Status s = Empty(to_); !s.ok()) {
    return s;
  }
  return CopyInto(from_, to_, true);
}

// Everything but the lock and the order.
Status StateMover::Empty(const fs::path& state) {
  std::error_code error;
  std::vector<fs::path> doomed;
  for (const auto& entry : fs::directory_iterator(state, error)) {
    const std::string name = entry.path().filename();
    if (name != identity::kLockFile && name != identity::kMovingFile) {
      doomed.push_back(entry.path());
    }
  }
  for (std::size_t i = 0; i < doomed.size() && !error; ++i) {
    fs::remove_all(doomed[i], error);
    Point();
  }
  return error ? ErrorOf("empty directory " + state.string(), error)
               : identity::SyncDirectory(state);
}

Status StateMover::CopyInto(const fs::path& from, const fs::path& to, bool top) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(from, error)) {
    const fs::path name = entry.path().filename();
    if (top && (name == identity::kLockFile || name == identity::kMovingFile)) {
      continue;
    }
    Status copied = Status::Ok();
    if (entry.is_symlink()) {
      fs::copy_symlink(entry.path(), to / name, error);
      copied = error ? ErrorOf("copy link " + entry.path().string(), error) : Status::Ok();
    } else if (entry.is_directory()) {
      copied = identity::MakeDirectory(to / name);
      Point();
      if (copied.ok()) {
        copied = CopyInto(entry.path(), to / name, false);
      }
    } else if (entry.is_regular_file()) {
      copied = CopyFile(entry.path(), to / name);
    } else {
      copied = WrongState(entry.path().string() + " is neither a file nor a directory");
    }
    if (!copied.ok()) {
      return copied;
    }
  }
  return error ? ErrorOf("read directory " + from.string(), error) : identity::SyncDirectory(to);
}

Status StateMover::CopyFile(const fs::path& from, const fs::path& to) {
  const Descriptor in(open(from.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat info {};
  if (in.get() < 0 || fstat(in.get(), &info) != 0) {
    return SystemErrorErrno("could not read file " + from.string());
  }
  const mode_t mode = info.st_mode & 0777;
  const Descriptor out(open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (out.get() < 0) {
    return SystemErrorErrno("could not create file " + to.string());
  }
  std::string piece(kPiece, '\0');
  for (ssize_t got = 1; got > 0;) {
    got = read(in.get(), piece.data(), piece.size());
    if (got < 0) {
      return SystemErrorErrno("could not read file " + from.string());
    }
    for (ssize_t put = 0; put < got;) {
      const ssize_t n = write(out.get(), piece.data() + put, static_cast<std::size_t>(got - put));
      if (n <= 0) {
        return SystemErrorErrno("could not write file " + to.string());
      }
      put += n;
    }
  }
  if (fchmod(out.get(), mode) != 0 || fsync(out.get()) != 0) {
    return SystemErrorErrno("could not sync file " + to.string());
  }
  Point();
  return Status::Ok();
}

// The copy failed: as if nothing had been asked. Best effort; what is left of the copy is marked.
void StateMover::Undo() {
  if (target_is_ours_ && Empty(to_).ok()) {
    (void)identity::RemoveFileDurably(MovingFile(to_));
  }
  if (target_is_ours_ && created_) {
    RemoveQuietly(to_, true);
  }
  (void)identity::RemoveFileDurably(MovingFile(from_));
}

Status StateMover::SealCopy() {
  if (Exists(RaftDirectory(to_))) {
    Result<uint64_t> number = PosixFileSystem().DirectoryNumber(RaftDirectory(to_));
    if (!number.ok()) {
      return number.status();
    }
    order_.raft_directory = number.value();
  }
  order_.phase = Phase::kCopied;
  return Save(from_);
}

Status StateMover::HandOver() {
  if (Status s = Save(to_); !s.ok()) {
    return s;
  }
  if (order_.raft_directory == 0) {
    return Status::Ok();
  }
  FileSystem& files = PosixFileSystem();
  Result<uint64_t> number = files.DirectoryNumber(RaftDirectory(to_));
  if (!number.ok() || number.value() != order_.raft_directory) {
    return WrongState(to_.string() + " is not the copy that was made of " + from_.string())
        .WithDetail("The two were copied themselves, or the copy was removed.")
        .WithHint(
            "Put the originals back. If they are gone, remove this node from the cluster "
            "and let it join again under a new id.");
  }
  if (Status s = raft::StateDirectory::Retire(files, RaftDirectory(from_), RaftIdentity());
      !s.ok()) {
    return s;
  }
  Point();
  Status adopted =
      raft::StateDirectory::Open(files, RaftDirectory(to_), RaftIdentity(), true).status();
  Point();
  return adopted;
}

Status StateMover::Switch() {
  const Result<std::string> text = identity::ReadFile(config_);
  if (!text.ok()) {
    return text.status();
  }
  const std::string changed = MoveInBlock(text.value(), from_.string(), to_.string());
  if (changed != text.value()) {
    if (Status s = WriteFile(config_, changed); !s.ok()) {
      return s;
    }
    Point();
  }
  marker_.state_directory = to_.string();
  if (Status s = identity::Save(data_ / identity::kMarkerFile, marker_); !s.ok()) {
    return s;
  }
  Point();
  return Status::Ok();
}

Status StateMover::RemoveOriginal() {
  if (!Exists(from_)) {
    return Status::Ok();
  }
  if (Status s = Empty(from_); !s.ok()) {
    leftovers_ = true;
  }
  if (Status s = identity::RemoveFileDurably(MovingFile(from_)); !s.ok()) {
    return s;
  }
  Point();
  std::error_code error;
  fs::remove(from_ / identity::kLockFile, error);
  fs::remove(from_, error);  // a mount point, or a directory in one of somebody else's, stays
  leftovers_ = leftovers_ || error;
  Point();
  return Status::Ok();
}

Result<MoveOutcome> StateMover::Finish() {
  if (Status s = boot::SaveNodeFiles(data_, to_); !s.ok()) {
    return s;
  }
  Point();
  if (Status s = RemoveOriginal(); !s.ok()) {
    return s;
  }
  if (Status s = identity::RemoveFileDurably(MovingFile(to_)); !s.ok()) {
    return s;
  }
  Point();
  return MoveOutcome::kMoved;
}

Result<MoveOutcome> StateMover::TakeBack(const MoveOrder& order) {
  if (order.phase != Phase::kCopying) {
    return WrongState("the state directory has been copied to " + order.to)
        .WithDetail("The original is given up already, so that the two never vote both.")
        .WithHint("Finish the move with --to " + order.to + "; then it can be moved back.");
  }
  // The unfinished copy keeps its mark: nobody takes it for a state directory.
  if (Status s = identity::RemoveFileDurably(MovingFile(from_)); !s.ok()) {
    return s;
  }
  Point();
  return MoveOutcome::kTakenBack;
}

}  // namespace pgquorum::cli
