// What the protocol asks its runtime to do.
#pragma once

#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include "cachefusion/message.h"
#include "cachefusion/types.h"

namespace pgquorum::fusion {

enum class ActionType : uint8_t {
  kSend,         // `message`, by the session to message.to
  kSendPage,     // `message` with the bytes of `page` as its data: of its past image when
                 // message.past and message.recover are set, else of its frame
  kInstall,      // message.data are the bytes of `page` now, in version `psn`
  kKeepPast,     // the frame's bytes become the page's past image (replacing an older one)
  kPromotePast,  // the past image becomes the frame
  kDropPage,     // the frame is free
  kDropPast,     // the past image is free
  kReadPage,     // read it into the frame, then PageRead(page, id, psn)
  kReadVersion,  // find the version on disk, then VersionRead(page, id, psn)
  kWritePage,    // write version `psn` safely (double write), then PageWritten(page, psn)
  kFlushRedo,    // make the own redo thread durable up to `redo`, then RedoDurable(address)
  kGranted,      // `id`, a waiter, may use the page in `mode` until Release
  kLockEnded,    // wait `id` is over: `lock_result`, message.lock has owner, resource, mode, value
  kScanRedo,     // repair torn pages from the dead instance's double-write area and read its thread
                 // `thread`, then RedoScanned(thread, id, marks)
  kReplay,       // apply dead redo to `page` (reconfig/redo_merge.h), the base being the newest of
                 // frame, own past image and disk; then Replayed(page, id, psn, psn on disk)
  kRetireRedo,   // thread `thread` is garbage
  kUnfrozen,     // grants are given again
  kRecovered,    // all dead redo of this epoch is applied
  kFenced,       // this instance is no member: stop, touch nothing
};

enum class LockResult : uint8_t {
  kGranted = 0,
  kTimeout = 1,
  kCancelled = 2,
  kDeadlock = 3,
  kNotAvailable = 4,  // no_wait
};

struct Action {
  ActionType type = ActionType::kSend;
  PageId page;
  BlockMode mode = BlockMode::kNull;
  Psn psn;
  uint64_t id = 0;
  RedoAddress redo;
  Incarnation thread;
  LockResult lock_result = LockResult::kGranted;
  Message message;
};

// Collects actions in the order in which they have to be carried out. Messages of an instance to
// itself never leave it.
class Outbox {
 public:
  InstanceId self;
  Epoch epoch;
  std::vector<Action> actions;
  std::deque<Message> loopback;

  void Send(Message message) {
    message.epoch = epoch;
    if (!message.from) {
      message.from = self;
    }
    if (message.to == self) {
      loopback.push_back(std::move(message));
      return;
    }
    Action action;
    action.type = ActionType::kSend;
    action.message = std::move(message);
    actions.push_back(std::move(action));
  }
  // `message` goes to another instance, the runtime adds the bytes of its page.
  void SendPage(Message message) {
    message.epoch = epoch;
    message.from = self;
    Action action;
    action.type = ActionType::kSendPage;
    action.page = message.page;
    action.psn = message.psn;
    action.message = std::move(message);
    actions.push_back(std::move(action));
  }
  Action& Add(ActionType type, PageId page = {}) {
    Action action;
    action.type = type;
    action.page = page;
    actions.push_back(std::move(action));
    return actions.back();
  }
};

}  // namespace pgquorum::fusion

#include "base/pure.h"
