// The replicated state machine of the simulator: a few registers, a counter, and a hash of all that
// was applied, so that two nodes with equal hashes have applied the same entries in the same order.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/status.h"
#include "raftlog/sessions.h"
#include "raftlog/types.h"

namespace pgquorum::raft::sim {

class Machine {
 public:
  void Apply(const Entry& entry);

  Index applied() const { return applied_; }
  Term applied_term() const { return applied_term_; }
  uint64_t chain() const { return chain_; }
  // Of the latest kCommand entry "KEY VALUE" for this key; 0: none.
  uint64_t value(uint32_t key) const {
    auto found = registers_.find(key);
    return found == registers_.end() ? 0 : found->second;
  }
  const SessionTable& sessions() const { return sessions_; }
  // Of the latest kSession entry.
  const SessionOutcome& outcome() const { return outcome_; }

  // Padded, so that it takes several chunks to send.
  std::string Save() const;
  Status Load(std::string_view data);

 private:
  Index applied_;
  Term applied_term_;
  uint64_t chain_ = 0;
  std::map<uint32_t, uint64_t> registers_;
  uint64_t counter_ = 0;  // of session commands: each must count exactly once
  SessionTable sessions_;
  SessionOutcome outcome_;
};

// A number that stands for an entry's whole content.
uint64_t HashOf(const Entry& entry);

}  // namespace pgquorum::raft::sim

#include "base/pure.h"
