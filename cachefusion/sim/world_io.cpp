// Carrying out what instances ask for: messages, bytes of pages, redo, disk.
#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "cachefusion/reconfig/redo_merge.h"
#include "cachefusion/sim/violation.h"
#include "cachefusion/sim/world.h"
#include "cachefusion/wire/codec.h"

#include "base/pure.h"

namespace pgquorum::fusion::sim {
namespace {

std::string ToBytes(Content content) {
  ByteWriter out;
  out.U64(content.psn.value());
  out.U64(content.value);
  return std::move(out).Take();
}

Content FromBytes(const std::string& bytes) {
  ByteReader in(bytes);
  Psn psn(in.U64());
  return {psn, in.U64()};
}

}  // namespace

void World::Apply(Node& node) {
  std::vector<Action> actions = node.core->Take();
  for (Action& action : actions) {
    Do(node, action);
  }
  if (plan_.locks) {
    CheckLocks(node);
  }
}

void World::Do(Node& node, Action& action) {
  switch (action.type) {
    case ActionType::kSend:
      SendTo(node, action.message);
      return;
    case ActionType::kReadVersion:
      AtNode(node, random_.Between(5, 30), [this, page = action.page, id = action.id](Node& n) {
        n.core->VersionRead(page, id, ReadDisk(n, page).psn);
        Apply(n);
      });
      return;
    case ActionType::kFlushRedo:
      StartFlush(node);
      return;
    case ActionType::kGranted:
      PageGranted(node, action.id);
      return;
    case ActionType::kLockEnded:
      LockEnded(node, action);
      return;
    case ActionType::kScanRedo:
      AtNode(node, random_.Between(10, 80),
             [this, thread = action.thread, id = action.id](Node& n) { Scan(n, thread, id); });
      return;
    case ActionType::kReplay:
      AtNode(node, random_.Between(5, 60),
             [this, page = action.page, id = action.id](Node& n) { Replay(n, page, id); });
      return;
    case ActionType::kRetireRedo: {
      for (const Record& record : storage_.threads[action.thread].records) {
        Checker::OnDisk(storage_, record.page, record.psn_after, "retired redo of");
      }
      coverage_.Hit(Point::kRetired);
      storage_.dead.erase(action.thread);
      storage_.threads.erase(action.thread);
      return;
    }
    case ActionType::kUnfrozen:
      Trace(node, "unfrozen");
      return;
    case ActionType::kRecovered:
    case ActionType::kFenced:
      return;
    default:
      DoBytes(node, action);
  }
}

void World::DoBytes(Node& node, Action& action) {
  PageId page = action.page;
  if (trace_) {
    Trace(node, "action " + std::to_string(static_cast<int>(action.type)) + " page " + Name(page) +
                    " psn " + std::to_string(action.psn.value()));
  }
  switch (action.type) {
    case ActionType::kSendPage: {
      bool past = action.message.past && action.message.recover;
      Content content = past ? node.pasts.at(page) : node.frames.at(page);
      if (!storage_.fenced.contains(node.life)) {
        checker_.Exposed(page, content, "ship");
      }
      action.message.data = ToBytes(content);
      SendTo(node, action.message);
      return;
    }
    case ActionType::kInstall:
      node.frames[page] = FromBytes(action.message.data);
      Checker::Modes(Living(), page);
      return;
    case ActionType::kKeepPast:
      node.pasts[page] = node.frames.at(page);
      node.frames.erase(page);
      return;
    case ActionType::kPromotePast:
      node.frames[page] = node.pasts.at(page);
      node.pasts.erase(page);
      return;
    case ActionType::kDropPage:
      node.frames.erase(page);
      return;
    case ActionType::kDropPast:
      if (!storage_.fenced.contains(node.life)) {
        Checker::OnDisk(storage_, page, node.pasts.at(page).psn, "dropped past image");
      }
      node.pasts.erase(page);
      return;
    case ActionType::kReadPage:
      AtNode(node, random_.Between(5, 30), [this, page, id = action.id](Node& n) {
        const Frame* frame = n.core->blocks().Find(page);
        if (frame == nullptr || frame->reading != id) {
          return;
        }
        n.frames[page] = ReadDisk(n, page);
        n.core->blocks().PageRead(page, id, n.frames[page].psn);
        Checker::Modes(Living(), page);
        Apply(n);
      });
      return;
    default:
      WriteToDisk(node, page, action.psn);
  }
}

void World::SendTo(Node& node, const Message& message) {
  if (trace_) {
    std::string what = "sends " + std::to_string(static_cast<int>(message.type)) + " to " +
                       std::to_string(message.to.value());
    if (message.lock.owner) {
      what += " resource " + std::to_string(message.lock.resource.space) + "/" +
              std::to_string(message.lock.resource.key) + " owner " +
              std::to_string(AgeOf(message.lock.owner)) + " wait " +
              std::to_string(message.lock.wait.value()) + " mode " +
              std::to_string(static_cast<int>(message.lock.mode)) +
              (message.lock.release ? " release" : "");
    } else {
      what += " page " + Name(message.page) + " mode " +
              std::to_string(static_cast<int>(message.mode)) + " psn " +
              std::to_string(message.psn.value()) + " conv " + std::to_string(message.conversion) +
              (message.dirty ? " dirty" : "") + (message.past ? " past" : "");
    }
    Trace(node, what);
  }
  auto session = node.sessions.find(message.to);
  if (session == node.sessions.end()) {
    Violated("a message to a stranger");
  }
  std::vector<Datagram> out;
  session->second.Send(EncodeMessage(message), out);
  for (const Datagram& datagram : out) {
    Transmit(datagram);
  }
}

void World::Transmit(const Datagram& datagram) {
  if (random_.Chance(plan_.loss, 100)) {
    coverage_.Hit(Point::kLost);
    return;
  }
  int copies = random_.Chance(plan_.doubled, 100) ? 2 : 1;
  if (copies == 2) {
    coverage_.Hit(Point::kDoubled);
  }
  for (int i = 0; i < copies; ++i) {
    uint64_t delay = random_.Chance(1, 20) ? random_.Between(10, 120) : random_.Between(1, 10);
    At(delay, [this, datagram] { Arrive(datagram); });
  }
}

void World::Arrive(const Datagram& datagram) {
  auto found = nodes_.find(datagram.to);
  if (found == nodes_.end() || found->second->paused) {
    return;
  }
  Node& node = *found->second;
  auto session = node.sessions.find(datagram.from);
  std::vector<std::string> delivered;
  session->second.Receive(datagram, delivered);
  for (const std::string& bytes : delivered) {
    Result<Message> message = DecodeMessage(bytes);
    if (!message.ok()) {
      Violated("a message does not decode");
    }
    if (Find(datagram.to, datagram.to_life) == nullptr) {
      return;
    }
    node.core->Deliver(message.value());
    Apply(node);
  }
}

void World::Tick(Node& node) {
  std::vector<Datagram> out;
  for (auto& [peer, session] : node.sessions) {
    session.Tick(out);
  }
  for (const Datagram& datagram : out) {
    Transmit(datagram);
  }
  node.core->Tick();
  Apply(node);
  AtNode(node, 25, [this](Node& n) { Tick(n); });
}

Content World::ReadDisk(const Node& node, PageId page) const {
  auto found = storage_.pages.find(page);
  if (found == storage_.pages.end()) {
    return {};
  }
  if (found->second.torn && !storage_.fenced.contains(node.life)) {
    Violated("a torn page is read: " + Name(page));
  }
  return found->second.content;
}

// True: the storage knows this life as evicted. It finds out now, and stops.
bool World::Refused(Node& node) {
  if (!storage_.fenced.contains(node.life)) {
    return false;
  }
  coverage_.Hit(Point::kZombieRefused);
  Trace(node, "refused by the storage");
  At(0, [this, id = node.id, life = node.life] {
    if (Node* there = Find(id, life)) {
      Crash(*there);
    }
  });
  return true;
}

void World::StartFlush(Node& node) {
  if (node.flushing) {
    return;
  }
  node.flushing = true;
  AtNode(node, random_.Between(3, 25), [this](Node& n) {
    n.flushing = false;
    if (Refused(n)) {
      return;
    }
    Thread& thread = storage_.threads[n.life];
    thread.durable = thread.next - 1;
    checker_.Durable(n.life, thread);
    n.core->blocks().RedoDurable(thread.durable);
    Apply(n);
  });
}

// Double write, then in place; the page is torn in between.
void World::WriteToDisk(Node& node, PageId page, Psn psn) {
  Content content = node.frames.at(page);
  bool zombie = storage_.fenced.contains(node.life);
  if (!zombie && content.psn == psn) {
    checker_.Exposed(page, content, "write");
  }
  node.writing[page] = content;
  // Now and then a write takes so long that others could change, and write, the page meanwhile.
  uint64_t slow = random_.Chance(1, 10) ? random_.Between(50, 250) : random_.Between(2, 15);
  AtNode(node, slow, [this, page, content](Node& n) {
    bool refused = !bugs_.zombie_writes && Refused(n);
    if (refused) {
      return;
    }
    storage_.double_write[n.life][page] = content;
    AtNode(n, random_.Between(1, 10), [this, page, content](Node& m) {
      if (!bugs_.zombie_writes && Refused(m)) {
        return;
      }
      if (storage_.fenced.contains(m.life)) {
        Violated("I8: a write by an evicted incarnation");
      }
      storage_.pages[page] = {content, true};
      AtNode(m, random_.Between(1, 10), [this, page, content](Node& k) {
        if (!bugs_.zombie_writes && Refused(k)) {
          return;
        }
        storage_.pages[page] = {content, false};
        k.writing.erase(page);
        k.core->blocks().PageWritten(page, content.psn);
        Apply(k);
      });
    });
  });
}

void World::Scan(Node& node, Incarnation thread, uint64_t id) {
  for (const auto& [page, content] : storage_.double_write[thread]) {
    DiskPage& on_disk = storage_.pages[page];
    if (on_disk.torn && on_disk.content == content && !bugs_.no_double_write) {
      on_disk.torn = false;
      coverage_.Hit(Point::kTornRepaired);
    }
  }
  MarkCollector marks;
  for (const Record& record : storage_.threads[thread].records) {
    marks.Add(record.page, record.psn_after);
  }
  node.core->RedoScanned(thread, id, marks.Marks());
  Apply(node);
}

void World::Replay(Node& node, PageId page, uint64_t id) {
  const Frame* frame = node.core->blocks().Find(page);
  if (frame == nullptr || frame->reading != id) {
    return;
  }
  Content base = ReadDisk(node, page);
  Psn on_disk = base.psn;
  for (const auto* more : {&node.frames, &node.pasts}) {
    auto content = more->find(page);
    if (content != more->end() && content->second.psn > base.psn) {
      base = content->second;
      coverage_.Hit(Point::kReplayOnPast);
    }
  }
  std::vector<Record> records;
  std::size_t threads = 0;
  for (Incarnation dead : node.membership.dead_threads) {
    if (bugs_.replay_one_thread && dead != node.membership.dead_threads.back()) {
      continue;
    }
    std::size_t before = records.size();
    for (const Record& record : storage_.threads[dead].records) {
      if (record.page == page) {
        records.push_back(record);
      }
    }
    threads += records.size() > before ? 1 : 0;
  }
  Content content = base;
  Result<Psn> reached = ReplayPage(base.psn, std::move(records), [&](const Record& record) {
    content = {record.psn_after, record.value_after};
  });
  if (!reached.ok()) {
    Violated("I3: " + reached.status().ToString() + " page " + Name(page));
  }
  coverage_.Hit(Point::kReplayed);
  coverage_.Hit(Point::kReplayMerged, threads > 1 ? 1 : 0);
  Trace(node, "replayed " + Name(page) + " to " + std::to_string(content.psn.value()));
  node.frames[page] = content;
  if (!storage_.fenced.contains(node.life)) {
    checker_.Used(page, content);
  }
  node.core->Replayed(page, id, content.psn, on_disk);
  Checker::Modes(Living(), page);
  Apply(node);
}

void World::Checkpoint(Node& node) {
  if (storage_.fenced.contains(node.life)) {
    return;
  }
  Thread& thread = storage_.threads[node.life];
  RedoAddress needed = node.core->blocks().CheckpointAddress();
  while (!thread.records.empty()) {
    const Record& record = thread.records.front();
    if (record.at > thread.durable || (needed && record.at >= needed)) {
      break;
    }
    Checker::OnDisk(storage_, record.page, record.psn_after, "redo given up of");
    thread.records.pop_front();
    coverage_.Hit(Point::kCheckpoint);
  }
}

}  // namespace pgquorum::fusion::sim
