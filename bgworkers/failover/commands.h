// The commands that the failover policies put into the Raft log. Each is a plain struct; a command
// in the log is its versioned encoding. All times are UNIX microseconds taken by the proposer:
// applying reads no clock.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/status.h"
#include "bgworkers/failover/ids.h"

namespace pgquorum::failover {

enum class MemberKind : uint8_t { kData = 1, kWitness = 2 };

// What a node may do when it is not the primary.
struct MemberInfo {
  std::string name;  // [a-z][a-z0-9_]{0,30}
  std::string listen_host;
  uint16_t listen_port = 0;
  std::string raft_host;
  uint16_t raft_port = 0;
  uint32_t priority = 100;  // candidates: higher first; 0 = never a primary by its own
  MemberKind kind = MemberKind::kData;
  bool voting = true;  // may be in V (false: observers, delayed standbys)
  bool operator==(const MemberInfo&) const = default;
};

enum class Reason : uint8_t {
  kNone = 0,
  kHeartbeatsMissed = 1,
  kPostmasterGone = 2,
  kListenerDead = 3,
  kWalNotWritable = 4,
  kStepDown = 5,
  kSwitchover = 6,
  kForced = 7,
  kAppointmentStuck = 8,
  kForceQuorum = 9,
};
const char* ToString(Reason reason);

// The first entry of a cluster: its first member, alone in V, n = 0. That node then resumes.
struct CreateCluster {
  std::string name;
  uint64_t cluster_id = 0;
  uint64_t system_identifier = 0;
  uint64_t generation = 0;  // random
  MemberInfo first;
  Timeline timeline;  // the highest one the first member has: taken as assigned
  bool operator==(const CreateCluster&) const = default;
};
// One-time join token: only its SHA-256 is kept.
struct IssueToken {
  std::string token_hash;  // 32 bytes
  int64_t expires_us = 0;
  MemberKind kind = MemberKind::kData;
  int64_t now_us = 0;
  bool operator==(const IssueToken&) const = default;
};
// Uses up the token and assigns the node id (ApplyResult::node). The member starts as kJoining.
struct AddMember {
  std::string token_hash;
  uint64_t system_identifier = 0;  // of a data directory that is brought along; 0 = will be cloned
  MemberInfo info;
  int64_t now_us = 0;
  bool operator==(const AddMember&) const = default;
};
struct UpdateMember {
  NodeId node;
  MemberInfo info;  // the name must stay
  bool operator==(const UpdateMember&) const = default;
};
enum class MemberState : uint8_t { kJoining = 1, kActive = 2, kLeaving = 3 };
// kJoining -> kActive when it is a Raft voter; any -> kLeaving by an administrator (refused for the
// primary): the coordinator then takes it out of S, V and Raft. A settled primary is active again.
struct SetMemberState {
  NodeId node;
  MemberState state = MemberState::kActive;
  bool operator==(const SetMemberState&) const = default;
};
// Last step of leaving; refused while the node is in S or V.
struct ForgetMember {
  NodeId node;
  bool operator==(const ForgetMember&) const = default;
};

// Ends `current` and orders every voter of the rules since the last settled one to pledge for the
// next epoch (current + 1). Refused unless `current` is the highest epoch, revoked ones included.
struct Revoke {
  Epoch current;
  Reason reason = Reason::kNone;
  RequestId request;  // of kSwitchover, kForced
  // When the last sign of a working primary was seen, estimated by the proposer.
  int64_t outage_began_us = 0;
  int64_t now_us = 0;
  bool accept_loss = false;  // kForced only: recruits whoever answers (audited)
  bool operator==(const Revoke&) const = default;
};
// While recruiting: `node` fetches the missing tail of its WAL from `source`, another recruit. No
// node: the fetch that is under way is called off.
struct FetchTail {
  Epoch epoch;  // the revoked-to epoch
  NodeId node;
  NodeId source;
  Position until;
  bool operator==(const FetchTail&) const = default;
};
// Names the next primary. The timeline is assigned when it is applied (ApplyResult::timeline):
// above every assigned one and above `timeline_floor`, the highest id any member reported.
struct Appoint {
  Epoch epoch;
  NodeId node;
  BootId boot;        // of the pledge report: a restarted node must resume instead
  Position position;  // of the winner: the fork point
  std::vector<NodeId> voters;
  uint32_t n = 0;
  Timeline timeline_floor;
  int64_t now_us = 0;
  bool operator==(const Appoint&) const = default;
};
// After a restart of the primary: same epoch and rule, a new boot id and timeline.
struct Resume {
  Epoch epoch;
  NodeId node;
  BootId boot;
  Timeline timeline_floor;
  int64_t now_us = 0;
  bool operator==(const Resume&) const = default;
};
// The barrier was passed: the primary may serve.
struct Settle {
  Epoch epoch;
  BootId boot;
  Timeline timeline;
  int64_t now_us = 0;
  bool operator==(const Settle&) const = default;
};
// One safe step of (V, n, S, g), compare-and-set on (epoch, version).
struct ChangeRule {
  Epoch epoch;
  uint64_t version = 0;
  std::vector<NodeId> voters;
  uint32_t n = 0;
  std::vector<NodeId> sync;
  uint32_t g = 0;
  // The primary reported list `version` in force and flushed past: needed to shrink V or to raise
  // n.
  bool confirmed = false;
  bool operator==(const ChangeRule&) const = default;
};

enum class RequestKind : uint8_t { kSwitchover = 1, kForceFailover = 2 };
enum class RequestOutcome : uint8_t { kPending = 1, kDone = 2, kRefused = 3, kFailed = 4 };
struct RequestFailover {
  RequestId id;
  RequestKind kind = RequestKind::kSwitchover;
  NodeId target;  // zero: the policy chooses
  bool accept_loss = false;
  std::string requested_by;
  int64_t now_us = 0;
  bool operator==(const RequestFailover&) const = default;
};
// The leader checked that the switchover is safe: the primary starts to drain for `target`.
struct BeginDrain {
  RequestId id;
  Epoch epoch;  // current
  NodeId target;
  bool operator==(const BeginDrain&) const = default;
};
// Ends a request that has not been followed by a revoke yet, or reports its end.
struct FinishRequest {
  RequestId id;
  RequestOutcome outcome = RequestOutcome::kFailed;
  std::string detail;
  bool operator==(const FinishRequest&) const = default;
};
// An empty value removes the key.
struct SetSetting {
  std::string key;
  std::string value;
  bool operator==(const SetSetting&) const = default;
};
// First entry after the Raft majority was destroyed and rebuilt by hand: a new generation,
// everything before it revoked; only `survivors` stay members.
struct ForceQuorum {
  Epoch current;            // the highest epoch, revoked ones included
  uint64_t generation = 0;  // random, of the new one
  std::vector<NodeId> survivors;
  std::string requested_by;
  int64_t now_us = 0;
  bool operator==(const ForceQuorum&) const = default;
};

// A voter that needs a rewind or re-clone but cannot leave V (too few others) may repair in place:
// one at a time, from the settled primary, which holds all that it acknowledged. Zero ends the
// permission.
struct AllowRepair {
  Epoch epoch;
  NodeId node;
  bool operator==(const AllowRepair&) const = default;
};

using Command =
    std::variant<CreateCluster, IssueToken, AddMember, UpdateMember, SetMemberState, ForgetMember,
                 Revoke, FetchTail, Appoint, Resume, Settle, ChangeRule, RequestFailover,
                 BeginDrain, FinishRequest, SetSetting, ForceQuorum, AllowRepair>;

std::string Encode(const Command& command);
// 22P03 for bytes that are no command, 0A000 for a command or version that this build does not
// know.
Result<Command> DecodeCommand(std::string_view bytes);
std::string ToString(const Command& command);  // one line, for logs and traces

// The epoch that this log entry revokes to, zero for any other entry (also for bytes that are no
// command). A lease granter runs it over every entry that is appended to its log, committed or not.
Epoch RevokedEpochOf(std::string_view entry);

}  // namespace pgquorum::failover

#include "base/pure.h"
