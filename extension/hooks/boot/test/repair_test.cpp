#include "extension/hooks/boot/repair.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/test/scratch.h"
#include "extension/hooks/boot/member.h"
#include "extension/identity/files.h"

namespace pgquorum::boot {
namespace {

namespace fs = std::filesystem;
using identity::Intent;

// A data directory, a state directory and a directory of stand-ins for PostgreSQL's programs.
class RepairTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* directory : {"/data", "/data/global", "/data/base", "/data/pg_wal",
                                  "/data/pg_tblspc", "/state", "/bin"}) {
      fs::create_directory(root_ + directory);
    }
    Write("/data/PG_VERSION", "15\n");
    Write("/data/global/pg_control", "old control");
    Write("/data/global/1262", "old");
    Write("/data/base/1", "old");
    Write("/data/postgresql.conf", "port = 1\n");
    Write("/data/postmaster.pid", "4711\n");
    identity::Marker marker{9, 1, root_ + "/state"};
    ASSERT_TRUE(identity::Save(root_ + "/data/pgquorum.member", marker).ok());
    Program("pg_controldata", "echo 'Database cluster state:               shut down'");
    paths_ = {root_ + "/data", root_ + "/state", root_ + "/bin", root_ + "/data/postgresql.conf"};
  }
  void Write(const std::string& path, const std::string& text) {
    ASSERT_TRUE(identity::WriteFileDurably(root_ + path, text).ok()) << path;
  }
  std::string Read(const std::string& path) {
    Result<std::string> text = identity::ReadFile(root_ + path);
    return text.ok() ? text.value() : "";
  }
  bool Exists(const std::string& path) { return fs::exists(root_ + path); }
  void Program(const std::string& name, const std::string& script) {
    Write("/bin/" + name, "#!/bin/sh\n" + script);
    chmod((root_ + "/bin/" + name).c_str(), 0755);
  }
  void Order(Intent::Kind kind) {
    Intent intent;
    intent.kind = kind;
    intent.source_conninfo = "host=x";
    ASSERT_TRUE(identity::Save(root_ + "/state/intent", intent).ok());
  }
  Intent Stored() { return identity::Load<Intent>(root_ + "/state/intent").value(); }

  ScratchDirectory scratch_;
  const std::string root_ = scratch_.path();
  RepairPaths paths_;
};

TEST_F(RepairTest, DoesNothingWithoutAnIntent) {
  EXPECT_EQ(AttemptRepair(paths_, nullptr).result, RepairResult::kNothing);
  EXPECT_TRUE(Exists("/data/postmaster.pid"));
}

TEST_F(RepairTest, ADamagedIntentForbidsToOpenTheDirectory) {
  Write("/state/intent", "half a file");
  EXPECT_EQ(AttemptRepair(paths_, nullptr).result, RepairResult::kUnfinished);
}

TEST_F(RepairTest, RewindPutsThisNodesFilesBack) {
  Order(Intent::Kind::kRewind);
  // Copies the source's configuration and marker over ours, as the real one does.
  Program("pg_rewind", "echo port = 2 > " + root_ + "/data/postgresql.conf; echo foreign > " +
                           root_ + "/data/pgquorum.member; test ! -e " + root_ +
                           "/data/postmaster.pid");
  ASSERT_EQ(AttemptRepair(paths_, nullptr).result, RepairResult::kDone);
  EXPECT_EQ(Read("/data/postgresql.conf"), "port = 1\n");
  EXPECT_TRUE(identity::Load<identity::Marker>(root_ + "/data/pgquorum.member").ok());
  EXPECT_TRUE(Exists("/data/standby.signal"));
  EXPECT_EQ(Read("/data/pgquorum.conf"), BootConfiguration());
  EXPECT_FALSE(Exists("/state/intent"));
  EXPECT_TRUE(Exists("/state/repaired"));
}

TEST_F(RepairTest, AnUnreachableSourceLeavesTheDirectoryAsItWas) {
  Order(Intent::Kind::kRewind);
  Program("pg_rewind", "echo 'error: connection to server at \"x\" failed: refused' >&2; exit 1");
  Repair repair = AttemptRepair(paths_, nullptr);
  EXPECT_EQ(repair.result, RepairResult::kUntouched);
  EXPECT_NE(repair.error.find("refused"), std::string::npos);
  EXPECT_FALSE(Stored().touched);
  EXPECT_EQ(Stored().attempts, 1u);
  EXPECT_TRUE(Exists("/data/postmaster.pid"));
}

TEST_F(RepairTest, NoServerOpensTheDirectoryWhileARewindWorks) {
  Order(Intent::Kind::kRewind);
  Program("pg_rewind", "cat " + root_ + "/data/backup_label > " + root_ +
                           "/seen; echo 'need to copy'; kill -9 $$");
  EXPECT_EQ(AttemptRepair(paths_, nullptr).result, RepairResult::kUnfinished);
  EXPECT_NE(Read("/seen").find("unfinished"), std::string::npos);
  EXPECT_EQ(Read("/data/backup_label"), Read("/seen")) << "still refused by any server";
  Program("pg_rewind", "exit 0");  // "no rewind required"
  EXPECT_EQ(AttemptRepair(paths_, nullptr).result, RepairResult::kDone);
  EXPECT_FALSE(Exists("/data/backup_label"));
}

TEST_F(RepairTest, NoServerOpensTheDirectoryWhenTheRewindHasRemovedWhatItListed) {
  Order(Intent::Kind::kRewind);
  const std::string file = root_ + "/data/recovery.conf";
  Program("pg_rewind", "echo 'pg_rewind: reading WAL in target'; rm " + root_ +
                           "/data/backup_label; for i in $(seq 1000); do test -s " + file +
                           " && break; sleep 0.01; done; kill -9 $$");
  EXPECT_EQ(AttemptRepair(paths_, nullptr).result, RepairResult::kUnfinished);
  EXPECT_NE(Read("/data/recovery.conf").find("unfinished"), std::string::npos);
  Program("pg_rewind", "test ! -e " + file);  // the next one must not list it
  EXPECT_EQ(AttemptRepair(paths_, nullptr).result, RepairResult::kDone);
  EXPECT_FALSE(Exists("/data/recovery.conf"));
}

TEST_F(RepairTest, ACrashedTargetIsRecoveredFirstButOnlyForAReachableSource) {
  Order(Intent::Kind::kRewind);
  Program("pg_controldata", "echo 'Database cluster state:               in production'");
  Program("postgres",
          "test ! -e " + root_ + "/data/backup_label && echo run >> " + root_ + "/single");
  Program("pg_rewind", "echo 'connection to server failed'; exit 1");
  EXPECT_EQ(AttemptRepair(paths_, nullptr).result, RepairResult::kUntouched);
  EXPECT_FALSE(Exists("/single"));
  Program("pg_rewind", "exit 0");
  EXPECT_EQ(AttemptRepair(paths_, nullptr).result, RepairResult::kDone);
  EXPECT_EQ(Read("/single"), "run\n");
}

TEST_F(RepairTest, UntouchedAttemptsAreBounded) {
  Order(Intent::Kind::kRewind);
  Program("pg_rewind",
          "echo run >> " + root_ + "/runs; echo 'connection to server failed'; exit 1");
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(AttemptRepair(paths_, nullptr).result, RepairResult::kUntouched);
  }
  EXPECT_EQ(Read("/runs").size(), 4 * identity::kMaxRewindAttempts);
}

TEST_F(RepairTest, AFailureInTheMiddleNeverOpensTheDirectory) {
  Order(Intent::Kind::kRewind);
  Program("pg_rewind", "echo 'need to copy 5 MB'; echo 'connection to server was lost'; exit 1");
  EXPECT_EQ(AttemptRepair(paths_, nullptr).result, RepairResult::kUnfinished);
  EXPECT_TRUE(Stored().touched);
  // Not even when the next attempt fails before it changes anything itself.
  Program("pg_rewind", "echo 'connection to server failed'; exit 1");
  EXPECT_EQ(AttemptRepair(paths_, nullptr).result, RepairResult::kUnfinished);
  EXPECT_TRUE(Stored().touched);
}

TEST_F(RepairTest, AnUnknownFailureCountsAsTouched) {
  Order(Intent::Kind::kRewind);
  Program("pg_rewind", "kill -9 $$");
  Repair repair = AttemptRepair(paths_, nullptr);
  EXPECT_EQ(repair.result, RepairResult::kUnfinished);
  EXPECT_NE(repair.error.find("signal 9"), std::string::npos);
}

TEST_F(RepairTest, RewindsThatKeepFailingBecomeAReclone) {
  Order(Intent::Kind::kRewind);
  Program("pg_rewind", "echo 'need to copy'; exit 1");
  for (uint32_t i = 0; i < identity::kMaxRewindAttempts; ++i) {
    EXPECT_EQ(AttemptRepair(paths_, nullptr).result, RepairResult::kUnfinished);
  }
  EXPECT_EQ(Stored().kind, Intent::Kind::kReclone);
  EXPECT_EQ(Stored().attempts, 0u);
}

constexpr char kFakeBackup[] = R"(
for a in "$@"; do case "$a" in --pgdata=*) d=${a#--pgdata=};; esac; done
mkdir -p $d/global $d/base $d/pg_wal $d/pg_tblspc
echo new > $d/base/2; echo new > $d/global/1262; echo 'new control' > $d/global/pg_control
echo 15 > $d/PG_VERSION; echo 'port = 2' > $d/postgresql.conf; echo foreign > $d/pgquorum.member
echo label > $d/backup_label
)";

TEST_F(RepairTest, RecloneReplacesTheContentAndKeepsTheNode) {
  Order(Intent::Kind::kReclone);
  Program("pg_basebackup", kFakeBackup);
  Repair repair = AttemptRepair(paths_, nullptr);
  ASSERT_EQ(repair.result, RepairResult::kDone) << repair.error;
  EXPECT_EQ(Read("/data/global/pg_control"), "new control\n");
  EXPECT_FALSE(Exists("/data/base/1"));
  EXPECT_TRUE(Exists("/data/base/2"));
  EXPECT_EQ(Read("/data/postgresql.conf"), "port = 1\n");
  EXPECT_TRUE(identity::Load<identity::Marker>(root_ + "/data/pgquorum.member").ok());
  EXPECT_TRUE(Exists("/data/backup_label"));
  EXPECT_FALSE(Exists("/data/pgquorum.clone"));
  EXPECT_FALSE(Exists("/data/pgquorum.old"));
}

// Writes one tablespace where the mapping says, or, without one, where the source has it.
constexpr char kFakeSpaces[] = R"(
old=$SPACE; new=$SPACE
for a in "$@"; do case "$a" in --tablespace-mapping=*)
  a=${a#--tablespace-mapping=}; old=${a%%=*}; new=${a#*=};; esac; done
mkdir -p $new/PG_15_1/5; ln -s $new $d/pg_tblspc/16384
)";

class SpaceTest : public RepairTest {
 protected:
  void SetUp() override {
    RepairTest::SetUp();
    fs::create_directories(space_ + "/PG_15_1/4");
    Write("/space/PG_15_1/4/1", "old");
    fs::create_directory_symlink(space_, root_ + "/data/pg_tblspc/16384");
    Order(Intent::Kind::kReclone);
  }
  void Backup(const std::string& more) {
    Program("pg_basebackup", "SPACE=" + space_ + "\n" + kFakeBackup + kFakeSpaces + more);
  }
  void ExpectReplaced() {
    Repair repair = AttemptRepair(paths_, nullptr);
    ASSERT_EQ(repair.result, RepairResult::kDone) << repair.error;
    EXPECT_EQ(fs::read_symlink(root_ + "/data/pg_tblspc/16384"), space_);
    EXPECT_EQ(Read("/space/PG_15_1/5/2"), "new\n");
    EXPECT_FALSE(Exists("/space/PG_15_1/4"));
    EXPECT_FALSE(Exists("/space/pgquorum.clone"));
    EXPECT_EQ(std::distance(fs::directory_iterator(space_), fs::directory_iterator()), 1);
    EXPECT_EQ(std::distance(fs::directory_iterator(space_ + "/PG_15_1"), fs::directory_iterator()),
              1);
  }
  const std::string space_ = root_ + "/space";
};

TEST_F(SpaceTest, RecloneReplacesTablespaces) {
  // Until the copy is complete the old content is there.
  Backup("test -e " + space_ + "/PG_15_1/4/1 || exit 1; echo new > $new/PG_15_1/5/2\n");
  ExpectReplaced();
}

TEST_F(SpaceTest, AFailedCopyLeavesTheOldTablespaces) {
  Backup("echo new > $new/PG_15_1/5/2; echo 'no more'; exit 1\n");
  EXPECT_EQ(AttemptRepair(paths_, nullptr).result, RepairResult::kUntouched);
  EXPECT_EQ(Read("/space/PG_15_1/4/1"), "old");
  Backup("echo new > $new/PG_15_1/5/2\n");
  ExpectReplaced();
}

TEST_F(SpaceTest, ADirectoryThatIsTheSourcesOwnIsLeftAlone) {
  // What the source has there is what this node has there.
  Backup("cp -r $old/PG_15_1 $new/\n");
  Repair repair = AttemptRepair(paths_, nullptr);
  EXPECT_EQ(repair.result, RepairResult::kUntouched);
  EXPECT_NE(repair.error.find("is the source's own"), std::string::npos) << repair.error;
  EXPECT_EQ(Read("/space/PG_15_1/4/1"), "old");
  EXPECT_TRUE(Exists("/data/base/1"));
  EXPECT_EQ(std::distance(fs::directory_iterator(space_ + "/PG_15_1"), fs::directory_iterator()),
            1);
}

TEST_F(SpaceTest, AnInterruptedSwapOfTablespacesIsRepeated) {
  Intent intent = Stored();
  intent.touched = true;
  ASSERT_TRUE(identity::Save(root_ + "/state/intent", intent).ok());
  ASSERT_TRUE(SaveNodeFiles(paths_.data_directory, paths_.state_directory).ok());
  // The links are aside, the old tablespace is gone, half of the new one is there.
  fs::create_directory(root_ + "/data/pgquorum.old");
  fs::rename(root_ + "/data/pg_tblspc", root_ + "/data/pgquorum.old/pg_tblspc");
  fs::remove_all(space_ + "/PG_15_1");
  fs::create_directories(space_ + "/pgquorum.clone/PG_15_1/6");
  Backup("echo new > $new/PG_15_1/5/2\n");
  ExpectReplaced();
}

// One that the source has got since lies where it has it; a killed attempt has left it half done.
TEST_F(SpaceTest, ATablespaceThatIsNewHereIsCopiedToItsPath) {
  fs::remove(root_ + "/data/pg_tblspc/16384");
  fs::remove_all(space_);
  Backup("echo new > $new/PG_15_1/5/2; kill -9 $$\n");
  EXPECT_EQ(AttemptRepair(paths_, nullptr).result, RepairResult::kUntouched);
  ASSERT_TRUE(Exists("/space/PG_15_1/5/2"));
  Backup("test -e $new/PG_15_1/5/2 && exit 1; echo new > $new/PG_15_1/5/2\n");
  ExpectReplaced();
}

TEST_F(RepairTest, RecloneKeepsALinkedWalDirectory) {
  fs::remove(root_ + "/data/pg_wal");
  fs::create_directory(root_ + "/wal");
  Write("/wal/old_segment", "old");
  fs::create_directory_symlink(root_ + "/wal", root_ + "/data/pg_wal");
  Order(Intent::Kind::kReclone);
  Program("pg_basebackup", std::string(kFakeBackup) + "echo wal > $d/pg_wal/new_segment\n");
  Repair repair = AttemptRepair(paths_, nullptr);
  ASSERT_EQ(repair.result, RepairResult::kDone) << repair.error;
  EXPECT_TRUE(fs::is_symlink(root_ + "/data/pg_wal"));
  EXPECT_TRUE(Exists("/wal/new_segment"));
  EXPECT_FALSE(Exists("/wal/old_segment"));
}

TEST_F(RepairTest, AFailedCopyLeavesTheOldContent) {
  Order(Intent::Kind::kReclone);
  Program("pg_basebackup", "echo 'no such host'; exit 1");
  EXPECT_EQ(AttemptRepair(paths_, nullptr).result, RepairResult::kUntouched);
  EXPECT_TRUE(Exists("/data/base/1"));
}

TEST_F(RepairTest, WithoutRoomForBothTheOldContentIsGivenUp) {
  Order(Intent::Kind::kReclone);
  Program("pg_basebackup", "echo 'could not write: No space left on device'; exit 1");
  EXPECT_EQ(AttemptRepair(paths_, nullptr).result, RepairResult::kUntouched);
  Program("pg_basebackup", "test ! -e " + root_ + "/data/base || exit 1\n" + kFakeBackup);
  Repair repair = AttemptRepair(paths_, nullptr);
  EXPECT_EQ(repair.result, RepairResult::kDone) << repair.error;
}

TEST_F(RepairTest, AnInterruptedSwapIsRepeatedWithANewCopy) {
  Order(Intent::Kind::kReclone);
  Intent intent = Stored();
  intent.touched = true;
  ASSERT_TRUE(identity::Save(root_ + "/state/intent", intent).ok());
  ASSERT_TRUE(SaveNodeFiles(paths_.data_directory, paths_.state_directory).ok());
  // Half of the old content is aside, half of the new one is in.
  fs::create_directory(root_ + "/data/pgquorum.old");
  fs::rename(root_ + "/data/base", root_ + "/data/pgquorum.old/base");
  fs::create_directories(root_ + "/data/pgquorum.clone/global");
  Program("pg_basebackup", kFakeBackup);
  Repair repair = AttemptRepair(paths_, nullptr);
  ASSERT_EQ(repair.result, RepairResult::kDone) << repair.error;
  EXPECT_EQ(Read("/data/global/pg_control"), "new control\n");
}

TEST(RewindOutput, OnlyKnownEarlyFailuresCountAsUntouched) {
  EXPECT_TRUE(RewindLeftTargetUntouched("pg_rewind: error: connection to server at \"h\" failed"));
  EXPECT_TRUE(
      RewindLeftTargetUntouched("error: could not find common ancestor of the source and "
                                "target cluster's timelines"));
  EXPECT_FALSE(RewindLeftTargetUntouched(""));
  EXPECT_FALSE(RewindLeftTargetUntouched("some new message"));
  EXPECT_FALSE(RewindLeftTargetUntouched("need to copy 1 MB\nconnection to server lost"));
}

}  // namespace
}  // namespace pgquorum::boot
