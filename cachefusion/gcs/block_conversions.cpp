// The kinds of conversion.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "cachefusion/bug.h"
#include "cachefusion/gcs/block_master.h"

#include "base/pure.h"

namespace pgquorum::fusion {

void BlockMaster::Begin(Entry& entry) {
  Conversion& conversion = *entry.work->active;
  switch (conversion.request.type) {
    case MessageType::kWriteRequest:
      BeginWrite(entry, conversion);
      return;
    case MessageType::kRecall:
      BeginRecall(entry, conversion);
      return;
    case MessageType::kRecover:
      BeginRecover(entry, conversion);
      return;
    default:
      PGQUORUM_CHECK(conversion.request.type == MessageType::kRequest);
      BeginBlock(entry, conversion);
  }
}

void BlockMaster::BeginBlock(Entry& entry, Conversion& conversion) {
  InstanceId requester = conversion.request.from;
  conversion.in_place = entry.owner == requester || entry.sharers.Has(requester);
  if (conversion.in_place) {
    conversion.source = requester;
  } else {
    conversion.source = entry.owner ? entry.owner : entry.sharers.First();
  }
  if (conversion.request.mode == BlockMode::kExclusive) {
    // The source was chosen first: invalidating must not destroy the last copy.
    InstanceSet others = entry.sharers;
    others.Add(entry.owner);
    others.Remove(requester);
    others.Remove(conversion.source);
    conversion.waiting = others;
    conversion.step = Conversion::Step::kInvalidating;
    others.ForEach([&](InstanceId holder) {
      ++counters_.invalidations;
      SendTo(holder, MessageType::kInvalidate, entry);
    });
    if (PGQUORUM_FUSION_BUG(kNoInvalidateWait)) {
      conversion.waiting = InstanceSet();
    }
  }
  if (conversion.waiting.empty()) {
    MoveOn(entry);
  }
}

void BlockMaster::MoveOn(Entry& entry) {
  Conversion& conversion = *entry.work->active;
  if (conversion.request.type == MessageType::kRecall) {
    // Nobody owns it: the disk is current, and newer than every past image.
    for (const PastHolder& past : entry.pasts) {
      SendTo(past.instance, MessageType::kOnDisk, entry, {}, past.psn);
    }
    entry.pasts.clear();
    Finish(entry);
    return;
  }
  conversion.step = Conversion::Step::kMoving;
  InstanceId requester = conversion.request.from;
  BlockMode mode = conversion.request.mode;
  if (conversion.in_place) {
    ++counters_.upgraded;
    Message upgrade;
    upgrade.type = MessageType::kUpgrade;
    upgrade.to = requester;
    upgrade.page = entry.page;
    upgrade.dirty = conversion.pass_dirty;
    upgrade.conversion = conversion.id;
    out_.Send(std::move(upgrade));
  } else if (conversion.source) {
    ++counters_.shipped;
    SendTo(conversion.source, MessageType::kShip, entry, mode, {}, requester);
  } else {
    ++counters_.granted_from_disk;
    SendTo(requester, MessageType::kGrant, entry, mode);
  }
}

void BlockMaster::BeginWrite(Entry& entry, Conversion& conversion) {
  if (entry.owner) {
    conversion.step = Conversion::Step::kWriting;
    SendTo(entry.owner, MessageType::kWrite, entry);
    return;
  }
  Psn wanted = conversion.request.psn;
  InstanceId requester = conversion.request.from;
  for (const PastHolder& past : entry.pasts) {
    if (past.instance == requester) {
      wanted = std::max(wanted, past.psn);
    } else {
      SendTo(past.instance, MessageType::kOnDisk, entry, {}, past.psn);
    }
  }
  entry.pasts.clear();
  SendTo(requester, MessageType::kOnDisk, entry, {}, wanted);
  Finish(entry);
}

void BlockMaster::BeginRecall(Entry& entry, Conversion& conversion) {
  conversion.step = Conversion::Step::kRecalling;
  conversion.waiting = entry.sharers;
  conversion.waiting.Add(entry.owner);
  InstanceSet holders = conversion.waiting;
  holders.ForEach([&](InstanceId holder) { SendTo(holder, MessageType::kRecall, entry); });
  if (holders.empty()) {
    MoveOn(entry);
  }
}

void BlockMaster::BeginRecover(Entry& entry, Conversion& conversion) {
  InstanceId requester = conversion.request.from;
  if (!entry.recovering) {
    SendTo(requester, MessageType::kRecoverSkipped, entry);
    Finish(entry);
    return;
  }
  PastHolder best;
  for (const PastHolder& past : entry.pasts) {
    // At equal versions the requester's own: no bytes to send.
    if (past.psn > best.psn || (past.psn == best.psn && past.instance == requester)) {
      best = past;
    }
  }
  conversion.source = best.instance;
  if (best.instance && best.instance != requester) {
    SendTo(best.instance, MessageType::kShipPast, entry, {}, best.psn, requester);
    return;
  }
  Message grant;
  grant.type = MessageType::kGrant;
  grant.to = requester;
  grant.page = entry.page;
  grant.mode = BlockMode::kExclusive;
  grant.recover = true;
  grant.conversion = conversion.id;
  out_.Send(std::move(grant));
}

}  // namespace pgquorum::fusion
