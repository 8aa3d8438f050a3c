#include "cachefusion/sim/world.h"

#include <utility>

#include "base/check.h"
#include "cachefusion/sim/violation.h"

#include "base/pure.h"

namespace pgquorum::fusion::sim {
namespace {

constexpr uint64_t kChaosTime = 3000;
constexpr uint64_t kQuietTime = 20'000;
constexpr unsigned kSegments = 3;
constexpr unsigned kBlocks = 3;

[[noreturn]] void CheckBroken(const char* file, int line, const char* condition) {
  Violated(std::string("check failed: ") + file + ":" + std::to_string(line) + ": " + condition);
}

}  // namespace

World::World(uint64_t seed, const WorldBugs& bugs, Coverage& coverage, bool trace)
    : bugs_(bugs), coverage_(coverage), trace_(trace), random_(seed) {
  plan_.instances = static_cast<unsigned>(random_.Between(2, 4));
  plan_.loss = static_cast<unsigned>(random_.Below(3) == 0 ? 0 : random_.Between(1, 12));
  plan_.doubled = static_cast<unsigned>(random_.Below(8));
  plan_.think = random_.Between(5, 60);
  plan_.directory = random_.Chance(1, 3) ? random_.Between(3, 5) : 1000;
  plan_.locks = random_.Chance(2, 3);
  plan_.pages = !plan_.locks || random_.Chance(2, 3);
}

void World::At(uint64_t delay, std::function<void()> run) {
  events_.push({now_ + delay, next_order_++, std::move(run)});
}

World::Node* World::Find(InstanceId id, Incarnation life) {
  auto found = nodes_.find(id);
  return found != nodes_.end() && found->second->life == life ? found->second.get() : nullptr;
}

void World::AtNode(Node& node, uint64_t delay, std::function<void(Node&)> run) {
  At(delay, [this, id = node.id, life = node.life, run = std::move(run)] {
    Node* there = Find(id, life);
    if (there == nullptr) {
      return;
    }
    if (there->paused) {
      there->deferred.push_back(run);
      return;
    }
    run(*there);
  });
}

void World::Trace(const Node& node, const std::string& text) const {
  if (trace_) {
    std::printf(
        "%6llu  %u.%llu e%llu  %s\n", static_cast<unsigned long long>(now_),
        static_cast<unsigned>(node.id.value()), static_cast<unsigned long long>(node.life.value()),
        static_cast<unsigned long long>(node.core ? node.core->epoch().value() : 0), text.c_str());
  }
}

// Instances that count: evicted ones may believe what they like.
std::vector<const Instance*> World::Living() const {
  std::vector<const Instance*> living;
  for (const auto& [id, node] : nodes_) {
    if (!storage_.fenced.contains(node->life)) {
      living.push_back(node->core.get());
    }
  }
  return living;
}

PageId World::RandomPage(const Node& node) {
  // Each instance has a segment that it likes, so that buckets have a reason to move.
  uint64_t liked = node.id.value() % kSegments;
  uint64_t segment = random_.Chance(1, 2) ? liked : random_.Below(kSegments);
  return {segment + 1, static_cast<uint32_t>(random_.Below(kBlocks))};
}

// What an instance does by itself, again and again while there is chaos.
void World::Background(InstanceId id, Incarnation life) {
  Node* node = Find(id, life);
  if (node == nullptr || node->core->fenced()) {
    return;
  }
  if (!node->paused) {
    switch (chaos_ ? random_.Below(10) : random_.Below(2)) {
      case 0:
        node->core->blocks().Write(RandomPage(*node));
        Apply(*node);
        break;
      case 1:
        Checkpoint(*node);
        break;
      case 2:
      case 3:
        if (node->core->blocks().Evict(RandomPage(*node)) == EvictResult::kGone) {
          coverage_.Hit(Point::kEvicted);
        }
        Apply(*node);
        break;
      default:
        if (plan_.pages) {
          UsePage(*node);
        }
        if (plan_.locks && node->lock_users.size() < 3 && random_.Chance(1, 3)) {
          StartLockUser(*node);
        }
    }
  }
  At(random_.Between(1, plan_.think), [this, id, life] { Background(id, life); });
}

// Why there is no rest yet; empty: there is.
std::string World::Restless() const {
  if (nodes_.empty() || !storage_.dead.empty()) {
    return "dead redo is not retired";
  }
  for (const auto& [id, node] : nodes_) {
    std::string who = " at instance " + std::to_string(id.value());
    const Instance& core = *node->core;
    if (core.epoch() != membership_.epoch || core.frozen()) {
      return "not unfrozen" + who;
    }
    if (core.recovery().phase() != Recovery::Phase::kIdle) {
      return "recovery has not ended" + who;
    }
    if (!node->uses.empty()) {
      return "a page is waited for" + who + ": " + Name(node->uses.begin()->second.page);
    }
    if (!node->lock_users.empty() || !core.locks().locks().empty()) {
      return "locks are waited for" + who;
    }
    if (!node->writing.empty()) {
      return "a write has not ended" + who;
    }
    for (const auto& [peer, session] : node->sessions) {
      if (session.unacknowledged() > 0) {
        return "messages are not acknowledged" + who;
      }
    }
  }
  return checker_.waits() == 0 ? "" : "a wait has not ended";
}

void World::CheckQuiescence() {
  std::vector<Instance*> all;
  for (const auto& [id, node] : nodes_) {
    all.push_back(node->core.get());
  }
  Checker::DirectoryCovers(all);
  for (uint64_t segment = 1; segment <= kSegments; ++segment) {
    for (uint32_t block = 0; block < kBlocks; ++block) {
      PageId page{segment, block};
      Checker::Modes(Living(), page);
      bool held = false;
      for (const auto& [id, node] : nodes_) {
        const Frame* frame = node->core->blocks().Find(page);
        if (frame != nullptr && frame->mode != BlockMode::kNull) {
          held = true;
          checker_.Used(page, node->frames[page]);
        }
      }
      if (!held) {
        checker_.Used(page, ReadDisk(*nodes_.begin()->second, page));
      }
    }
  }
}

void World::Count(Node& node) {
  const HolderCounters& holder = node.core->blocks().counters();
  const MasterCounters& master = node.core->block_master().counters();
  coverage_.Hit(Point::kUpgrade, holder.upgrades);
  coverage_.Hit(Point::kPastKept, holder.past_kept);
  coverage_.Hit(Point::kPastDropped, holder.past_dropped);
  coverage_.Hit(Point::kShipAfterFlush, holder.shipped_after_flush);
  coverage_.Hit(Point::kShipDurable, holder.shipped_durable);
  coverage_.Hit(Point::kGrantDisk, master.granted_from_disk);
  coverage_.Hit(Point::kShipped, master.shipped);
  coverage_.Hit(Point::kRestarted, master.restarted);
  coverage_.Hit(Point::kRecalled, master.recalled);
  coverage_.Hit(Point::kWaitedForRoom, master.waited_for_room);
  coverage_.Hit(Point::kAdoptedShared, master.adopted_shared);
  coverage_.Hit(Point::kAdoptedPast, master.adopted_past);
  coverage_.Hit(Point::kRemastered, node.core->remastered());
  coverage_.Hit(Point::kPassedOn, node.core->passed_on());
  coverage_.Hit(Point::kLockWaited, node.core->lock_master().counters().granted_later);
}

std::string World::Run() {
  CheckFailureHandler before = SetCheckFailureHandler(CheckBroken);
  std::string failure;
  try {
    for (unsigned i = 1; i <= plan_.instances; ++i) {
      members_wanted_.Add(InstanceId(static_cast<uint8_t>(i)));
    }
    for (unsigned i = 0; i < plan_.instances; ++i) {
      Join();
    }
    At(random_.Between(50, 300), [this] { Fate(); });
    bool idle = false;
    while (!events_.empty() && now_ < kChaosTime + kQuietTime && !idle) {
      Event event = events_.top();
      events_.pop();
      now_ = event.time;
      chaos_ = chaos_ && now_ < kChaosTime;
      ++executed_;
      event.run();
      idle = !chaos_ && executed_ % 16 == 0 && Restless().empty();
    }
    if (!idle) {
      Violated("I7: no rest: " + Restless());
    }
    CheckQuiescence();
    for (const auto& [id, node] : nodes_) {
      Count(*node);
    }
  } catch (const Violation& violation) {
    failure = violation.text;
  }
  SetCheckFailureHandler(before);
  return failure;
}

}  // namespace pgquorum::fusion::sim
