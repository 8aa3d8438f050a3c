#include "cachefusion/index/index_deletion.h"

#include <utility>

#include "base/check.h"

#include "base/pure.h"

namespace pgquorum::fusion {

// Three pages a level, the page above, the meta page and the last one of the list of deleted pages.
static_assert(3 * (kMaxIndexLevels - 1) + 3 <= kMaxRedoPages);

Result<PageGuard> IndexDeletion::LatchLeftOf(uint32_t block) {
  uint32_t left;
  {
    Result<PageGuard> page = tree_.Fetch(block, LatchMode::kShared);
    if (!page.ok()) {
      return page;
    }
    left = SpecialOf(page.value().page()).left;
  }
  // It may be divided meanwhile, but only this process deletes.
  while (left != 0) {
    Result<PageGuard> guard = tree_.Fetch(left, LatchMode::kExclusive);
    if (!guard.ok() || SpecialOf(guard.value().page()).right == block) {
      return guard;
    }
    left = SpecialOf(guard.value().page()).right;
    if (left == 0) {
      return tree_.Damage(block, "its left neighbour does not lead to it");
    }
  }
  return PageGuard();
}

Result<bool> IndexDeletion::Latch(uint32_t block) {
  Result<PageGuard> left = LatchLeftOf(block);
  if (!left.ok()) {
    return left.status();
  }
  Part part;
  part.left = std::move(left).value();
  Result<PageGuard> page = tree_.Fetch(block, LatchMode::kExclusive);
  if (!page.ok()) {
    return page.status();
  }
  part.page = std::move(page).value();
  const char* bytes = part.page.page();
  bool first = !part.left.held();
  unsigned children = parts_.empty() ? 0 : 1;
  if (HeaderOf(bytes).flags != 0 || SpecialOf(bytes).right == 0 || EntryCount(bytes) != children ||
      first != (SpecialOf(bytes).left == 0) ||
      (children == 1 && ChildOn(bytes, 1) != parts_.back().page.id().block)) {
    return false;
  }
  Result<PageGuard> right = tree_.Fetch(SpecialOf(bytes).right, LatchMode::kExclusive);
  if (!right.ok()) {
    return right.status();
  }
  part.right = std::move(right).value();
  // What goes leaves its range to the neighbour of the same kin: the first child over there.
  if (children == 1 && ChildOn(part.right.page(), 1) != parts_.back().right.id().block) {
    return false;
  }
  parts_.push_back(std::move(part));
  return true;
}

Result<bool> IndexDeletion::Climb(PageGuard& above, unsigned& entry) {
  const PageGuard& child = parts_.back().page;
  uint32_t level = SpecialOf(child.page()).level + 1;
  IndexEntry high = EntryOn(child.page(), 0);
  uint32_t block;
  {
    Result<PageGuard> found = tree_.Descend(KeyPosition::BeforeRow(high.key, high.at), level,
                                            LatchMode::kShared, nullptr);
    if (!found.ok()) {
      return found.status();
    }
    block = found.value().id().block;
  }
  while (block != 0) {
    Result<PageGuard> guard = tree_.Fetch(block, LatchMode::kExclusive);
    if (!guard.ok()) {
      return guard.status();
    }
    const char* page = guard.value().page();
    entry = EntryOfChild(page, child.id().block);
    if (entry == 0) {
      block = SpecialOf(page).right;  // divided since it was found
      continue;
    }
    if (EntryCount(page) == 1) {
      guard.value().Release();
      return Latch(block);
    }
    // The last of several children has no neighbour here that could take its range.
    if (entry == EntryCount(page) || ChildOn(page, entry + 1) != parts_.back().right.id().block) {
      return false;
    }
    above = std::move(guard).value();
    return true;
  }
  return false;  // its own split is not finished
}

Result<uint32_t> IndexDeletion::Record(PageGuard& above, unsigned entry) {
  Result<PageGuard> meta = tree_.FetchMeta(LatchMode::kExclusive);
  if (!meta.ok()) {
    return meta.status();
  }
  IndexMeta changed = MetaOf(meta.value().page());
  PageGuard last;
  if (changed.free_last != 0) {
    Result<PageGuard> guard = tree_.Fetch(changed.free_last, LatchMode::kExclusive);
    if (!guard.ok()) {
      return guard.status();
    }
    last = std::move(guard).value();
  }
  // Read while the pages are held: whoever has seen a way to them holds an older snapshot, or this.
  uint64_t stamp = tree_.storage_.shared().scn.load();
  Mutation mutation(tree_.storage_.pages(), 0);
  uint32_t first = parts_.front().page.id().block;
  if (last.held()) {
    IndexSpecial special = SpecialOf(last.page());
    special.next_free = first;
    SetIndexSpecial(mutation.Change(last), special);
  } else {
    changed.free_first = first;
  }
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    Part& part = parts_[i];
    IndexSpecial gone = SpecialOf(part.page.page());
    if (part.left.held()) {
      IndexSpecial special = SpecialOf(part.left.page());
      special.right = gone.right;
      SetIndexSpecial(mutation.Change(part.left), special);
    }
    IndexSpecial special = SpecialOf(part.right.page());
    special.left = gone.left;
    SetIndexSpecial(mutation.Change(part.right), special);
    gone.next_free = i + 1 < parts_.size() ? parts_[i + 1].page.id().block : 0;
    gone.stamp = stamp;
    PageChange& change = mutation.Change(part.page);
    change.SetFlags(kIndexDeleted);
    SetIndexSpecial(change, gone);
  }
  changed.free_last = parts_.back().page.id().block;
  SetIndexMeta(mutation.Change(meta.value()), changed);

  // The entry's key stays, and leads to the neighbour from now on.
  PageChange& change = mutation.Change(above);
  uint32_t neighbour = parts_.back().right.id().block;
  std::string_view bytes = EntryBytesOn(above.page(), entry);
  std::size_t child =
      static_cast<std::size_t>(bytes.data() + bytes.size() - above.page()) - sizeof(neighbour);
  change.Put(child, neighbour);
  unsigned removed = entry + 1;
  RemoveIndexEntries(change, {&removed, 1});
  Status status = mutation.Commit().status();
  return status.ok() ? Result<uint32_t>(static_cast<uint32_t>(parts_.size())) : status;
}

Result<uint32_t> IndexDeletion::Delete(uint32_t leaf) {
  parts_.clear();
  Result<bool> possible = Latch(leaf);
  PageGuard above;
  unsigned entry = 0;
  while (possible.ok() && possible.value() && !above.held()) {
    possible = Climb(above, entry);
  }
  if (!possible.ok()) {
    return possible.status();
  }
  return possible.value() ? Record(above, entry) : Result<uint32_t>(uint32_t{0});
}

}  // namespace pgquorum::fusion
