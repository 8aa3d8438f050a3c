// Ways through the tree.
#include "cachefusion/index/index_tree.h"

#include <cstring>

#include "base/storage/errors.h"

#include "base/pure.h"

namespace pgquorum::fusion {

Result<PageGuard> FetchFreshMeta(Storage& storage, uint64_t segment) {
  Result<PageGuard> meta = storage.pages().Fetch({segment, 0}, LatchMode::kExclusive);
  if (meta.ok() && meta.value().formatted()) {
    return Status::Error(kErrForeignStorage, "fusion segment exists already");
  }
  return meta;
}

Status IndexTree::Damage(uint32_t block, const std::string& what) const {
  return Status::Error(kErrDamaged, "page " + std::to_string(block) + " of fusion index segment " +
                                        std::to_string(segment_) + ": " + what)
      .WithHint("REINDEX makes the index anew from its table.");
}

Result<PageGuard> IndexTree::Fetch(uint32_t block, LatchMode mode) {
  if (block == 0) {
    return Damage(0, "a link leads to the meta page");
  }
  Result<PageGuard> guard = storage_.pages().Fetch({segment_, block}, mode);
  if (guard.ok() && !LooksLikeIndexPage(guard.value().page())) {
    return Damage(block, "no page of an index");
  }
  return guard;
}

Result<PageGuard> IndexTree::FetchMeta(LatchMode mode) {
  Result<PageGuard> guard = storage_.pages().Fetch({segment_, 0}, mode);
  if (!guard.ok()) {
    return guard;
  }
  if (!LooksLikeIndexMeta(guard.value().page())) {
    return Damage(0, "no meta page of an index");
  }
  const IndexMeta& meta = MetaOf(guard.value().page());
  if (meta.version != kIndexVersion) {
    return Status::Error(kErrUnknownFormat, "fusion index was written by a later version");
  }
  if (meta.building != 0) {
    return Status::Error("55000", "fusion index was not built to the end")
        .WithHint("REINDEX makes it anew from its table.");
  }
  return guard;
}

Status IndexTree::Create() {
  Result<PageGuard> root = storage_.pages().Fetch({segment_, 1}, LatchMode::kExclusive);
  if (!root.ok()) {
    return root.status();
  }
  Result<PageGuard> meta = FetchFreshMeta(storage_, segment_);
  if (!meta.ok()) {
    return meta.status();
  }
  Mutation mutation(storage_.pages(), 0);
  FormatIndexMeta(mutation.Change(meta.value()), {kIndexVersion, 1, 0, 2, 0, 0, 0});
  IndexPageDraft().WriteTo(mutation.Change(root.value()), {}, 0);
  return mutation.Commit().status();
}

Result<IndexShape> IndexTree::Shape() {
  Result<PageGuard> meta = FetchMeta(LatchMode::kShared);
  if (!meta.ok()) {
    return meta.status();
  }
  const IndexMeta& found = MetaOf(meta.value().page());
  return IndexShape{found.blocks, found.level};
}

Result<uint32_t> IndexTree::Start(bool from_root) {
  if (start_ != 0 && !from_root) {
    // The only page of a level is as good as the root, whatever has become of the tree: its range
    // is everything. A page that was used for something else meanwhile has neighbours, or is again
    // the only one of a level.
    Result<PageGuard> guard = storage_.pages().Fetch({segment_, start_}, LatchMode::kShared);
    if (!guard.ok()) {
      return guard.status();
    }
    const char* page = guard.value().page();
    if (LooksLikeIndexPage(page) && !HasFlag(page, kIndexDeleted) && SpecialOf(page).left == 0 &&
        SpecialOf(page).right == 0) {
      return start_;
    }
  }
  Result<PageGuard> meta = FetchMeta(LatchMode::kShared);
  if (!meta.ok()) {
    return meta.status();
  }
  start_ = MetaOf(meta.value().page()).root;
  return start_;
}

Result<PageGuard> IndexTree::Settle(uint32_t block, const KeyPosition& position, LatchMode mode,
                                    Path* path) {
  for (;;) {
    Result<PageGuard> guard = Fetch(block, mode);
    if (!guard.ok()) {
      return guard;
    }
    const char* page = guard.value().page();
    if (path != nullptr && HasFlag(page, kIndexSplitting)) {
      guard.value().Release();
      Status finished = FinishSplit(block, *path);
      if (!finished.ok()) {
        return finished;
      }
      continue;
    }
    bool beyond = HasFlag(page, kIndexDeleted) || LiesBeyond(order_, page, position);
    if (order_.failed()) {
      return order_.TakeError();
    }
    if (!beyond) {
      return guard;
    }
    // Never two latches: the next one may be a deleted page that is about to be used again.
    block = SpecialOf(page).right;
  }
}

Result<PageGuard> IndexTree::Descend(const KeyPosition& position, uint32_t level, LatchMode mode,
                                     Path* path) {
  Result<uint32_t> start = Start(level > 0);
  if (!start.ok()) {
    return start.status();
  }
  uint32_t block = start.value();
  uint32_t expected = kMaxIndexLevels;  // not known of the first page
  for (;;) {
    Result<PageGuard> guard =
        Settle(block, position, expected == level ? mode : LatchMode::kShared, path);
    if (!guard.ok()) {
      return guard;
    }
    const char* page = guard.value().page();
    uint32_t found = SpecialOf(page).level;
    if (found < level || (expected != kMaxIndexLevels && found != expected)) {
      return Damage(guard.value().id().block, "on an unexpected level");
    }
    block = guard.value().id().block;
    if (path != nullptr) {
      (*path)[found] = block;
    }
    if (found == level) {
      if (expected == level || mode == LatchMode::kShared) {
        return guard;
      }
      expected = level;  // the root itself: once more, exclusively
      continue;
    }
    unsigned entry = ChildEntryFor(order_, page, position);
    if (order_.failed()) {
      return order_.TakeError();
    }
    block = ChildOn(page, entry);
    expected = found - 1;
  }
}

Status IndexTree::CopyLeaf(const KeyPosition& position, char* copy) {
  Result<PageGuard> guard = Descend(position, 0, LatchMode::kShared, nullptr);
  if (!guard.ok()) {
    return guard.status();
  }
  std::memcpy(copy, guard.value().page(), kPageBytes);
  return Status::Ok();
}

Status IndexTree::CopyPage(uint32_t block, char* copy) {
  Result<PageGuard> guard = Fetch(block, LatchMode::kShared);
  if (!guard.ok()) {
    return guard.status();
  }
  std::memcpy(copy, guard.value().page(), kPageBytes);
  return Status::Ok();
}

Status IndexTree::MarkGone(uint32_t block, Psn version, std::span<const unsigned> numbers) {
  Result<PageGuard> guard = Fetch(block, LatchMode::kExclusive);
  if (!guard.ok() || Psn(guard.value().header().psn) != version) {
    return guard.status();
  }
  Mutation mutation(storage_.pages(), 0);
  MarkEntriesGone(mutation.Change(guard.value()), numbers);
  return mutation.Commit().status();
}

}  // namespace pgquorum::fusion
