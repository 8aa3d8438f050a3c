#include "cachefusion/grd/directory.h"

#include <algorithm>

#include "base/check.h"

#include "base/pure.h"

namespace pgquorum::fusion {

void Entry::AddPast(InstanceId holder, Psn psn) {
  for (PastHolder& past : pasts) {
    if (past.instance == holder) {
      past.psn = std::max(past.psn, psn);
      return;
    }
  }
  pasts.push_back({holder, psn});
}

Entry* Directory::Find(PageId page) {
  auto found = entries_.find(page);
  return found == entries_.end() ? nullptr : &found->second;
}

Entry& Directory::Create(PageId page) {
  auto [place, fresh] = entries_.try_emplace(page);
  if (fresh) {
    Entry& entry = place->second;
    entry.page = page;
    LinkNewest(entry);
    Entry*& first = buckets_[BucketOf(page)];
    entry.next = first;
    if (first != nullptr) {
      first->previous = &entry;
    }
    first = &entry;
  }
  return place->second;
}

void Directory::Erase(PageId page) {
  auto found = entries_.find(page);
  PGQUORUM_CHECK(found != entries_.end());
  Unlink(found->second);
  UnlinkBucket(found->second);
  entries_.erase(found);
}

void Directory::Touch(Entry& entry) {
  if (newest_ != &entry) {
    Unlink(entry);
    LinkNewest(entry);
  }
}

void Directory::Clear() {
  entries_.clear();
  buckets_.clear();
  newest_ = oldest_ = nullptr;
}

Entry* Directory::Oldest(std::size_t limit) {
  for (Entry* entry = oldest_; entry != nullptr && limit > 0; entry = entry->newer, --limit) {
    if (!entry->busy() && !entry->recovering) {
      return entry;
    }
  }
  return nullptr;
}

std::vector<PageId> Directory::Pages() const {
  std::vector<PageId> pages;
  pages.reserve(entries_.size());
  for (const auto& [page, entry] : entries_) {
    pages.push_back(page);
  }
  std::sort(pages.begin(), pages.end());
  return pages;
}

std::vector<PageId> Directory::PagesOf(Bucket bucket) const {
  std::vector<PageId> pages;
  auto found = buckets_.find(bucket);
  for (Entry* entry = found == buckets_.end() ? nullptr : found->second; entry != nullptr;
       entry = entry->next) {
    pages.push_back(entry->page);
  }
  std::sort(pages.begin(), pages.end());
  return pages;
}

void Directory::UnlinkBucket(Entry& entry) {
  if (entry.next != nullptr) {
    entry.next->previous = entry.previous;
  }
  if (entry.previous != nullptr) {
    entry.previous->next = entry.next;
    return;
  }
  if (entry.next != nullptr) {
    buckets_[BucketOf(entry.page)] = entry.next;
  } else {
    buckets_.erase(BucketOf(entry.page));
  }
}

void Directory::Unlink(Entry& entry) {
  (entry.newer != nullptr ? entry.newer->older : newest_) = entry.older;
  (entry.older != nullptr ? entry.older->newer : oldest_) = entry.newer;
  entry.newer = entry.older = nullptr;
}

void Directory::LinkNewest(Entry& entry) {
  entry.older = newest_;
  entry.newer = nullptr;
  (newest_ != nullptr ? newest_->newer : oldest_) = &entry;
  newest_ = &entry;
}

}  // namespace pgquorum::fusion
