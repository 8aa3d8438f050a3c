#include "cachefusion/table/table_check.h"

#include <utility>

#include "base/pure.h"

namespace pgquorum::fusion {

void TableCheck::Tell(const std::string& fault) {
  if (faults_.size() < kMostFaults) {
    faults_.push_back(fault);
  }
}

Status TableCheck::WalkChain(const ChainLink& link, RowAddress row, bool must) {
  uint64_t bytes = 0;
  uint64_t total = 0;
  uint32_t block = link.head;
  const char* wrong = nullptr;
  // No page is met twice, so a circle comes to an end.
  for (uint32_t steps = 0; block != 0 && wrong == nullptr && steps < blocks_; ++steps) {
    Result<PageGuard> guard = storage_.pages().Fetch({segment_, block}, LatchMode::kShared);
    if (!guard.ok()) {
      return guard.status();
    }
    const char* page = guard.value().page();
    if (block >= blocks_ || !IsOfChain(page, link.head, link.serial)) {
      wrong = "a page is not there";
      break;
    }
    OverflowHeader header = OverflowOn(page);
    reached_[block] = true;
    total = block == link.head ? header.total : total;
    bytes += header.length;
    wrong = header.total != total ? "its pages do not agree" : nullptr;
    block = header.next;
  }
  if (wrong == nullptr && (bytes != total || block != 0)) {
    wrong = "its length is wrong";
  }
  if (must && wrong != nullptr) {
    Tell("large value " + std::to_string(link.head) + " of row (" + std::to_string(row.block()) +
         "," + std::to_string(row.slot) + "): " + wrong);
  }
  return Status::Ok();
}

Status TableCheck::CheckRows(const char* page, Visibility& visibility, Scn horizon) {
  for (SlotNumber slot = 1; slot <= SlotCount(page); ++slot) {
    std::string_view version = VersionAt(page, slot);
    if (version.empty()) {
      continue;
    }
    std::vector<ChainLink> chains = ChainsOf(version);
    if (chains.empty()) {
      continue;
    }
    Result<bool> dead = visibility.IsDead(HeaderOfVersion(version), horizon);
    if (!dead.ok()) {
      return dead.status();
    }
    for (const ChainLink& chain : chains) {
      ++chains_;
      Status walked = WalkChain(chain, RowAddress::Of(block_, slot), !dead.value());
      if (!walked.ok()) {
        return walked;
      }
    }
  }
  return Status::Ok();
}

Status TableCheck::CheckOverflow(const char* page, Visibility& visibility) {
  std::string_view fault = FindOverflowFault(page);
  if (!fault.empty()) {
    Tell("page " + std::to_string(block_) + ": " + std::string(fault));
    return Status::Ok();
  }
  if (reached_[block_]) {
    return Status::Ok();
  }
  VersionHeader made{};
  made.creator = OverflowOn(page).creator;
  TxWord other;
  Result<VersionState> state = visibility.StateOf(made, other);
  if (!state.ok()) {
    return state.status();
  }
  if (state.value() == VersionState::kLive) {
    Tell("page " + std::to_string(block_) + ": part of a large value of no row");
  }
  return Status::Ok();
}

Result<bool> TableCheck::Step(Visibility& visibility, Scn horizon) {
  if (!begun_) {
    Result<uint32_t> blocks = table_.space().Blocks();
    if (!blocks.ok()) {
      return blocks.status();
    }
    begun_ = true;
    blocks_ = blocks.value();
    reached_.resize(blocks_);
  }
  if (block_ >= blocks_) {
    if (second_pass_) {
      return false;
    }
    second_pass_ = true;
    block_ = 0;
  }
  if (!SegmentSpace::HoldsRows(block_)) {
    ++block_;
    return block_ < blocks_ || !second_pass_;
  }
  std::string page;
  {
    Result<PageGuard> guard = storage_.pages().Fetch({segment_, block_}, LatchMode::kShared);
    if (!guard.ok()) {
      return guard.status();
    }
    page.assign(guard.value().page(), kPageBytes);
  }
  Status status = Status::Ok();
  PageKind kind = HeaderOf(page.data()).kind;
  if (kind == PageKind::kTable && !second_pass_) {
    std::string_view fault = FindTablePageFault(page.data());
    if (fault.empty()) {
      status = CheckRows(page.data(), visibility, horizon);
    } else {
      Tell("page " + std::to_string(block_) + ": " + std::string(fault));
    }
  } else if (kind == PageKind::kOverflow && second_pass_) {
    status = CheckOverflow(page.data(), visibility);
  } else if (kind != PageKind::kTable && kind != PageKind::kOverflow) {
    Tell("page " + std::to_string(block_) + " is of a kind that tables do not have");
  }
  ++block_;
  return status.ok() ? Result<bool>(true) : status;
}

}  // namespace pgquorum::fusion
