#include "raftlog/membership.h"

#include <algorithm>
#include <set>
#include <utility>

#include "raftlog/codec.h"
#include "raftlog/errors.h"

#include "base/pure.h"

namespace pgquorum::raft {
namespace {

using Nodes = std::vector<NodeId>;

void Insert(Nodes& set, NodeId id) {
  auto at = std::lower_bound(set.begin(), set.end(), id);
  if (at == set.end() || *at != id) {
    set.insert(at, id);
  }
}

void Erase(Nodes& set, NodeId id) {
  auto at = std::lower_bound(set.begin(), set.end(), id);
  if (at != set.end() && *at == id) {
    set.erase(at);
  }
}

std::string Name(NodeId id) {
  return "node " + std::to_string(id.value());
}

Status Bad(std::string reason) {
  return Status::Error(kErrBadChange, "configuration change refused").WithDetail(std::move(reason));
}

// One change on a simple configuration, as if it took effect at once.
Status ApplyOne(Configuration& c, const ConfigChange& change) {
  NodeId id = change.node;
  bool voter = Configuration::Contains(c.voters, id);
  switch (change.kind) {
    case ChangeKind::kAddVoter:
      if (voter && !c.IsWitness(id)) {
        return Bad(Name(id) + " is already a voter");
      }
      Insert(c.voters, id);
      Erase(c.learners, id);
      Erase(c.witnesses, id);
      return Status::Ok();
    case ChangeKind::kAddLearner:
      if (c.IsLearner(id)) {
        return Bad(Name(id) + " is already a learner");
      }
      Erase(c.voters, id);
      Erase(c.witnesses, id);
      Insert(c.learners, id);
      return Status::Ok();
    case ChangeKind::kAddWitness:
      if (voter && c.IsWitness(id)) {
        return Bad(Name(id) + " is already a witness");
      }
      Insert(c.voters, id);
      Erase(c.learners, id);
      Insert(c.witnesses, id);
      return Status::Ok();
    case ChangeKind::kRemove:
      if (!c.IsMember(id)) {
        return Bad(Name(id) + " is not a member");
      }
      Erase(c.voters, id);
      Erase(c.learners, id);
      Erase(c.witnesses, id);
      return Status::Ok();
  }
  return Bad("unknown kind of change");
}

Status CheckSet(const Nodes& set, const char* name) {
  if (set.size() > kMaxNodesPerSet) {
    return Bad(std::string("too many ") + name);
  }
  for (std::size_t i = 0; i < set.size(); ++i) {
    if (!set[i] || (i > 0 && set[i] <= set[i - 1])) {
      return Bad(std::string(name) + " are not sorted and distinct");
    }
  }
  return Status::Ok();
}

std::string ListOf(const Nodes& set) {
  std::string text = "(";
  for (NodeId id : set) {
    text += (text.size() > 1 ? " " : "") + std::to_string(id.value());
  }
  return text + ")";
}

}  // namespace

Status Validate(const Configuration& c) {
  const std::pair<const Nodes*, const char*> sets[] = {{&c.voters, "voters"},
                                                       {&c.outgoing, "outgoing voters"},
                                                       {&c.learners, "learners"},
                                                       {&c.learners_next, "next learners"},
                                                       {&c.witnesses, "witnesses"}};
  for (const auto& [set, name] : sets) {
    Status status = CheckSet(*set, name);
    if (!status.ok()) {
      return status;
    }
  }
  if (c.voters.empty()) {
    return Bad("no voter would remain");
  }
  if (std::all_of(c.voters.begin(), c.voters.end(), [&](NodeId id) { return c.IsWitness(id); })) {
    return Bad("only witnesses would remain as voters");
  }
  for (NodeId id : c.learners) {
    if (c.IsVoter(id)) {
      return Bad(Name(id) + " is a learner and a voter");
    }
  }
  for (NodeId id : c.learners_next) {
    if (!Configuration::Contains(c.outgoing, id) || Configuration::Contains(c.voters, id)) {
      return Bad(Name(id) + " becomes a learner but is not an outgoing voter only");
    }
  }
  for (NodeId id : c.witnesses) {
    if (!c.IsVoter(id)) {
      return Bad(Name(id) + " is a witness but not a voter");
    }
  }
  if (c.auto_leave && !c.joint()) {
    return Bad("only a joint configuration is left");
  }
  return Status::Ok();
}

Result<Configuration> ApplyChanges(const Configuration& current,
                                   const std::vector<ConfigChange>& changes) {
  if (current.joint()) {
    return Bad("the present configuration is joint");
  }
  if (changes.empty()) {
    return Bad("no change is named");
  }
  std::set<NodeId> named;
  Configuration target = current;
  for (const ConfigChange& change : changes) {
    if (!change.node) {
      return Bad("node 0 does not exist");
    }
    if (!named.insert(change.node).second) {
      return Bad(Name(change.node) + " is named twice");
    }
    Status status = ApplyOne(target, change);
    if (!status.ok()) {
      return status;
    }
  }
  Nodes moved;
  std::set_symmetric_difference(current.voters.begin(), current.voters.end(), target.voters.begin(),
                                target.voters.end(), std::back_inserter(moved));
  if (moved.size() > 1) {
    target.outgoing = current.voters;
    target.auto_leave = true;
    // An outgoing voter keeps voting until the joint configuration is left: no learner before.
    for (NodeId id : Nodes(target.learners)) {
      if (Configuration::Contains(target.outgoing, id)) {
        Erase(target.learners, id);
        Insert(target.learners_next, id);
      }
    }
    for (NodeId id : current.witnesses) {
      if (Configuration::Contains(target.outgoing, id) &&
          !Configuration::Contains(target.voters, id)) {
        Insert(target.witnesses, id);
      }
    }
  }
  Status status = Validate(target);
  if (!status.ok()) {
    return status;
  }
  return target;
}

Result<Configuration> LeaveJoint(const Configuration& joint) {
  if (!joint.joint()) {
    return Bad("the present configuration is not joint");
  }
  Configuration simple = joint;
  simple.outgoing.clear();
  simple.auto_leave = false;
  for (NodeId id : joint.learners_next) {
    Insert(simple.learners, id);
  }
  simple.learners_next.clear();
  for (NodeId id : joint.witnesses) {
    if (!Configuration::Contains(simple.voters, id)) {
      Erase(simple.witnesses, id);
    }
  }
  Status status = Validate(simple);
  if (!status.ok()) {
    return status;
  }
  return simple;
}

std::string ToString(const Configuration& c) {
  std::string text = "voters=" + ListOf(c.voters);
  if (c.joint()) {
    text += "&&" + ListOf(c.outgoing);
  }
  if (!c.learners.empty()) {
    text += " learners=" + ListOf(c.learners);
  }
  if (!c.learners_next.empty()) {
    text += " learners_next=" + ListOf(c.learners_next);
  }
  if (!c.witnesses.empty()) {
    text += " witnesses=" + ListOf(c.witnesses);
  }
  if (c.auto_leave) {
    text += " auto_leave";
  }
  return text;
}

}  // namespace pgquorum::raft
