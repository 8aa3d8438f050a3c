#include "cachefusion/ges/deadlock.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

#include "cachefusion/bug.h"

#include "base/pure.h"

namespace pgquorum::fusion {
namespace {

using Edges = std::multimap<LockOwner, WaitEdge>;

struct Step {
  WaitEdge edge;  // by which `owner` was reached
  LockOwner owner;
  Edges::const_iterator next;
};

}  // namespace

// Depth first without recursion: a chain of waits may be long.
std::vector<WaitEdge> FindCycle(const std::set<WaitEdge>& edges) {
  Edges by_waiter;
  for (const WaitEdge& edge : edges) {
    by_waiter.emplace(edge.waiter, edge);
  }
  std::set<LockOwner> done;
  for (const auto& [start, unused] : by_waiter) {
    if (done.contains(start)) {
      continue;
    }
    std::vector<Step> path{{WaitEdge(), start, by_waiter.lower_bound(start)}};
    std::set<LockOwner> on_path{start};
    while (!path.empty()) {
      Step& step = path.back();
      if (step.next == by_waiter.end() || step.next->first != step.owner) {
        done.insert(step.owner);
        on_path.erase(step.owner);
        path.pop_back();
        continue;
      }
      WaitEdge edge = step.next->second;
      ++step.next;
      if (on_path.contains(edge.holder)) {
        std::vector<WaitEdge> cycle{edge};
        for (auto back = path.rbegin(); back->owner != edge.holder; ++back) {
          cycle.push_back(back->edge);
        }
        return cycle;
      }
      if (!done.contains(edge.holder)) {
        on_path.insert(edge.holder);
        path.push_back({edge, edge.holder, by_waiter.lower_bound(edge.holder)});
      }
    }
  }
  return {};
}

void DeadlockDetector::Reset(InstanceSet members) {
  members_ = members;
  missing_ = InstanceSet();
  current_.clear();
  previous_.clear();
  ending_.clear();
}

bool DeadlockDetector::StartRound() {
  if (!missing_.empty()) {
    return false;
  }
  ++round_;
  missing_ = members_;
  previous_ = std::move(current_);
  current_.clear();
  return true;
}

std::vector<DeadlockVictim> DeadlockDetector::AddEdges(InstanceId from, uint64_t round,
                                                       const std::vector<WaitEdge>& edges,
                                                       const std::vector<LockReport>& ending) {
  if (round != round_ || !missing_.Has(from)) {
    return {};
  }
  missing_.Remove(from);
  current_.insert(edges.begin(), edges.end());
  for (const LockReport& report : ending) {
    ending_.emplace(report.resource, report.owner);
  }
  if (!missing_.empty()) {
    return {};
  }
  if (PGQUORUM_FUSION_BUG(kVictimAfterOneSample)) {
    return Victims(current_);
  }
  std::erase_if(current_, [this](const WaitEdge& edge) {
    return ending_.contains({edge.resource, edge.holder}) ||
           ending_.contains({edge.resource, edge.waiter});
  });
  ending_.clear();
  std::set<WaitEdge> lasting;
  std::set_intersection(current_.begin(), current_.end(), previous_.begin(), previous_.end(),
                        std::inserter(lasting, lasting.end()));
  return Victims(std::move(lasting));
}

std::vector<DeadlockVictim> DeadlockDetector::Victims(std::set<WaitEdge> edges) const {
  std::vector<DeadlockVictim> victims;
  for (std::vector<WaitEdge> cycle = FindCycle(edges); !cycle.empty(); cycle = FindCycle(edges)) {
    WaitEdge youngest =
        *std::max_element(cycle.begin(), cycle.end(), [](const WaitEdge& a, const WaitEdge& b) {
          return std::pair(AgeOf(a.waiter), a.waiter) < std::pair(AgeOf(b.waiter), b.waiter);
        });
    victims.push_back({youngest.waiter, youngest.wait});
    std::erase_if(edges, [&](const WaitEdge& e) { return e.waiter == youngest.waiter; });
  }
  return victims;
}

}  // namespace pgquorum::fusion
