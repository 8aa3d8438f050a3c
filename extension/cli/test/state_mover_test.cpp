#include "extension/cli/state_mover.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <map>

#include "base/test/scratch.h"
#include "extension/cli/config_text.h"
#include "extension/hooks/boot/member.h"
#include "extension/identity/files.h"

namespace pgquorum::cli {
namespace {

constexpr uint64_t kSystem = 7300000000000000001;
constexpr raft::DirectoryIdentity kRaft = {9, raft::NodeId(1)};
constexpr int kCrashed = 42;

// A killed process loses no page of a file: hundreds of syncs need no disk.
const bool g_in_memory = access("/dev/shm", W_OK) == 0 && setenv("TMPDIR", "/dev/shm", 0) == 0;

// A member with a small log, as `node init` and a first start leave it.
class Member {
 public:
  Member() {
    fs::create_directories(data_ / "pg_wal");
    fs::create_directories(old_ / "pki");
    identity::NodeIdentity id;
    id.cluster_name = "prod";
    id.cluster_id = 9;
    id.node_name = "node1";
    id.raft_node_id = 1;
    id.system_identifier = kSystem;
    id.listen = {"h", 1};
    id.raft = {"h", 2};
    EXPECT_TRUE(identity::Save(old_ / "identity", id).ok());
    EXPECT_TRUE(identity::Save(data_ / identity::kMarkerFile, identity::Marker{9, 1, old_}).ok());
    Put(old_ / "pki/node.key", "secret", 0600);
    Put(old_ / "pki/node.crt", "public", 0644);
    Put(old_ / "pledge", "promise", 0600);
    Put(old_ / "server.log", std::string(1'100'000, 'l'), 0640);
    Put(config(),
        "port = 5432\n" +
            SetBlock("",
                     {"pgquorum.state_directory = " + QuoteSetting(old_.string()),
                      "ssl_key_file = " + QuoteSetting((old_ / "pki/node.key").string())},
                     BlockPlace::kBottom),
        0644);
    EXPECT_TRUE(boot::SaveNodeFiles(data_, old_).ok());
    auto raft = raft::StateDirectory::Open(PosixFileSystem(), old_ / "raft", kRaft, false);
    EXPECT_TRUE(raft.ok());
    Put(old_ / "raft/log-0000000000000001", "entries", 0600);
    EXPECT_TRUE(raft.value()->NoteLogCreated().ok());
  }

  Result<MoveOutcome> Move(const fs::path& to, std::function<void()> point = nullptr) const {
    return StateMover(data_, config(), to, std::move(point)).Run();
  }
  // kill -9 at the `nth` durable step, from 1 on; false: the move ended before.
  bool MoveUntil(int nth, const fs::path& to) const {
    const pid_t child = fork();
    if (child == 0) {
      int steps = 0;
      const bool ok = Move(to, [&] {
                        if (++steps == nth) {
                          _exit(kCrashed);
                        }
                      }).ok();
      _exit(ok ? 0 : 1);
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == kCrashed));
    return WEXITSTATUS(status) == kCrashed;
  }

  // Would a worker that were given this directory take part?
  static bool RaftOpens(const fs::path& state) {
    return Exists(state / "raft/identity") &&
           raft::StateDirectory::Open(PosixFileSystem(), state / "raft", kRaft, false).ok();
  }
  static bool Votes(const fs::path& state) {
    return !Exists(state / identity::kMovingFile) && RaftOpens(state);
  }
  // What a server that starts now would be.
  boot::Membership Start() const {
    const std::string text = identity::ReadFile(config()).value();
    const std::string name = "pgquorum.state_directory = '";
    const std::size_t at = text.find(name) + name.size();
    return boot::FindMembership(data_, text.substr(at, text.find('\'', at) - at), kSystem);
  }
  static std::map<std::string, std::string> Content(const fs::path& state) {
    std::map<std::string, std::string> content;
    for (const auto& entry : fs::recursive_directory_iterator(state)) {
      const std::string name = fs::relative(entry.path(), state);
      // The lock is empty; conf/ and raft/identity name the place.
      if (entry.is_regular_file() && !name.ends_with("lock") && !name.starts_with("conf/") &&
          name != "raft/identity") {
        content[name] =
            std::to_string(Mode(entry.path())) + identity::ReadFile(entry.path(), 1 << 23).value();
      }
    }
    return content;
  }
  static mode_t Mode(const fs::path& path) {
    struct stat info {};
    return stat(path.c_str(), &info) == 0 ? info.st_mode & 07777 : 0;
  }
  static void Put(const fs::path& path, const std::string& text, mode_t mode) {
    ASSERT_TRUE(WriteFile(path, text, mode).ok());
  }

  fs::path config() const { return data_ / "postgresql.conf"; }
  ScratchDirectory scratch_;
  const fs::path root_ = scratch_.path();
  const fs::path data_ = root_ / "data";
  const fs::path old_ = root_ / "old";
  const fs::path new_ = root_ / "new";
};

void ExpectMoved(const Member& member, const std::map<std::string, std::string>& before) {
  EXPECT_FALSE(Exists(member.old_));
  EXPECT_EQ(Member::Content(member.new_), before);
  EXPECT_TRUE(Member::Votes(member.new_));
  const boot::Membership membership = member.Start();
  EXPECT_EQ(membership.kind, boot::Membership::Kind::kMember) << membership.reason;
  EXPECT_EQ(membership.marker.state_directory, member.new_.string());
  const std::string config = identity::ReadFile(member.config()).value();
  EXPECT_EQ(config.find(member.old_.string()), std::string::npos) << config;
  EXPECT_NE(config.find(QuoteSetting((member.new_ / "pki/node.key").string())), std::string::npos);
  EXPECT_EQ(identity::ReadFile(member.new_ / "conf/postgresql.conf").value(), config);
  auto own = identity::Load<identity::Marker>(member.new_ / "conf" / identity::kMarkerFile);
  EXPECT_EQ(own.value().state_directory, member.new_.string());
}

// What must hold wherever the power goes.
void ExpectOneVoter(const Member& member) {
  // Neither the marks alone nor the log's own identity lets both vote.
  EXPECT_LE(Member::RaftOpens(member.old_) + Member::RaftOpens(member.new_), 1);
  EXPECT_LE(Member::Votes(member.old_) + Member::Votes(member.new_), 1);
  const boot::Membership membership = member.Start();
  if (membership.kind == boot::Membership::Kind::kMember) {
    EXPECT_TRUE(Member::Votes(membership.marker.state_directory));
  } else {
    EXPECT_EQ(membership.kind, boot::Membership::Kind::kClosed);
  }
}

TEST(StateMover, Moves) {
  Member member;
  const auto before = Member::Content(member.old_);
  const Result<MoveOutcome> moved = member.Move(member.new_);
  ASSERT_TRUE(moved.ok()) << moved.status().ToString();
  EXPECT_EQ(moved.value(), MoveOutcome::kMoved);
  ExpectMoved(member, before);
  EXPECT_EQ(Member::Mode(member.new_), 0700U);
  EXPECT_EQ(member.Move(member.new_).value(), MoveOutcome::kThere);
  // And back, into a directory that is there already.
  fs::create_directory(member.old_);
  EXPECT_EQ(member.Move(member.old_).value(), MoveOutcome::kMoved);
  EXPECT_TRUE(Member::Votes(member.old_));
  EXPECT_FALSE(Exists(member.new_));
}

TEST(StateMover, ACrashAtAnyStepIsFinishedByTheNextCall) {
  int crashes = 0;
  for (int nth = 1;; ++nth) {
    SCOPED_TRACE("crash at step " + std::to_string(nth));
    Member member;
    const auto before = Member::Content(member.old_);
    if (!member.MoveUntil(nth, member.new_)) {
      break;
    }
    ++crashes;
    ExpectOneVoter(member);
    // The second call dies too, as far as it gets.
    if (member.MoveUntil(2, member.new_)) {
      ExpectOneVoter(member);
    }
    const Result<MoveOutcome> again = member.Move(member.new_);
    ASSERT_TRUE(again.ok()) << again.status().ToString();
    ExpectMoved(member, before);
  }
  EXPECT_GT(crashes, 20);
}

TEST(StateMover, IsTakenBackUntilTheOriginalIsGivenUp) {
  bool taken_back = false;
  bool too_late = false;
  for (int nth = 1;; nth += 2) {
    SCOPED_TRACE("crash at step " + std::to_string(nth));
    Member member;
    const auto before = Member::Content(member.old_);
    if (!member.MoveUntil(nth, member.new_)) {
      break;
    }
    if (member.Start().marker.state_directory == member.new_.string()) {
      break;  // it was the last step
    }
    EXPECT_EQ(member.Move(member.root_ / "other").status().sqlstate(), "55000");
    const Result<MoveOutcome> back = member.Move(member.old_);
    ExpectOneVoter(member);
    if (!back.ok()) {
      EXPECT_EQ(back.status().sqlstate(), "55000");
      too_late = true;
      continue;
    }
    EXPECT_FALSE(too_late);
    taken_back = back.value() == MoveOutcome::kTakenBack || taken_back;
    EXPECT_EQ(member.Start().kind, boot::Membership::Kind::kMember);
    EXPECT_EQ(Member::Content(member.old_), before);
    // What is left there is no hindrance.
    ASSERT_TRUE(member.Move(member.new_).ok());
    ExpectMoved(member, before);
  }
  EXPECT_TRUE(taken_back && too_late);
}

TEST(StateMover, AFailedCopyChangesNothing) {
  Member member;
  const fs::path pipe = member.old_ / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(member.Move(member.new_).status().sqlstate(), "55000");
  EXPECT_FALSE(Exists(member.new_));
  EXPECT_EQ(member.Start().kind, boot::Membership::Kind::kMember);
  EXPECT_TRUE(Member::Votes(member.old_));
}

TEST(StateMover, RefusesPlacesThatWillNotDo) {
  Member member;
  Member::Put(member.root_ / "note", "x", 0600);
  for (const fs::path& to : {member.data_ / "state", member.old_ / "deeper", member.root_}) {
    EXPECT_EQ(member.Move(to).status().sqlstate(), "22023") << to;
  }
  fs::create_directory(member.new_);
  Member::Put(member.new_ / "something", "x", 0600);
  const Status full = member.Move(member.new_).status();
  EXPECT_EQ(full.sqlstate(), "55000");
  EXPECT_NE(full.detail().find("something"), std::string::npos) << full.detail();
  EXPECT_TRUE(Exists(member.new_ / "something"));
  EXPECT_FALSE(Exists(member.new_ / "lock"));
  fs::remove(member.data_ / identity::kMarkerFile);
  EXPECT_EQ(member.Move(member.root_ / "other").status().sqlstate(), "55000");
}

TEST(StateMover, RefusesWhileTheStateIsInUseOrARepairWaits) {
  Member member;
  {
    auto lock = PosixFileSystem().Lock(member.old_ / identity::kLockFile);
    EXPECT_EQ(member.Move(member.new_).status().sqlstate(), "55000");
  }
  Member::Put(member.old_ / identity::kIntentFile, "x", 0600);
  EXPECT_EQ(member.Move(member.new_).status().sqlstate(), "55000");
  EXPECT_FALSE(Exists(member.new_));
}

// A clone does not become an original by being moved.
TEST(StateMover, RefusesAClone) {
  Member member;
  fs::copy(member.old_ / "raft", member.root_ / "raft");
  fs::rename(member.old_ / "raft", member.root_ / "away");
  fs::rename(member.root_ / "raft", member.old_ / "raft");
  ASSERT_FALSE(Member::RaftOpens(member.old_));
  EXPECT_FALSE(member.Move(member.new_).ok());
  EXPECT_FALSE(Exists(member.new_));
  EXPECT_FALSE(Exists(member.old_ / identity::kMovingFile));
}

// Nor does a copy of an unfinished move.
TEST(StateMover, RefusesACloneOfAnUnfinishedMove) {
  bool seen = false;
  for (int nth = 1;; nth += 2) {
    SCOPED_TRACE("crash at step " + std::to_string(nth));
    Member member;
    if (!member.MoveUntil(nth, member.new_)) {
      break;
    }
    if (!Exists(member.old_ / "pledge") || Member::RaftOpens(member.new_)) {
      continue;  // handed over: the log's own identity is judged by the worker
    }
    // Both directories put back from copies, in their places.
    for (const fs::path& state : {member.old_, member.new_}) {
      if (Exists(state)) {
        fs::copy(state, member.root_ / "copy", fs::copy_options::recursive);
        fs::rename(state, member.root_ / (state.filename().string() + "-original"));
        fs::rename(member.root_ / "copy", state);
      }
    }
    EXPECT_FALSE(member.Move(member.new_).ok());
    EXPECT_FALSE(Member::Votes(member.old_) || Member::Votes(member.new_));
    seen = true;
  }
  EXPECT_TRUE(seen);
}

}  // namespace
}  // namespace pgquorum::cli
