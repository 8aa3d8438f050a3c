#include "cachefusion/index/index_check.h"

#include <cstring>
#include <utility>

#include "base/storage/errors.h"
#include "cachefusion/index/page_copy.h"

#include "base/pure.h"

namespace pgquorum::fusion {
namespace {

// What a page says about one of its children.
struct Child {
  uint32_t block;
  std::string low;  // the key before it, as an entry; empty: none
};

std::string AsEntry(const IndexEntry& entry) {
  return EncodeIndexEntry(entry.key, entry.at, {});
}

class Walk {
 public:
  Walk(Storage& storage, uint64_t segment, KeyOrder& order,
       const std::function<Status(const IndexEntry&)>& visit)
      : storage_(storage), segment_(segment), order_(order), visit_(visit) {}

  Status Run() {
    Status status = Copy(0);
    if (!status.ok() || !report.faults.empty()) {
      return status;
    }
    if (!LooksLikeIndexMeta(page_.data())) {
      Fault(0, "no meta page of an index");
      return status;
    }
    meta_ = MetaOf(page_.data());
    if (meta_.version != kIndexVersion || meta_.building != 0 || meta_.root == 0 ||
        meta_.root >= meta_.blocks) {
      Fault(0, "not built, of another version, or without a root");
      return status;
    }
    report.level = meta_.level;
    seen_.assign(meta_.blocks, false);
    children_ = {{meta_.root, {}}};
    for (uint32_t level = meta_.level + 1; level > 0 && status.ok() && !stopped_; --level) {
      status = RunLevel(level - 1);
    }
    if (status.ok() && !stopped_) {
      status = RunFree();
    }
    for (uint32_t block = 1; block < meta_.blocks && status.ok() && !stopped_; ++block) {
      if (!seen_[block]) {
        Fault(block, "neither in the tree nor in the list of deleted pages");
      }
    }
    return status;
  }

  IndexReport report;

 private:
  void Fault(uint32_t block, std::string_view what) {
    if (report.faults.size() < kMaxIndexFaults) {
      report.faults.push_back("page " + std::to_string(block) + ": " + std::string(what));
    }
  }

  // After a page that cannot be followed, what is missing behind it would be reported as well.
  void Stop(uint32_t block, std::string_view what) {
    Fault(block, what);
    stopped_ = true;
  }

  Status Copy(uint32_t block) {
    Result<PageGuard> guard = storage_.pages().Fetch({segment_, block}, LatchMode::kShared);
    if (!guard.ok()) {
      if (guard.status().sqlstate() != kErrDamaged) {
        return guard.status();
      }
      Stop(block, guard.status().message());
      return Status::Ok();
    }
    std::memcpy(page_.data(), guard.value().page(), kPageBytes);
    return Status::Ok();
  }

  // Copies a page that a link leads to; `stopped_` when it is not to be used.
  Status Follow(uint32_t block, uint32_t from) {
    if (block == 0 || block >= meta_.blocks) {
      Stop(from, "a link leads to block " + std::to_string(block) + ", which is not there");
      return Status::Ok();
    }
    if (seen_[block]) {
      Stop(from, "a link leads to block " + std::to_string(block) + ", which was met before");
      return Status::Ok();
    }
    seen_[block] = true;
    Status copied = Copy(block);
    if (copied.ok() && !stopped_) {
      std::string_view fault = FindIndexPageFault(page_.data());
      if (!fault.empty()) {
        Stop(block, fault);
      }
    }
    return copied;
  }

  Status RunLevel(uint32_t level) {
    std::vector<Child> expected = std::exchange(children_, {});
    std::size_t next = 0;
    uint32_t left = 0;
    std::string low;
    bool splitting = false;
    for (uint32_t block = expected[0].block; block != 0;) {
      Status followed = Follow(block, left);
      if (!followed.ok() || stopped_) {
        return followed;
      }
      const IndexSpecial special = SpecialOf(page_.data());
      if (HasFlag(page_.data(), kIndexDeleted) || special.level != level) {
        Stop(block, "deleted, or on an unexpected level");
        return Status::Ok();
      }
      if (special.left != left) {
        Fault(block, "its left link does not lead to where it was reached from");
      }
      // The new page of a split that has not been finished is not known above.
      if (!splitting) {
        if (next == expected.size() || expected[next].block != block) {
          Fault(block, "the level above does not lead to it");
        } else if (expected[next].low != low) {
          Fault(block, "its key in the level above is not the high key to its left");
        }
        ++next;
      }
      Status looked = LookAt(block, low);
      if (!looked.ok()) {
        return looked;
      }
      splitting = HasFlag(page_.data(), kIndexSplitting);
      report.splitting += splitting ? 1 : 0;
      report.pages += 1;
      low = HasHighKey(page_.data()) ? AsEntry(EntryOn(page_.data(), 0)) : std::string();
      left = block;
      block = special.right;
    }
    if (next != expected.size()) {
      Fault(left, "the level above has more children than there are to the right");
    }
    return Status::Ok();
  }

  Status LookAt(uint32_t block, const std::string& low) {
    const char* page = page_.data();
    bool leaf = SpecialOf(page).level == 0;
    unsigned first = leaf ? 1 : 2;
    for (unsigned i = 1; i <= EntryCount(page); ++i) {
      IndexEntry entry = EntryOn(page, i);
      if (!leaf) {
        children_.push_back({ChildOn(page, i), i == 1 ? low : AsEntry(entry)});
      }
      if (i < first) {
        continue;
      }
      KeyPosition position = KeyPosition::AtRow(entry.key, entry.at);
      // Above the leaves keys may be cut, and equal to what they are compared with.
      if (i > first) {
        int compared = ComparePosition(order_, position, EntryOn(page, i - 1));
        if (compared < 0 || (leaf && compared == 0)) {
          Fault(block, "entry " + std::to_string(i) + " is not greater than the one before");
        }
      }
      if (!low.empty() && ComparePosition(order_, position, ParseIndexEntry(low)) < 0) {
        Fault(block, "entry " + std::to_string(i) + " is less than the page's range");
      }
      if (HasHighKey(page)) {
        int compared = ComparePosition(order_, position, EntryOn(page, 0));
        if (compared > 0 || (leaf && compared == 0)) {
          Fault(block, "entry " + std::to_string(i) + " is beyond the page's range");
        }
      }
      if (leaf && !EntryIsGone(page, i)) {
        report.entries += 1;
        Status visited = visit_ ? visit_(entry) : Status::Ok();
        if (!visited.ok()) {
          return visited;
        }
      }
    }
    return order_.failed() ? order_.TakeError() : Status::Ok();
  }

  Status RunFree() {
    uint32_t last = 0;
    uint64_t stamp = 0;
    for (uint32_t block = meta_.free_first; block != 0;) {
      Status followed = Follow(block, last);
      if (!followed.ok() || stopped_) {
        return followed;
      }
      const IndexSpecial& special = SpecialOf(page_.data());
      if (!HasFlag(page_.data(), kIndexDeleted)) {
        Fault(block, "in the list of deleted pages, and not deleted");
      }
      if (special.stamp < stamp) {
        Fault(block, "deleted before the one in front of it in the list");
      }
      report.deleted += 1;
      stamp = special.stamp;
      last = block;
      block = special.next_free;
    }
    if (last != meta_.free_last) {
      Fault(0, "the list of deleted pages ends elsewhere");
    }
    return Status::Ok();
  }

  Storage& storage_;
  uint64_t segment_;
  KeyOrder& order_;
  const std::function<Status(const IndexEntry&)>& visit_;
  PageCopy page_;
  IndexMeta meta_{};
  std::vector<bool> seen_;
  std::vector<Child> children_;
  bool stopped_ = false;
};

}  // namespace

Result<IndexReport> CheckIndex(Storage& storage, uint64_t segment, KeyOrder& order,
                               const std::function<Status(const IndexEntry&)>& visit) {
  Walk walk(storage, segment, order, visit);
  Status status = walk.Run();
  return status.ok() ? Result<IndexReport>(std::move(walk.report)) : status;
}

}  // namespace pgquorum::fusion
