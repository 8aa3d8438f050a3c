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
    Compact(change);
    room = RoomFor(change.page());
    Status status = mutation.Commit().status();
    if (!status.ok()) {
      return status;
    }
  }
  return space_.Note(block, room);
}

}  // namespace pgquorum::fusion
