// The second half of a split: the new page's entry in the parent, or a new root.
#include "cachefusion/index/index_tree.h"

#include "base/pure.h"

namespace pgquorum::fusion {

Status IndexTree::FinishSplit(uint32_t block, Path& path) {
  Result<PageGuard> left = Fetch(block, LatchMode::kExclusive);
  if (!left.ok()) {
    return left.status();
  }
  if (!HasFlag(left.value().page(), kIndexSplitting)) {
    return Status::Ok();
  }
  Result<PageGuard> right = Fetch(SpecialOf(left.value().page()).right, LatchMode::kExclusive);
  if (!right.ok()) {
    return right.status();
  }
  return CompleteSplit(std::move(left).value(), std::move(right).value(), path);
}

Result<bool> IndexTree::GrowRoot(PageGuard& left, PageGuard& right) {
  if (SpecialOf(left.page()).left != 0 || SpecialOf(right.page()).right != 0) {
    return false;
  }
  {
    Result<PageGuard> meta = FetchMeta(LatchMode::kShared);
    if (!meta.ok()) {
      return meta.status();
    }
    // Only who holds the root exclusively can make another.
    if (MetaOf(meta.value().page()).root != left.id().block) {
      return false;
    }
  }
  uint32_t level = SpecialOf(left.page()).level + 1;
  if (level == kMaxIndexLevels) {
    return Status::Error("54000", "fusion index has reached its largest height");
  }
  Result<Fresh> fresh = Allocate();
  if (!fresh.ok()) {
    return fresh.status();
  }
  IndexEntry high = EntryOn(left.page(), 0);
  IndexPageDraft draft;
  draft.Add(EncodeChildEntry({}, {}, left.id().block));
  draft.Add(EncodeChildEntry(high.key, high.at, right.id().block));
  fresh.value().changed.root = fresh.value().page.id().block;
  fresh.value().changed.level = level;
  Mutation mutation(storage_.pages(), 0);
  draft.WriteTo(mutation.Change(fresh.value().page), {0, 0, level, 0, 0}, 0);
  mutation.Change(left).SetFlags(0);
  Take(mutation, fresh.value());
  Status status = mutation.Commit().status();
  return status.ok() ? Result<bool>(true) : status;
}

Status IndexTree::CompleteSplit(PageGuard left, PageGuard right, Path& path) {
  for (;;) {
    Result<bool> grown = GrowRoot(left, right);
    if (!grown.ok() || grown.value()) {
      return grown.status();
    }
    Result<Parent> parent = LatchParent(left, path);
    if (!parent.ok()) {
      return parent.status();
    }
    IndexEntry high = EntryOn(left.page(), 0);
    std::string entry = EncodeChildEntry(high.key, high.at, right.id().block);
    Result<std::optional<PageGuard>> put =
        Put(parent.value().guard, parent.value().entry + 1, entry, &left);
    if (!put.ok() || !put.value()) {
      return put.status();
    }
    // The parent was divided in turn. What is below is complete.
    right.Release();
    left = std::move(parent.value().guard);
    right = std::move(*put.value());
  }
}

Result<IndexTree::Parent> IndexTree::LatchParent(const PageGuard& child, Path& path) {
  uint32_t level = SpecialOf(child.page()).level + 1;
  if (level >= kMaxIndexLevels || !HasHighKey(child.page())) {
    return Damage(child.id().block, "it cannot have a parent");
  }
  IndexEntry high = EntryOn(child.page(), 0);
  for (bool searched = false;; searched = true) {
    uint32_t block = searched ? 0 : path[level];
    if (block == 0) {
      // The child's own place is the last one below its high key.
      Result<PageGuard> found =
          Descend(KeyPosition::BeforeRow(high.key, high.at), level, LatchMode::kShared, nullptr);
      if (!found.ok()) {
        return found.status();
      }
      block = found.value().id().block;
      searched = true;
    }
    while (block != 0) {
      Result<PageGuard> guard = Fetch(block, LatchMode::kExclusive);
      if (!guard.ok()) {
        return guard.status();
      }
      const char* page = guard.value().page();
      if (SpecialOf(page).level != level) {
        break;
      }
      uint32_t right = SpecialOf(page).right;
      if (HasFlag(page, kIndexSplitting)) {
        Result<PageGuard> sibling = Fetch(right, LatchMode::kExclusive);
        if (!sibling.ok()) {
          return sibling.status();
        }
        Status completed =
            CompleteSplit(std::move(guard).value(), std::move(sibling).value(), path);
        if (!completed.ok()) {
          return completed;
        }
        continue;
      }
      unsigned entry = HasFlag(page, kIndexDeleted) ? 0 : EntryOfChild(page, child.id().block);
      if (entry != 0) {
        path[level] = block;
        return Parent{std::move(guard).value(), entry};
      }
      block = right;
    }
    if (searched) {
      return Damage(child.id().block, "nothing above it leads to it");
    }
  }
}

}  // namespace pgquorum::fusion
