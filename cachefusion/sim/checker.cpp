#include "cachefusion/sim/checker.h"

#include <algorithm>

#include "cachefusion/sim/violation.h"

#include "base/pure.h"

namespace pgquorum::fusion::sim {

std::string Name(PageId page) {
  return std::to_string(page.segment) + "/" + std::to_string(page.block);
}

void Checker::Changed(Incarnation life, PageId page, Content before, Content after) {
  auto& versions = history_[page];
  if (before != Latest(page)) {
    Violated("I9: page " + Name(page) + " changed from version " +
             std::to_string(before.psn.value()) + ", newest is " +
             std::to_string(Latest(page).psn.value()));
  }
  versions[after.psn] = {after.value, false, life};
}

void Checker::Durable(Incarnation life, const Thread& thread) {
  for (const Record& record : thread.records) {
    if (record.at > thread.durable) {
      break;
    }
    auto& versions = history_[record.page];
    auto version = versions.find(record.psn_after);
    if (version != versions.end() && version->second.life == life) {
      version->second.durable = true;
    }
  }
}

void Checker::Lost(Incarnation life) {
  for (auto& [page, versions] : history_) {
    std::erase_if(versions, [life](const auto& version) {
      return version.second.life == life && !version.second.durable;
    });
  }
}

Content Checker::Latest(PageId page) const {
  auto versions = history_.find(page);
  if (versions == history_.end() || versions->second.empty()) {
    return {};
  }
  return {versions->second.rbegin()->first, versions->second.rbegin()->second.value};
}

void Checker::Exposed(PageId page, Content content, const char* what) const {
  if (!content.psn) {
    return;
  }
  auto versions = history_.find(page);
  if (versions == history_.end() || !versions->second.contains(content.psn)) {
    Violated(std::string("I2: ") + what + " of a version that does not exist, page " + Name(page));
  }
  const Version& version = versions->second.at(content.psn);
  if (version.value != content.value) {
    Violated(std::string("I2: ") + what + " of another content of version " +
             std::to_string(content.psn.value()) + " of page " + Name(page));
  }
  if (!version.durable) {
    Violated(std::string("I4: ") + what + " without durable redo, page " + Name(page));
  }
}

void Checker::Used(PageId page, Content content) const {
  if (content != Latest(page)) {
    Violated("I9: page " + Name(page) + " used in version " + std::to_string(content.psn.value()) +
             ", newest is " + std::to_string(Latest(page).psn.value()));
  }
}

void Checker::OnDisk(const Storage& storage, PageId page, Psn psn, const char* what) {
  auto found = storage.pages.find(page);
  Psn on_disk = found == storage.pages.end() ? Psn() : found->second.content.psn;
  // A torn page counts: its version stands in the double-write area.
  if (on_disk < psn) {
    Violated(std::string("I6: ") + what + " version " + std::to_string(psn.value()) + " of page " +
             Name(page) + ", the disk has " + std::to_string(on_disk.value()));
  }
}

void Checker::Modes(const std::vector<const Instance*>& instances, PageId page) {
  int exclusive = 0;
  int shared = 0;
  for (const Instance* instance : instances) {
    const Frame* frame = instance->blocks().Find(page);
    if (frame != nullptr) {
      exclusive += frame->mode == BlockMode::kExclusive ? 1 : 0;
      shared += frame->mode == BlockMode::kShared ? 1 : 0;
    }
  }
  if (exclusive > 1 || (exclusive == 1 && shared > 0)) {
    Violated("I1: page " + Name(page) + " is Exclusive " + std::to_string(exclusive) +
             " times and Shared " + std::to_string(shared) + " times");
  }
}

void Checker::DirectoryCovers(const std::vector<Instance*>& instances) {
  for (const Instance* holder : instances) {
    for (const auto& [page, frame] : holder->blocks().frames()) {
      if (frame.mode == BlockMode::kNull) {
        continue;
      }
      InstanceId master = holder->map().MasterOf(page);
      const Entry* entry = nullptr;
      for (Instance* instance : instances) {
        if (instance->map().MasterOf(page) == instance->self()) {
          entry = instance->block_master().directory().Find(page);
        }
      }
      bool known = entry != nullptr &&
                   (entry->owner == holder->self() || entry->sharers.Has(holder->self()));
      if (!known) {
        Violated("I5: instance " + std::to_string(holder->self().value()) + " holds page " +
                 Name(page) + ", its master " + std::to_string(master.value()) + " does not know");
      }
    }
  }
}

}  // namespace pgquorum::fusion::sim
