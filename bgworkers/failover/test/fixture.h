// Shared by the tests: a small cluster built through commands, reports and facts with sensible
// values.
#pragma once

#include <string>
#include <vector>

#include "bgworkers/failover/agent.h"
#include "bgworkers/failover/coordinator.h"

namespace pgquorum::failover {

inline constexpr NodeId kA{1}, kB{2}, kC{3};

inline MemberInfo Info(const std::string& name, uint16_t port) {
  MemberInfo info;
  info.name = name;
  info.listen_host = info.raft_host = "10.0.0.1";
  info.listen_port = port;
  info.raft_port = static_cast<uint16_t>(port + 1000);
  return info;
}

// A state machine with an index counter of its own.
struct Log {
  ClusterState state;
  uint64_t index = 0;

  ApplyResult Apply(const Command& command) {
    // Through the coding, as in the real log.
    return state.ApplyEncoded(++index, Encode(command));
  }
  std::string Sqlstate(const Command& command) { return Apply(command).status.sqlstate(); }

  void Create() {
    CreateCluster create;
    create.name = "test";
    create.cluster_id = 77;
    create.system_identifier = 99;
    create.generation = 5;
    create.first = Info("node1", 5001);
    create.timeline = Timeline(1);
    Apply(create);
  }
  IssueToken Token(char fill) { return {std::string(32, fill), 1000, MemberKind::kData, 10}; }
  NodeId Join(const std::string& name, uint16_t port) {
    Apply(Token(static_cast<char>(port % 100)));
    AddMember add{std::string(32, static_cast<char>(port % 100)), 0, Info(name, port), 20};
    NodeId node = Apply(add).node;
    Apply(SetMemberState{node, MemberState::kActive});
    return node;
  }
  // Node 1 resumed with boot 11 and settled; nodes 2 and 3 are voters, n = 1.
  void Group() {
    Create();
    Join("node2", 5002);
    Join("node3", 5003);
    Serve(BootId(11));
    Apply(ChangeRule{epoch(), state.rule().version, {kA, kB, kC}, 0, {kB, kC}, 1, false});
    Apply(ChangeRule{epoch(), state.rule().version, {kA, kB, kC}, 1, {kB, kC}, 1, true});
  }
  void Serve(BootId boot) {
    Apply(Resume{epoch(), state.rule().primary, boot, Timeline(), 0});
    SettleIt();
  }
  void SettleIt() {
    const Appointment& app = state.appointment();
    Apply(Settle{app.epoch, app.boot, app.timeline, 0});
  }
  void RevokeIt(Reason reason = Reason::kPostmasterGone) {
    Revoke revoke;
    revoke.current = epoch();
    revoke.reason = reason;
    Apply(revoke);
  }
  Appoint AppointmentOf(NodeId node, std::vector<NodeId> voters, uint32_t n) {
    Appoint appoint;
    appoint.epoch = epoch();
    appoint.node = node;
    appoint.boot = BootId(20 + node.value());
    appoint.position = {Timeline(2), Lsn(500)};
    appoint.voters = std::move(voters);
    appoint.n = n;
    return appoint;
  }
  Epoch epoch() const { return state.highest_epoch(); }
};

}  // namespace pgquorum::failover
