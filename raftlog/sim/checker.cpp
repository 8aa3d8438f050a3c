#include "raftlog/sim/checker.h"

#include <algorithm>
#include <utility>

#include "raftlog/codec.h"
#include "raftlog/membership.h"

#include "base/pure.h"

namespace pgquorum::raft::sim {
namespace {

template <typename Id>
std::string Text(Id id) {
  return std::to_string(id.value());
}

}  // namespace

void Checker::OnBootstrap(const Entry& entry) {
  configurations_[{entry.index, entry.term}] = DecodeConfigEntry(entry.data).value().configuration;
  entries_[{entry.index, entry.term}] = {HashOf(entry), Term()};
}

void Checker::OnStart(const Core& core) {
  memory_.erase(core.id());
  if (core.term() < spoken_[core.id()]) {
    Fail("node " + Text(core.id()) + " forgot term " + Text(spoken_[core.id()]) + ", has " +
         Text(core.term()));
  }
}

void Checker::OnSend(const Message& m) {
  bool asks_ahead =
      m.kind == MessageKind::kPreVote || (m.kind == MessageKind::kPreVoteReply && !m.reject);
  if (!asks_ahead) {
    Term& spoken = spoken_[m.from];
    spoken = std::max(spoken, m.term);
  }
  bool votes = (m.kind == MessageKind::kVoteReply && !m.reject) || m.kind == MessageKind::kVote;
  if (votes) {
    NodeId candidate = m.kind == MessageKind::kVote ? m.from : m.to;
    auto [at, added] = votes_.emplace(std::make_pair(m.from, m.term), candidate);
    if (!added && at->second != candidate) {
      Fail("node " + Text(m.from) + " voted twice in term " + Text(m.term));
    }
  }
  if (m.kind == MessageKind::kAppendReply && !m.reject && m.log_index) {
    // Raft paper figure 2: durable before answered. The entry itself is compared at the commit.
    const NodeDisk* disk = disk_of_(m.from);
    if (disk != nullptr && disk->last() < m.log_index && disk->snapshot_index() < m.log_index) {
      Fail("node " + Text(m.from) + " acknowledged " + Text(m.log_index) +
           " before it was durable");
    }
  }
}

void Checker::OnPersist(const Core& core, const Persist& batch) {
  for (const Entry& entry : batch.entries) {
    Term previous = core.log().TermAt(entry.index - 1);
    Seen seen{HashOf(entry), previous};
    auto [at, added] = entries_.emplace(std::make_pair(entry.index, entry.term), seen);
    bool knows_previous = previous || entry.index == Index(1);
    if (!added && (at->second.hash != seen.hash ||
                   (knows_previous && at->second.previous_term != previous))) {
      Fail("log matching: entry " + Text(entry.index) + "/" + Text(entry.term) + " on node " +
           Text(core.id()) + " differs");
    }
    if (entry.type != EntryType::kConfig) {
      continue;
    }
    configurations_[{entry.index, entry.term}] =
        DecodeConfigEntry(entry.data).value().configuration;
    // Ongaro's rule for single-step changes (raft-dev, 2015).
    bool own = core.role() == Role::kLeader && entry.term == core.term();
    if (own && core.log().TermAt(core.log().commit()) != core.term()) {
      Fail("node " + Text(core.id()) + " changes the configuration before a commit of its term");
    }
  }
  CheckConfiguration(core);
}

// The configuration in force is the last one in the log, committed or not (thesis 4.1).
void Checker::CheckConfiguration(const Core& core) {
  Configuration expected = core.snapshot().configuration;
  for (auto at = configurations_.rbegin(); at != configurations_.rend(); ++at) {
    const auto& [index, term] = at->first;
    if (index <= core.snapshot().index) {
      break;
    }
    if (index <= core.log().last() && core.log().TermAt(index) == term) {
      expected = at->second;
      break;
    }
  }
  if (core.configuration() != expected) {
    Fail("node " + Text(core.id()) + " uses " + ToString(core.configuration()) + " instead of " +
         ToString(expected));
  }
}

bool Checker::DurableOnMajority(const std::vector<NodeId>& voters, Index index, Term term) const {
  std::size_t holders = 0;
  for (NodeId id : voters) {
    const NodeDisk* disk = disk_of_(id);
    holders += disk != nullptr && disk->Vouches(index, term) ? 1U : 0U;
  }
  return voters.empty() || holders > voters.size() / 2;
}

void Checker::CheckCommit(const Core& core, NodeMemory& memory) {
  Index commit = core.log().commit();
  if (commit < memory.commit) {
    Fail("node " + Text(core.id()) + " rolled its commit index back");
  }
  Index from = std::max(memory.commit, core.log().first() - 1) + 1;
  for (Index i = from; i <= commit; ++i) {
    Term term = core.log().TermAt(i);
    auto [at, added] = committed_terms_.emplace(i, term);
    if (!added && at->second != term) {
      Fail("state machine safety: index " + Text(i) + " committed as term " + Text(at->second) +
           ", on node " + Text(core.id()) + " as " + Text(term));
    }
  }
  memory.commit = commit;
  if (commit <= committed_) {
    return;
  }
  committed_ = commit;
  committed_in_ = std::max(committed_in_, core.term());
  Term term = core.log().TermAt(commit);
  auto durable = [&](const Configuration& c) {
    return DurableOnMajority(c.voters, commit, term) && DurableOnMajority(c.outgoing, commit, term);
  };
  // The configuration may have changed by this very commit.
  if (!durable(core.configuration()) && !durable(core.ConfigurationAt(commit))) {
    Fail("index " + Text(commit) + " committed by node " + Text(core.id()) +
         " without being durable on a majority");
  }
}

void Checker::OnStep(const Core& core) {
  if (!core.fatal().ok()) {
    Fail("node " + Text(core.id()) + " stopped: " + core.fatal().ToString());
    return;
  }
  NodeMemory& memory = memory_[core.id()];
  if (core.term() < memory.term) {
    Fail("node " + Text(core.id()) + " went back to term " + Text(core.term()));
  }
  bool leads = core.role() == Role::kLeader;
  if (leads && (memory.role != Role::kLeader || memory.term != core.term())) {
    auto [at, added] = leaders_.emplace(core.term(), core.id());
    if (!added) {
      Fail("election safety: term " + Text(core.term()) + " has leaders " + Text(at->second) +
           " and " + Text(core.id()));
    }
    // A node may still win a term that has been overtaken; it is bound by what earlier terms did.
    if (core.term() > committed_in_ && committed_ && core.log().first() <= committed_ &&
        core.log().TermAt(committed_) != committed_terms_[committed_]) {
      Fail("leader completeness: node " + Text(core.id()) + " leads term " + Text(core.term()) +
           " without committed index " + Text(committed_));
    }
  } else if (leads && core.log().last() < memory.last) {
    Fail("leader append-only: node " + Text(core.id()) + " cut its log while leading");
  } else if (leads && core.log().commit() > memory.commit &&
             core.log().TermAt(core.log().commit()) != core.term()) {
    Fail("node " + Text(core.id()) + " committed an entry of an earlier term by counting");
  }
  if (core.metrics().entries_truncated != memory.truncated) {
    memory.truncated = core.metrics().entries_truncated;
    CheckConfiguration(core);
  }
  CheckCommit(core, memory);
  memory.term = core.term();
  memory.role = core.role();
  memory.last = core.log().last();
}

void Checker::OnApply(NodeId node, const Machine& machine) {
  Index index = machine.applied();
  auto [at, added] = chains_.emplace(index, machine.chain());
  if (!added && at->second != machine.chain()) {
    Fail("state machine safety: node " + Text(node) + " applied something else up to " +
         Text(index));
  }
  auto committed = committed_terms_.find(index);
  if (committed == committed_terms_.end() || committed->second != machine.applied_term()) {
    Fail("node " + Text(node) + " applied index " + Text(index) + " that is not committed");
  }
  const NodeDisk* disk = disk_of_(node);
  if (disk != nullptr && !disk->Vouches(index, machine.applied_term())) {
    Fail("node " + Text(node) + " applied index " + Text(index) + " before its disk had it");
  }
}

void Checker::OnReadAnswered(NodeId node, Index floor_at_start, Index read_index) {
  if (read_index < floor_at_start) {
    Fail("linearizability: node " + Text(node) + " read at " + Text(read_index) +
         " after an operation at " + Text(floor_at_start) + " had ended");
  }
  OnOperationDone(read_index);
}

}  // namespace pgquorum::raft::sim
