#include "cachefusion/index/index_scan.h"

#include <utility>

#include "base/check.h"

#include "base/pure.h"

namespace pgquorum::fusion {
namespace {

// Pages to the right of a left link that are looked at before the link is read again.
constexpr int kMaxSteps = 8;
// Times that the link is the same and still leads nowhere.
constexpr int kMaxSame = 100;

}  // namespace

Result<unsigned> IndexScan::Seek(const KeyPosition& position) {
  gone_.clear();
  auto copy = std::make_shared<PageCopy>();
  Status copied = tree_.CopyLeaf(position, copy->data());
  if (!copied.ok()) {
    return copied;
  }
  unsigned first = FirstNotBefore(tree_.order(), copy->data(), position);
  if (tree_.order().failed()) {
    return tree_.order().TakeError();
  }
  page_ = std::move(copy);
  behind_ = page_;
  return first;
}

Status IndexScan::SeekForward(const KeyPosition& position) {
  Result<unsigned> first = Seek(position);
  if (first.ok()) {
    number_ = first.value() - 1;
  }
  return first.status();
}

Status IndexScan::SeekBackward(const KeyPosition& position) {
  Result<unsigned> first = Seek(position);
  if (first.ok()) {
    number_ = first.value();
  }
  return first.status();
}

Result<bool> IndexScan::Next() {
  PGQUORUM_CHECK(page_ != nullptr);
  for (;;) {
    unsigned count = EntryCount(page_->data());
    while (number_ < count) {
      ++number_;
      if (!EntryIsGone(page_->data(), number_)) {
        return true;
      }
    }
    number_ = count + 1;
    Status told = TellGone();
    if (!told.ok()) {
      return told;
    }
    Result<bool> stepped = StepRight();
    if (!stepped.ok() || !stepped.value()) {
      return stepped;
    }
  }
}

Result<bool> IndexScan::Previous() {
  PGQUORUM_CHECK(page_ != nullptr);
  for (;;) {
    while (number_ > 1) {
      --number_;
      if (!EntryIsGone(page_->data(), number_)) {
        return true;
      }
    }
    number_ = 0;
    Status told = TellGone();
    if (!told.ok()) {
      return told;
    }
    Result<bool> stepped = StepLeft();
    if (!stepped.ok() || !stepped.value()) {
      return stepped;
    }
    number_ = EntryCount(page_->data()) + 1;
  }
}

Status IndexScan::TellGone() {
  std::vector<unsigned> gone = std::exchange(gone_, {});
  if (gone.empty()) {
    return Status::Ok();
  }
  const PageHeader& header = HeaderOf(page_->data());
  return tree_.MarkGone(header.block, Psn(header.psn), gone);
}

void IndexScan::Restore() {
  PGQUORUM_CHECK(marked_.page != nullptr);
  gone_.clear();
  page_ = marked_.page;
  behind_ = page_;
  number_ = marked_.number;
}

Result<bool> IndexScan::StepRight() {
  uint32_t block = SpecialOf(page_->data()).right;
  while (block != 0) {
    auto copy = std::make_shared<PageCopy>();
    Status copied = tree_.CopyPage(block, copy->data());
    if (!copied.ok()) {
      return copied;
    }
    if (!HasFlag(copy->data(), kIndexDeleted)) {
      // Pages that we have left may have been deleted: what was inserted into their ranges since is
      // on this page, or on one that was divided off it, and lies behind us.
      IndexEntry high = EntryOn(behind_->data(), 0);
      KeyPosition behind = KeyPosition::AtRow(high.key, high.at);
      unsigned first = FirstNotBefore(tree_.order(), copy->data(), behind);
      bool all = LiesBeyond(tree_.order(), copy->data(), behind);
      if (tree_.order().failed()) {
        return tree_.order().TakeError();
      }
      page_ = std::move(copy);
      behind_ = all ? behind_ : page_;
      number_ = first - 1;
      return true;
    }
    block = SpecialOf(copy->data()).right;
  }
  return false;
}

Result<bool> IndexScan::FindLeftOf(uint32_t block, uint32_t from) {
  for (int step = 0; step < kMaxSteps && from != 0; ++step) {
    auto copy = std::make_shared<PageCopy>();
    Status copied = tree_.CopyPage(from, copy->data());
    if (!copied.ok()) {
      return copied;
    }
    from = SpecialOf(copy->data()).right;
    if (from == block && !HasFlag(copy->data(), kIndexDeleted)) {
      page_ = std::move(copy);
      behind_ = page_;
      return true;
    }
  }
  return false;
}

Status IndexScan::FindLive(uint32_t& block, uint32_t& left) {
  PageCopy copy;
  for (;;) {
    Status copied = tree_.CopyPage(block, copy.data());
    if (!copied.ok()) {
      return copied;
    }
    if (!HasFlag(copy.data(), kIndexDeleted)) {
      left = SpecialOf(copy.data()).left;
      return Status::Ok();
    }
    block = SpecialOf(copy.data()).right;
  }
}

Result<bool> IndexScan::StepLeft() {
  uint32_t block = HeaderOf(page_->data()).block;
  uint32_t left = SpecialOf(page_->data()).left;
  for (int same = 0; left != 0;) {
    // The left page may have been divided, then the last part is ours; or deleted, or this one.
    Result<bool> found = FindLeftOf(block, left);
    if (!found.ok() || found.value()) {
      return found;
    }
    uint32_t live = block;
    uint32_t link = left;
    Status status = FindLive(live, link);
    if (!status.ok()) {
      return status;
    }
    // A page in between may have come and gone just now, but not time and again.
    same = live == block && link == left ? same + 1 : 0;
    if (same == kMaxSame) {
      return tree_.Damage(block, "its left neighbour does not lead to it");
    }
    block = live;
    left = link;
  }
  return false;
}

}  // namespace pgquorum::fusion
