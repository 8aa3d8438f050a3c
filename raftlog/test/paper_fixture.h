// What both files of paper tests use.
#pragma once

#include <string>
#include <vector>

#include "raftlog/describe.h"
#include "raftlog/test/testkit.h"

namespace pgquorum::raft::test {

inline Message From(uint64_t from, uint64_t to, MessageKind kind, uint64_t term) {
  Message m;
  m.kind = kind;
  m.from = NodeId(from);
  m.to = NodeId(to);
  m.term = Term(term);
  return m;
}

inline std::vector<std::string> Sent(Cluster& cluster) {
  std::vector<std::string> texts;
  for (const Message& m : cluster.wire()) {
    texts.push_back(Describe(m));
  }
  cluster.wire().clear();
  return texts;
}

inline void NoPreVote(Options& options) {
  options.pre_vote = false;
}

// Ticks until the node's election timer has fired once.
inline void LetTimeOut(Cluster& cluster, uint64_t id) {
  Term term = cluster[id].term();
  for (int i = 0; i < 25 && cluster[id].term() == term; ++i) {
    cluster.Tick(id);
  }
}

}  // namespace pgquorum::raft::test

#include "base/pure.h"
