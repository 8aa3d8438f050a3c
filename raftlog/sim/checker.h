// The safety promises of Raft (paper figure 3), checked on what every node does and remembers. Fed
// after every event; a broken promise is a text, the first one wins.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "raftlog/core.h"
#include "raftlog/output.h"
#include "raftlog/sim/machine.h"
#include "raftlog/sim/node_disk.h"
#include "raftlog/types.h"

namespace pgquorum::raft::sim {

class Checker {
 public:
  using DiskOf = std::function<const NodeDisk*(NodeId)>;  // null: no such node yet

  explicit Checker(DiskOf disk_of) : disk_of_(std::move(disk_of)) {}

  // The founding configuration entry.
  void OnBootstrap(const Entry& entry);
  // A node (re)started with what its disk gave back.
  void OnStart(const Core& core);
  // A message goes to the network.
  void OnSend(const Message& message);
  // Entries are handed to the disk: log matching.
  void OnPersist(const Core& core, const Persist& batch);
  // After any input and its output: election safety, leader completeness, commits.
  void OnStep(const Core& core);
  // The state machine has applied an entry, or was replaced by a snapshot.
  void OnApply(NodeId node, const Machine& machine);

  // No answer is based on less of the log than an operation that had ended before it began. Finds
  // at once what the search over the history of values (linearizability.h) finds at the end.
  Index floor() const { return floor_; }
  void OnOperationDone(Index index) { floor_ = std::max(floor_, index); }
  void OnReadAnswered(NodeId node, Index floor_at_start, Index read_index);

  void Fail(std::string text) {
    if (failure_.empty()) {
      failure_ = std::move(text);
    }
  }
  const std::string& failure() const { return failure_; }
  Index committed() const { return committed_; }

 private:
  struct Seen {
    uint64_t hash = 0;
    Term previous_term;
  };
  struct NodeMemory {
    Index commit;
    Term term;
    Role role = Role::kFollower;
    Index last;
    uint64_t truncated = 0;
  };

  void CheckCommit(const Core& core, NodeMemory& memory);
  void CheckConfiguration(const Core& core);
  bool DurableOnMajority(const std::vector<NodeId>& voters, Index index, Term term) const;

  DiskOf disk_of_;
  std::string failure_;
  std::map<std::pair<Index, Term>, Seen> entries_;                  // every entry that ever existed
  std::map<std::pair<Index, Term>, Configuration> configurations_;  // of entries
  std::map<Index, Term> committed_terms_;  // what each index was committed as
  Index committed_;
  Term committed_in_;                 // the highest term in which anything was committed
  std::map<Index, uint64_t> chains_;  // machine hash after each index
  std::map<Term, NodeId> leaders_;
  std::map<std::pair<NodeId, Term>, NodeId> votes_;  // as sent
  std::map<NodeId, Term> spoken_;                    // the highest term a node spoke in
  std::map<NodeId, NodeMemory> memory_;
  Index floor_;
};

}  // namespace pgquorum::raft::sim

#include "base/pure.h"
