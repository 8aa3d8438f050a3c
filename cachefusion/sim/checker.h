// The promises, checked on what instances do and hold. Shares no code with the protocol: it knows
// the true history of every page and of every value block.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "cachefusion/instance.h"
#include "cachefusion/sim/storage.h"

namespace pgquorum::fusion::sim {

std::string Name(PageId page);

class Checker {
 public:
  // --- pages ---
  void Changed(Incarnation life, PageId page, Content before, Content after);
  // Redo up to `durable` of this life is on disk: acknowledged.
  void Durable(Incarnation life, const Thread& thread);
  // All redo of the life that was not durable is gone.
  void Lost(Incarnation life);
  // I2, I4: what leaves an instance is the one content of its version, and has durable redo.
  void Exposed(PageId page, Content content, const char* what) const;
  // I9: a user sees the newest version.
  void Used(PageId page, Content content) const;
  Content Latest(PageId page) const;
  // I6 and the rule of retiring: the disk has at least this version.
  static void OnDisk(const Storage& storage, PageId page, Psn psn, const char* what);
  // I1 over the instances given.
  static void Modes(const std::vector<const Instance*>& instances, PageId page);
  // I5, when nothing is under way.
  static void DirectoryCovers(const std::vector<Instance*>& instances);

  // --- locks ---
  void LockGranted(const std::vector<const Instance*>& instances, const LockPart& lock);
  // `late`: by a holder that is evicted and still in the membership that it knows. Others may see
  // the value or not.
  void ValueWritten(ResourceId resource, const std::array<char, LockValue::kSize>& bytes,
                    bool late);
  // An evicted holder gives its lock up without a change: the value stands after all.
  void ReleasedLate(ResourceId resource);
  // The life ended with these locks.
  void HolderDied(const LockClient& locks);
  // Order of queues, from one state of a master to the next.
  void Queues(const Instance& master);
  void ForgetQueues(InstanceId master) { queues_.erase(master); }
  // Remembers which waits are in a cycle now.
  void Cycles(const std::vector<const Instance*>& instances);
  void Victim(WaitId wait) const;
  void WaitBegins(WaitId wait);
  void WaitEnds(WaitId wait);
  std::size_t waits() const { return waits_.size(); }

 private:
  struct Version {
    uint64_t value = 0;
    bool durable = false;
    Incarnation life;
  };
  struct Truth {
    std::array<char, LockValue::kSize> bytes{};
    bool tainted = false;
    bool written = false;
    std::set<std::array<char, LockValue::kSize>> late;
  };
  struct Queue {
    std::set<LockOwner> holders;
    std::vector<LockWaiter> converting;
    std::vector<LockWaiter> waiting;
  };
  static void Order(const std::vector<LockWaiter>& before, const std::vector<LockWaiter>& now,
                    const Queue& then, const LockQueue& queue);

  std::map<PageId, std::map<Psn, Version>> history_;
  std::map<ResourceId, Truth> values_;
  std::map<InstanceId, std::pair<Epoch, std::map<ResourceId, Queue>>> queues_;
  std::set<WaitId> in_cycle_;
  std::set<WaitId> waits_;
};

}  // namespace pgquorum::fusion::sim

#include "base/pure.h"
