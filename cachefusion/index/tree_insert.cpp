// Putting an entry in: the check of uniqueness, the leaf, the division of a page.
#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/storage/errors.h"
#include "cachefusion/index/index_tree.h"

#include "base/pure.h"

namespace pgquorum::fusion {
namespace {

// A page that grows at its end is left this full when it is divided.
constexpr std::size_t kFullAtEnd = kIndexCapacity * 9 / 10;

// How many entries stay on the left page. Both pages must fit: the left one gets a key as long as
// the first entry on the right, at most.
std::size_t LeftCount(const std::vector<std::string_view>& entries, std::size_t high_bytes,
                      bool at_end) {
  std::size_t total = 0;
  for (std::string_view entry : entries) {
    total += IndexEntryCost(entry.size());
  }
  std::size_t high = IndexEntryCost(high_bytes);
  std::size_t best = 0;
  std::size_t best_distance = SIZE_MAX;
  std::size_t left = 0;
  for (std::size_t count = 1; count < entries.size(); ++count) {
    left += IndexEntryCost(entries[count - 1].size());
    std::size_t left_page = left + IndexEntryCost(entries[count].size());
    std::size_t right_page = total - left + high;
    if (left_page > kIndexCapacity || right_page > kIndexCapacity) {
      continue;
    }
    std::size_t wanted = at_end ? kFullAtEnd : (left_page + right_page) / 2;
    std::size_t distance = left_page > wanted ? left_page - wanted : wanted - left_page;
    if (distance < best_distance) {
      best = count;
      best_distance = distance;
    }
  }
  PGQUORUM_CHECK(best != 0);  // see kMaxIndexEntryBytes
  return best;
}

}  // namespace

Status CheckIndexRowSize(const IndexRow& row) {
  if (IndexEntryFits(row.key.size(), row.payload.size())) {
    return Status::Ok();
  }
  return Status::Error("54000", "index row is too big for a fusion index")
      .WithDetail("It has " + std::to_string(row.key.size() + row.payload.size()) +
                  " bytes, the maximum is about " + std::to_string(kMaxIndexEntryBytes) + ".")
      .WithHint("Index a hash of the value, or a part of it.");
}

Result<InsertOutcome> IndexTree::Insert(const IndexRow& row, Uniqueness uniqueness,
                                        RowJudge* judge) {
  Status size = CheckIndexRowSize(row);
  if (!size.ok()) {
    return size;
  }
  bool check = uniqueness != Uniqueness::kNone;
  PGQUORUM_CHECK(!check || judge != nullptr);
  PGQUORUM_CHECK(row.at.slot != 0);
  Path path{};
  // All who insert equal keys into a unique index meet on the leaf where the first of them belongs.
  Result<PageGuard> leaf =
      Descend(check ? KeyPosition::FirstOf(row.key) : KeyPosition::AtRow(row.key, row.at), 0,
              LatchMode::kExclusive, &path);
  if (!leaf.ok()) {
    return leaf.status();
  }
  InsertOutcome outcome;
  if (check) {
    Status checked = FindConflict(leaf.value(), row, *judge, outcome);
    if (!checked.ok()) {
      return checked;
    }
    bool conflict = outcome.conflict != RowState::kNoMatter;
    if (uniqueness == Uniqueness::kOnly || (conflict && uniqueness == Uniqueness::kFull)) {
      return outcome;
    }
    leaf = StepRight(std::move(leaf).value(), row, path);
    if (!leaf.ok()) {
      return leaf.status();
    }
  }
  Status placed = Place(std::move(leaf).value(), row, path);
  outcome.inserted = placed.ok();
  return placed.ok() ? Result<InsertOutcome>(outcome) : placed;
}

Status IndexTree::JudgePage(const char* page, unsigned first, const IndexRow& row, RowJudge& judge,
                            InsertOutcome& outcome, std::vector<unsigned>& gone, bool& ended) {
  for (unsigned i = first; i <= EntryCount(page); ++i) {
    IndexEntry entry = EntryOn(page, i);
    ended = order_.Compare(row.key, entry.key) != 0;
    if (order_.failed()) {
      return order_.TakeError();
    }
    if (ended) {
      return Status::Ok();
    }
    if (EntryIsGone(page, i) || entry.at == row.at) {
      continue;
    }
    Result<RowVerdict> verdict = judge.Judge(entry.at);
    if (!verdict.ok()) {
      return verdict.status();
    }
    RowState state = verdict.value().state;
    if (state == RowState::kGone) {
      gone.push_back(i);
    } else if (state == RowState::kLive || state == RowState::kUndecided) {
      // The first one decides: a caller who must wait comes again.
      outcome.conflict = state;
      outcome.with = entry.at;
      outcome.holder = verdict.value().holder;
      ended = true;
      return Status::Ok();
    }
  }
  return Status::Ok();
}

Status IndexTree::FindConflict(PageGuard& leaf, const IndexRow& row, RowJudge& judge,
                               InsertOutcome& outcome) {
  unsigned first = FirstNotBefore(order_, leaf.page(), KeyPosition::FirstOf(row.key));
  if (order_.failed()) {
    return order_.TakeError();
  }
  std::vector<unsigned> gone;
  bool ended = false;
  Status judged = JudgePage(leaf.page(), first, row, judge, outcome, gone, ended);
  if (judged.ok() && !gone.empty()) {
    Mutation mutation(storage_.pages(), 0);
    MarkEntriesGone(mutation.Change(leaf), gone);
    judged = mutation.Commit().status();
  }
  if (!judged.ok() || ended || !HasHighKey(leaf.page())) {
    return judged;
  }
  // Equal keys may go on to the right. `leaf` stays held: it keeps others with this key away.
  ended = order_.Compare(row.key, EntryOn(leaf.page(), 0).key) != 0;
  if (order_.failed()) {
    return order_.TakeError();
  }
  for (uint32_t block = SpecialOf(leaf.page()).right; judged.ok() && !ended && block != 0;) {
    Result<PageGuard> next = Fetch(block, LatchMode::kShared);
    if (!next.ok()) {
      return next.status();
    }
    const char* page = next.value().page();
    block = SpecialOf(page).right;
    if (!HasFlag(page, kIndexDeleted)) {
      judged = JudgePage(page, 1, row, judge, outcome, gone, ended);
    }
  }
  return judged;
}

Result<PageGuard> IndexTree::StepRight(PageGuard leaf, const IndexRow& row, Path& path) {
  KeyPosition position = KeyPosition::AtRow(row.key, row.at);
  for (;;) {
    bool beyond = LiesBeyond(order_, leaf.page(), position);
    if (order_.failed()) {
      return order_.TakeError();
    }
    if (!beyond) {
      return leaf;
    }
    Result<PageGuard> next = Fetch(SpecialOf(leaf.page()).right, LatchMode::kExclusive);
    if (!next.ok()) {
      return next;
    }
    if (HasFlag(next.value().page(), kIndexSplitting)) {
      uint32_t block = next.value().id().block;
      next.value().Release();
      Status finished = FinishSplit(block, path);
      if (!finished.ok()) {
        return finished;
      }
      continue;
    }
    leaf = std::move(next).value();
  }
}

Status IndexTree::Place(PageGuard leaf, const IndexRow& row, Path& path) {
  unsigned number = FirstNotBefore(order_, leaf.page(), KeyPosition::AtRow(row.key, row.at));
  bool there = number <= EntryCount(leaf.page()) && EntryOn(leaf.page(), number).at == row.at &&
               order_.Compare(row.key, EntryOn(leaf.page(), number).key) == 0;
  if (order_.failed()) {
    return order_.TakeError();
  }
  if (there) {
    return Damage(leaf.id().block, "it has an entry for row (" + std::to_string(row.at.block()) +
                                       "," + std::to_string(row.at.slot) + ") already");
  }
  Result<std::optional<PageGuard>> put =
      Put(leaf, number, EncodeIndexEntry(row.key, row.at, row.payload), nullptr);
  if (!put.ok()) {
    return put.status();
  }
  return put.value() ? CompleteSplit(std::move(leaf), std::move(*put.value()), path) : Status::Ok();
}

Result<std::optional<PageGuard>> IndexTree::Put(PageGuard& page, unsigned number,
                                                std::string_view entry, PageGuard* child) {
  const char* bytes = page.page();
  PGQUORUM_CHECK(HeaderOf(bytes).flags == 0);  // a split is finished before the next begins
  if (entry.size() <= IndexRoom(bytes)) {
    Mutation mutation(storage_.pages(), 0);
    InsertIndexEntry(mutation.Change(page), number, entry);
    if (child != nullptr) {
      mutation.Change(*child).SetFlags(0);
    }
    Status status = mutation.Commit().status();
    return status.ok() ? Result<std::optional<PageGuard>>(std::nullopt) : status;
  }
  std::vector<std::string_view> entries;
  std::size_t high_bytes = HasHighKey(bytes) ? EntryBytesOn(bytes, 0).size() : 0;
  std::size_t total = IndexEntryCost(high_bytes);
  unsigned count = EntryCount(bytes);
  for (unsigned i = 1; i <= count + 1; ++i) {
    if (i == number) {
      entries.push_back(entry);
      total += IndexEntryCost(entry.size());
    }
    if (i <= count && !EntryIsGone(bytes, i)) {
      entries.push_back(EntryBytesOn(bytes, i));
      total += IndexEntryCost(entries.back().size());
    }
  }
  if (total <= kIndexCapacity) {
    // There is room once the bytes of removed entries are given up.
    IndexPageDraft draft;
    draft.SetHighKey(high_bytes == 0 ? std::string_view() : EntryBytesOn(bytes, 0));
    for (std::string_view kept : entries) {
      draft.Add(kept);
    }
    IndexSpecial special = SpecialOf(bytes);
    Mutation mutation(storage_.pages(), 0);
    draft.WriteTo(mutation.Change(page), special, 0);
    if (child != nullptr) {
      mutation.Change(*child).SetFlags(0);
    }
    Status status = mutation.Commit().status();
    return status.ok() ? Result<std::optional<PageGuard>>(std::nullopt) : status;
  }
  bool at_end = SpecialOf(bytes).right == 0 && number > count;
  Result<PageGuard> right = Divide(page, entries, LeftCount(entries, high_bytes, at_end), child);
  return right.ok() ? Result<std::optional<PageGuard>>(std::move(right).value()) : right.status();
}

Result<PageGuard> IndexTree::Divide(PageGuard& page, const std::vector<std::string_view>& entries,
                                    std::size_t left_count, PageGuard* child) {
  const char* bytes = page.page();
  IndexSpecial special = SpecialOf(bytes);
  Result<std::string> between =
      KeyBetween(order_, special.level, entries[left_count - 1], entries[left_count]);
  if (!between.ok()) {
    return between.status();
  }
  PageGuard neighbour;
  if (special.right != 0) {
    Result<PageGuard> guard = Fetch(special.right, LatchMode::kExclusive);
    if (!guard.ok()) {
      return guard;
    }
    neighbour = std::move(guard).value();
  }
  Result<Fresh> fresh = Allocate();
  if (!fresh.ok()) {
    return fresh.status();
  }
  PageGuard& right = fresh.value().page;

  IndexPageDraft left_draft;
  IndexPageDraft right_draft;
  left_draft.SetHighKey(between.value());
  right_draft.SetHighKey(HasHighKey(bytes) ? EntryBytesOn(bytes, 0) : std::string_view());
  for (std::size_t i = 0; i < left_count; ++i) {
    left_draft.Add(entries[i]);
  }
  for (std::size_t i = left_count; i < entries.size(); ++i) {
    // Above the leaves the first key is the page's lower bound, which the left page has now.
    std::string_view entry = entries[i];
    bool keyless = special.level > 0 && i == left_count;
    uint32_t below = 0;
    if (keyless) {
      std::memcpy(&below, entry.data() + entry.size() - sizeof(below), sizeof(below));
    }
    right_draft.Add(keyless ? EncodeChildEntry({}, {}, below) : std::string(entry));
  }

  Mutation mutation(storage_.pages(), 0);
  right_draft.WriteTo(mutation.Change(right), {page.id().block, special.right, special.level, 0, 0},
                      0);
  IndexSpecial left_special = special;
  left_special.right = right.id().block;
  left_draft.WriteTo(mutation.Change(page), left_special, kIndexSplitting);
  if (neighbour.held()) {
    IndexSpecial next = SpecialOf(neighbour.page());
    next.left = right.id().block;
    SetIndexSpecial(mutation.Change(neighbour), next);
  }
  if (child != nullptr) {
    mutation.Change(*child).SetFlags(0);
  }
  Take(mutation, fresh.value());
  Status status = mutation.Commit().status();
  return status.ok() ? Result<PageGuard>(std::move(right)) : status;
}

Result<IndexTree::Fresh> IndexTree::Allocate() {
  Result<PageGuard> meta = FetchMeta(LatchMode::kExclusive);
  if (!meta.ok()) {
    return meta.status();
  }
  IndexMeta changed = MetaOf(meta.value().page());
  if (changed.free_first != 0) {
    Result<PageGuard> page = Fetch(changed.free_first, LatchMode::kExclusive);
    if (!page.ok()) {
      return page.status();
    }
    if (!HasFlag(page.value().page(), kIndexDeleted)) {
      return Damage(changed.free_first, "in the list of deleted pages, and not deleted");
    }
    IndexSpecial special = SpecialOf(page.value().page());
    if (Scn(special.stamp) < transactions_.Horizon()) {
      changed.free_first = special.next_free;
      changed.free_last = special.next_free == 0 ? 0 : changed.free_last;
      return Fresh{std::move(meta).value(), std::move(page).value(), changed};
    }
  }
  if (changed.blocks == UINT32_MAX) {
    return Status::Error("54000", "fusion index has reached its largest size");
  }
  Result<PageGuard> page =
      storage_.pages().Fetch({segment_, changed.blocks}, LatchMode::kExclusive);
  if (!page.ok()) {
    return page.status();
  }
  changed.blocks += 1;
  return Fresh{std::move(meta).value(), std::move(page).value(), changed};
}

void IndexTree::Take(Mutation& mutation, Fresh& fresh) {
  SetIndexMeta(mutation.Change(fresh.meta), fresh.changed);
}

}  // namespace pgquorum::fusion
