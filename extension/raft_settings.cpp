#include "extension/raft_settings.h"

#include <string>

#include "base/pure.h"

namespace pgquorum::raft_settings {
namespace {

constexpr const char* kInvalid = "22023";

std::string Ms(int value) {
  return std::to_string(value) + " ms";
}

}  // namespace

Status Check(const Values& v) {
  if (v.longest_ms() <= v.election_timeout_ms) {
    return Status::Error(kInvalid, "pgquorum.election_timeout_max (" +
                                       Ms(v.election_timeout_max_ms) +
                                       ") must be above pgquorum.election_timeout (" +
                                       Ms(v.election_timeout_ms) + ")")
        .WithDetail(
            "Each wait is drawn at random between the two, so that nodes do not stand for "
            "election at the same time.")
        .WithHint("-1 stands for twice pgquorum.election_timeout.");
  }
  if (v.heartbeat_ms > v.election_timeout_ms / 2) {
    return Status::Error(kInvalid, "pgquorum.raft_heartbeat_interval (" + Ms(v.heartbeat_ms) +
                                       ") must be at most half of pgquorum.election_timeout (" +
                                       Ms(v.election_timeout_ms) + ")")
        .WithDetail(
            "One heartbeat that comes late would make a node stand for election while the "
            "leader lives.")
        .WithHint("Set pgquorum.raft_heartbeat_interval to at most " +
                  Ms(v.election_timeout_ms / 2) + ", or pgquorum.election_timeout to at least " +
                  Ms(2 * v.heartbeat_ms) + ".");
  }
  return Status::Ok();
}

}  // namespace pgquorum::raft_settings
