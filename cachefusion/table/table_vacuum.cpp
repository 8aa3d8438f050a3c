// Throwing away what nobody sees, and stamping what has been decided.
#include <utility>
#include <vector>

#include "cachefusion/table/table_store.h"

#include "base/pure.h"

namespace pgquorum::fusion {
namespace {

struct Stamped {
  SlotNumber slot;
  Visibility::Stamps stamps;
};

void Stamp(PageChange& change, uint32_t block, const Stamped& what) {
  const VersionHeader header = HeaderOfVersion(VersionAt(change.page(), what.slot));
  if (what.stamps.creator != CreatorOf(header)) {
    SetCreator(change, what.slot, what.stamps.creator.bits());
  }
  if (what.stamps.remover == RemoverOf(header)) {
    return;
  }
  if (what.stamps.remover.none()) {
    // The remover aborted, or only locked and has ended: nobody holds the version any more.
    SetRemover(change, what.slot, 0, 0, header.marks & kMarkLockers,
               RowAddress::Of(block, what.slot));
  } else {
    SetRemover(change, what.slot, what.stamps.remover.bits(), header.remover_command, header.marks,
               header.next);
  }
}

}  // namespace

Status TableStore::CollectDead(uint32_t block, Scn horizon, Visibility& visibility,
                               std::vector<RowAddress>& dead) {
  Result<PageGuard> guard = storage_.pages().Fetch({segment_, block}, LatchMode::kExclusive);
  if (!guard.ok()) {
    return guard.status();
  }
  if (guard.value().header().kind == PageKind::kOverflow) {
    return CollectOverflow(std::move(guard).value(), visibility);
  }
  if (guard.value().header().kind != PageKind::kTable) {
    return Status::Ok();
  }
  std::vector<Stamped> stamped;
  for (SlotNumber slot = 1; slot <= SlotCount(guard.value().page()); ++slot) {
    std::string_view bytes = VersionAt(guard.value().page(), slot);
    if (bytes.empty()) {
      continue;
    }
    const VersionHeader header = HeaderOfVersion(bytes);
    Result<bool> is_dead = visibility.IsDead(header, horizon);
    if (!is_dead.ok()) {
      return is_dead.status();
    }
    if (is_dead.value()) {
      dead.push_back(RowAddress::Of(block, slot));
      continue;
    }
    Result<Visibility::Stamps> stamps = visibility.StampsOf(header);
    if (!stamps.ok()) {
      return stamps.status();
    }
    if (stamps.value().creator != CreatorOf(header) ||
        stamps.value().remover != RemoverOf(header)) {
      stamped.push_back({slot, stamps.value()});
    }
  }
  if (stamped.empty()) {
    return Status::Ok();
  }
  Mutation mutation(storage_.pages(), 0);
  PageChange& change = mutation.Change(guard.value());
  for (const Stamped& what : stamped) {
    Stamp(change, block, what);
  }
  return mutation.Commit().status();
}

// The pages of a chain are given back one by one when their creator aborted: whatever refers to the
// chain aborted with him. Another creator is not stamped: nobody else asks for him, and it would
// write every large value once more.
Status TableStore::CollectOverflow(PageGuard guard, Visibility& visibility) {
  uint32_t block = guard.id().block;
  VersionHeader made{};
  made.creator = OverflowOn(guard.page()).creator;
  Result<Visibility::Stamps> stamps = visibility.StampsOf(made);
  if (!stamps.ok() || !stamps.value().creator.never()) {
    return stamps.status();
  }
  std::size_t room = 0;
  {
    Mutation mutation(storage_.pages(), 0);
    PageChange& change = mutation.Change(guard);
    change.Format(PageKind::kTable);
    room = RoomFor(change.page());
    Status status = mutation.Commit().status();
    if (!status.ok()) {
      return status;
    }
  }
  guard.Release();
  return space_.Note(block, room);
}

Status TableStore::ChainsToFree(uint32_t block, std::span<const SlotNumber> slots,
                                Visibility& visibility, std::vector<ChainLink>& chains) {
  Result<PageGuard> guard = storage_.pages().Fetch({segment_, block}, LatchMode::kShared);
  if (!guard.ok()) {
    return guard.status();
  }
  for (SlotNumber slot : slots) {
    std::string_view version = VersionAt(guard.value().page(), slot);
    std::vector<ChainLink> links = ChainsOf(version);
    if (links.empty()) {
      continue;
    }
    Result<Visibility::Stamps> stamps = visibility.StampsOf(HeaderOfVersion(version));
    if (!stamps.ok()) {
      return stamps.status();
    }
    // What never was takes along what came with it; what was replaced, what its heir did not get.
    uint16_t kept = stamps.value().creator.never() ? kChainBorrowed : kChainPassedOn;
    for (const ChainLink& link : links) {
      if ((link.flags & kept) == 0) {
        chains.push_back(link);
      }
    }
  }
  return Status::Ok();
}

Status TableStore::RemoveDead(uint32_t block, const std::vector<SlotNumber>& slots) {
  std::size_t room;
  {
    Result<PageGuard> guard = storage_.pages().Fetch({segment_, block}, LatchMode::kExclusive);
    if (!guard.ok()) {
      return guard.status();
    }
    Mutation mutation(storage_.pages(), 0);
    PageChange& change = mutation.Change(guard.value());
    RemoveVersions(change, slots);
    if (HoldsNoVersion(change.page())) {
      change.Format(PageKind::kTable);  // without slots: it may hold a large value's bytes next
    } else {
      Compact(change);
    }
    room = RoomFor(change.page());
    Status status = mutation.Commit().status();
    if (!status.ok()) {
      return status;
    }
  }
  return space_.Note(block, room);
}

}  // namespace pgquorum::fusion
