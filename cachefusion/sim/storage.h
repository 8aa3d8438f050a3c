// The shared storage of a simulated world: pages that can be torn, a double-write area and a redo
// thread for each life, and the fence.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <set>

#include "cachefusion/types.h"

namespace pgquorum::fusion::sim {

struct Content {
  Psn psn;
  uint64_t value = 0;

  bool operator==(const Content&) const = default;
};

struct Record {
  RedoAddress at;
  PageId page;
  Psn psn_before;
  Psn psn_after;
  uint64_t value_after = 0;
};

struct Thread {
  std::deque<Record> records;
  RedoAddress durable;
  RedoAddress next{1};
};

struct DiskPage {
  Content content;
  bool torn = false;
};

struct Storage {
  std::map<PageId, DiskPage> pages;
  std::map<Incarnation, std::map<PageId, Content>> double_write;
  std::map<Incarnation, Thread> threads;
  std::set<Incarnation> dead;    // threads that are not retired
  std::set<Incarnation> fenced;  // lives whose writes are refused
};

}  // namespace pgquorum::fusion::sim

#include "base/pure.h"
