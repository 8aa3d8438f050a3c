// Scenario scripts (raftlog/testdata/*.txt): commands for a small cluster, and beside each the
// output that it must give. A human reads the diff of a change; the environment variable
// PGQUORUM_REWRITE_SCENARIOS=1 makes the test write what it sees.
//
//   cluster 3 [joiners=1] [pre_vote=off] [check_quorum=off] [witness=3] [priority.2=9]
//   elect 1 · tick 1 10 · tick all 5 · campaign 1 · propose 1 text · change 1 add:4 learner:5
//   transfer 1 3 · read 1 · dead 2 1 (node 2 learns that 1 is dead) · stall 2 · snapshot 1
//   deliver [n] · drop [from=1] [to=2] [kind=append] · cut 1 2 · mute 1 2 (1 is not heard by 2)
//   isolate 1 · heal · hold 1 (its disk) · sync 1 · crash 1 · restart 1
//   damage 2 5 (its disk has lost the entries from 5 on; restarts)
//   state · log 1 · wire · applied 1
#pragma once

#include <memory>
#include <sstream>
#include <string>

#include "raftlog/test/testkit.h"

namespace pgquorum::raft::test {

class Scenario {
 public:
  // Runs one line and returns its output, each line ended by '\n'.
  std::string Run(const std::string& line);

 private:
  std::string MakeCluster(std::istringstream& words);
  std::string Tick(std::istringstream& words);
  std::string Change(std::istringstream& words);
  std::string Deliver(std::istringstream& words);
  std::string Drop(std::istringstream& words);
  std::string Links(const std::string& command, std::istringstream& words);
  std::string OnNode(const std::string& command, std::istringstream& words);
  std::string State();
  std::string News();  // role changes, reads and refusals since the last command

  std::unique_ptr<Cluster> cluster_;
  std::map<NodeId, std::size_t> leaderships_seen_;
  std::map<NodeId, std::size_t> reads_seen_;
};

}  // namespace pgquorum::raft::test

#include "base/pure.h"
