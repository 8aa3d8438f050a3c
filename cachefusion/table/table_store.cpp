#include "cachefusion/table/table_store.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/storage/errors.h"

#include "base/pure.h"

namespace pgquorum::fusion {
namespace {

std::string NewVersion(const NewRow& row, const Writer& writer) {
  VersionHeader header{};
  header.creator = writer.word.bits();
  header.creator_command = writer.command;
  header.marks = row.chains.empty() ? 0 : kVersionHasChains;
  std::string bytes(reinterpret_cast<const char*>(&header), kVersionHeaderBytes);
  bytes.append(row.bytes);
  if (!row.chains.empty()) {
    bytes.append(ChainList(row.chains));
  }
  return bytes;
}

Status CheckSize(const NewRow& row) {
  std::size_t row_bytes = row.bytes.size();
  if (!row.chains.empty()) {
    row_bytes += row.chains.size_bytes() + kChainCountBytes;
  }
  if (row_bytes + kVersionHeaderBytes <= kMaxVersionBytes) {
    return Status::Ok();
  }
  return Status::Error("54000", "row is too big for a fusion table")
      .WithDetail("It has " + std::to_string(row_bytes) + " bytes, the maximum is " +
                  std::to_string(kMaxVersionBytes - kVersionHeaderBytes) + ".");
}

bool Borrows(std::span<const ChainLink> chains, const ChainLink& wanted) {
  return std::any_of(chains.begin(), chains.end(), [&](const ChainLink& chain) {
    return (chain.flags & kChainBorrowed) != 0 && chain.head == wanted.head &&
           chain.serial == wanted.serial;
  });
}

// Which chains of the version go on to the one with the list `heirs`; to none when it is empty.
void PassChainsOn(PageChange& change, SlotNumber slot, std::span<const ChainLink> heirs) {
  std::vector<ChainLink> chains = ChainsOf(VersionAt(change.page(), slot));
  for (std::size_t i = 0; i < chains.size(); ++i) {
    auto flags = static_cast<uint16_t>((chains[i].flags & ~kChainPassedOn) |
                                       (Borrows(heirs, chains[i]) ? kChainPassedOn : 0));
    if (flags != chains[i].flags) {
      SetChainFlags(change, slot, i, flags);
    }
  }
}

// What a new version borrows must be there to be borrowed.
Status CheckBorrowed(std::string_view version, std::span<const ChainLink> chains) {
  std::vector<ChainLink> there = ChainsOf(version);
  for (const ChainLink& chain : chains) {
    bool found = std::any_of(there.begin(), there.end(), [&](const ChainLink& other) {
      return other.head == chain.head && other.serial == chain.serial;
    });
    if ((chain.flags & kChainBorrowed) != 0 && !found) {
      return Status::Error(kErrDamaged,
                           "a row was to share a large value that its old version "
                           "does not have");
    }
  }
  return Status::Ok();
}

RowAddress Store(PageChange& change, uint32_t block, std::string_view version) {
  SlotNumber slot = InsertVersion(change, version);
  RowAddress at = RowAddress::Of(block, slot);
  SetNext(change, slot, at);
  return at;
}

// The mark stays with its version: who holds the row elsewhere is not known here.
uint32_t LockersOf(const PageGuard& guard, RowAddress address) {
  return HeaderOfVersion(VersionAt(guard.page(), address.slot)).marks & kMarkLockers;
}

}  // namespace

Status TableStore::Full(uint32_t block) {
  std::size_t room = 0;
  {
    Result<PageGuard> guard = storage_.pages().Fetch({segment_, block}, LatchMode::kShared);
    if (!guard.ok()) {
      return guard.status();
    }
    room = guard.value().header().kind == PageKind::kTable ? RoomFor(guard.value().page()) : 0;
  }
  return space_.Note(block, room);
}

Result<uint32_t> TableStore::Place(std::size_t bytes, uint32_t avoid) {
  if (target_ != 0 && target_ != avoid) {
    return target_;
  }
  // A block that had no room is written down before it is looked for again, and the target is
  // forgotten: so each turn of a caller's loop tries another block, until one is added.
  uint32_t near = std::exchange(target_, 0);
  if (avoid != 0) {
    Status noted = Full(avoid);
    if (!noted.ok()) {
      return noted;
    }
  }
  Result<std::optional<uint32_t>> found = space_.Find(bytes, near, rotating_);
  if (!found.ok()) {
    return found.status();
  }
  if (found.value() && *found.value() != avoid) {
    target_ = *found.value();
    return target_;
  }
  Result<uint32_t> added = space_.Extend();
  target_ = added.ok() ? added.value() : 0;
  return added;
}

Result<RowAddress> TableStore::Insert(const NewRow& row, const Writer& writer) {
  Status size = CheckSize(row);
  if (!size.ok()) {
    return size;
  }
  std::string version = NewVersion(row, writer);
  uint32_t avoid = 0;
  for (;;) {
    Result<uint32_t> place = Place(version.size(), avoid);
    if (!place.ok()) {
      return place.status();
    }
    Result<PageGuard> guard =
        storage_.pages().Fetch({segment_, place.value()}, LatchMode::kExclusive);
    if (!guard.ok()) {
      return guard.status();
    }
    if (guard.value().header().kind == PageKind::kTable &&
        RoomFor(guard.value().page()) >= version.size()) {
      Mutation mutation(storage_.pages(), writer.word.bits());
      RowAddress at = Store(mutation.Change(guard.value()), place.value(), version);
      Status status = mutation.Commit().status();
      target_ = place.value();
      return status.ok() ? Result<RowAddress>(at) : status;
    }
    avoid = place.value();
  }
}

Result<Touch> TableStore::Look(const PageGuard& guard, RowAddress address, RowLock lock, Way way,
                               const Writer& writer, Visibility& visibility) {
  std::string_view bytes = guard.header().kind == PageKind::kTable
                               ? VersionAt(guard.page(), address.slot)
                               : std::string_view();
  if (bytes.empty()) {
    return Touch{TouchResult::kInvisible, {}, {}, 0};
  }
  const VersionHeader header = HeaderOfVersion(bytes);
  Result<Touch> touch = visibility.MayTouch(header, address, lock, writer.command);
  if (!touch.ok() || touch.value().result != TouchResult::kOk) {
    return touch;
  }
  bool ask = (header.marks & kMarkLockers) != 0;
  TxWord holder = RemoverOf(header);
  if (!holder.none() && holder != writer.word) {
    Result<Visibility::Stamps> stamps = visibility.StampsOf(header);
    if (!stamps.ok()) {
      return stamps.status();
    }
    if (!stamps.value().remover.none()) {  // a lock that does not conflict, or of a parent
      // A version that goes takes no lock either: whoever removes the next one would not see it.
      if ((way == Way::kChange || !OnlyLocked(header)) && !visibility.Owns(holder)) {
        return Touch{TouchResult::kWait, holder, {}, 0};
      }
      ask = true;
    }
  }
  return ask && !writer.asked ? Touch{TouchResult::kAsk, holder, {}, 0} : touch.value();
}

Result<Replaced> TableStore::Replace(RowAddress address, const NewRow& row, RowLock lock,
                                     const Writer& writer, Visibility& visibility) {
  Status size = CheckSize(row);
  if (!size.ok()) {
    return size;
  }
  PGQUORUM_CHECK(lock == RowLock::kUpdate || lock == RowLock::kNoKeyUpdate);
  std::string version = NewVersion(row, writer);
  uint32_t marks =
      static_cast<uint32_t>(lock) | (lock == RowLock::kUpdate ? uint32_t{kMarkKeyChanged} : 0U);
  uint32_t home = address.block();
  uint32_t other = home;  // where the new version goes
  uint32_t avoid = 0;
  for (;;) {
    // Both pages at once, in the order of their blocks, so that the change is one record.
    PageGuard guards[2];
    bool two = other != home;
    for (uint32_t i = 0; i < (two ? 2U : 1U); ++i) {
      uint32_t block = two && i == 1 ? std::max(home, other) : std::min(home, other);
      Result<PageGuard> guard = storage_.pages().Fetch({segment_, block}, LatchMode::kExclusive);
      if (!guard.ok()) {
        return guard.status();
      }
      guards[i] = std::move(guard).value();
    }
    PageGuard& old_page = guards[two && home > other ? 1 : 0];
    PageGuard& new_page = guards[two && home < other ? 1 : 0];
    Result<Touch> touch = Look(old_page, address, lock, Way::kChange, writer, visibility);
    if (!touch.ok()) {
      return touch.status();
    }
    if (touch.value().result != TouchResult::kOk) {
      return Replaced{touch.value(), {}};
    }
    Status borrowed = CheckBorrowed(VersionAt(old_page.page(), address.slot), row.chains);
    if (!borrowed.ok()) {
      return borrowed;
    }
    if (new_page.header().kind == PageKind::kTable && RoomFor(new_page.page()) >= version.size()) {
      uint32_t asked = LockersOf(old_page, address) | (writer.asked ? uint32_t{kMarkLockers} : 0U);
      Mutation mutation(storage_.pages(), writer.word.bits());
      RowAddress at = Store(mutation.Change(new_page), new_page.id().block, version);
      SetRemover(mutation.Change(old_page), address.slot, writer.word.bits(), writer.command,
                 marks | asked, at);
      PassChainsOn(mutation.Change(old_page), address.slot, row.chains);
      Status status = mutation.Commit().status();
      if (two) {
        target_ = other;
      }
      return status.ok() ? Result<Replaced>(Replaced{Touch{}, at}) : status;
    }
    guards[1].Release();
    guards[0].Release();
    avoid = other;
    Result<uint32_t> place = Place(version.size(), avoid);
    if (!place.ok()) {
      return place.status();
    }
    other = place.value();
  }
}

Result<Touch> TableStore::Remove(RowAddress address, const Writer& writer, Visibility& visibility,
                                 bool moved) {
  Result<PageGuard> guard =
      storage_.pages().Fetch({segment_, address.block()}, LatchMode::kExclusive);
  if (!guard.ok()) {
    return guard.status();
  }
  Result<Touch> touch =
      Look(guard.value(), address, RowLock::kUpdate, Way::kChange, writer, visibility);
  if (!touch.ok() || touch.value().result != TouchResult::kOk) {
    return touch;
  }
  uint32_t marks = static_cast<uint32_t>(RowLock::kUpdate) | uint32_t{kMarkKeyChanged} |
                   (moved ? uint32_t{kMarkMoved} : 0U) | LockersOf(guard.value(), address) |
                   (writer.asked ? uint32_t{kMarkLockers} : 0U);
  Mutation mutation(storage_.pages(), writer.word.bits());
  SetRemover(mutation.Change(guard.value()), address.slot, writer.word.bits(), writer.command,
             marks, address);
  PassChainsOn(mutation.Change(guard.value()), address.slot, {});
  Status status = mutation.Commit().status();
  return status.ok() ? touch : status;
}

Status TableStore::TakeBack(RowAddress address, const Writer& writer) {
  Result<PageGuard> guard =
      storage_.pages().Fetch({segment_, address.block()}, LatchMode::kExclusive);
  if (!guard.ok()) {
    return guard.status();
  }
  std::string_view bytes = guard.value().header().kind == PageKind::kTable
                               ? VersionAt(guard.value().page(), address.slot)
                               : std::string_view();
  PGQUORUM_CHECK(!bytes.empty() && CreatorOf(HeaderOfVersion(bytes)) == writer.word);
  Mutation mutation(storage_.pages(), writer.word.bits());
  SetRemover(mutation.Change(guard.value()), address.slot, writer.word.bits(),
             HeaderOfVersion(bytes).creator_command,
             static_cast<uint32_t>(RowLock::kUpdate) | uint32_t{kMarkKeyChanged}, address);
  return mutation.Commit().status();
}

Result<Touch> TableStore::Lock(RowAddress address, RowLock lock, const Writer& writer,
                               Visibility& visibility) {
  Result<PageGuard> guard =
      storage_.pages().Fetch({segment_, address.block()}, LatchMode::kExclusive);
  if (!guard.ok()) {
    return guard.status();
  }
  Result<Touch> touch = Look(guard.value(), address, lock, Way::kLock, writer, visibility);
  if (!touch.ok() || touch.value().result != TouchResult::kOk) {
    return touch;
  }
  const VersionHeader header = HeaderOfVersion(VersionAt(guard.value().page(), address.slot));
  Result<Visibility::Stamps> stamps = visibility.StampsOf(header);
  if (!stamps.ok()) {
    return stamps.status();
  }
  TxWord holder = stamps.value().remover;
  TxWord word = writer.word;
  uint32_t command = writer.command;
  uint32_t marks = static_cast<uint32_t>(lock) | uint32_t{kMarkLockOnly} |
                   (header.marks & kMarkLockers) | (writer.asked ? uint32_t{kMarkLockers} : 0U);
  if (!holder.none() && holder != word) {
    // The first one stays on the page; we are in the lock manager.
    word = holder;
    command = header.remover_command;
    marks = header.marks | kMarkLockers;
  } else if (holder == word && LockOf(header) >= lock) {
    marks = header.marks | (marks & kMarkLockers);
  }
  if (word == RemoverOf(header) && marks == header.marks) {
    return touch;  // we have it already
  }
  Mutation mutation(storage_.pages(), writer.word.bits());
  SetRemover(mutation.Change(guard.value()), address.slot, word.bits(), command, marks, address);
  Status status = mutation.Commit().status();
  return status.ok() ? touch : status;
}

Result<bool> TableStore::ReadPage(uint32_t block, char* copy) {
  Result<PageGuard> guard = storage_.pages().Fetch({segment_, block}, LatchMode::kShared);
  if (!guard.ok()) {
    return guard.status();
  }
  if (guard.value().header().kind != PageKind::kTable) {
    return false;
  }
  std::memcpy(copy, guard.value().page(), kPageBytes);
  return true;
}

Result<std::string> TableStore::ReadVersion(RowAddress address) {
  Result<PageGuard> guard = storage_.pages().Fetch({segment_, address.block()}, LatchMode::kShared);
  if (!guard.ok()) {
    return guard.status();
  }
  if (guard.value().header().kind != PageKind::kTable) {
    return std::string();
  }
  return std::string(VersionAt(guard.value().page(), address.slot));
}

}  // namespace pgquorum::fusion
