#include "bgworkers/replication/core/conflict/constraints.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

#include "base/pure.h"

namespace pgquorum::replication {

std::vector<UniqueLoss> DecideUnique(std::span<const UniqueClaims> rows, UniqueRule rule) {
  std::vector<std::size_t> order(rows.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return rows[a].stamp != rows[b].stamp ? rows[a].stamp > rows[b].stamp
                                          : rows[a].key < rows[b].key;
  });
  std::map<std::pair<std::size_t, std::string>, std::size_t> taken;
  std::vector<UniqueLoss> losses;
  for (std::size_t row : order) {
    std::vector<UniqueLoss> mine;
    for (std::size_t i = 0; i < rows[row].values.size(); ++i) {
      const std::optional<std::string>& value = rows[row].values[i];
      auto owner = value ? taken.find({i, *value}) : taken.end();
      if (owner != taken.end()) {
        UniqueLoss loss{row, i, owner->second, std::nullopt};
        if (rule == UniqueRule::kRename) {
          loss.new_value = *value + "~" + std::to_string(rows[row].stamp.hlc.value()) + "." +
                           rows[row].stamp.origin.ToString();
        }
        mine.push_back(std::move(loss));
      }
    }
    bool displaced = !mine.empty() && rule == UniqueRule::kDisplace;
    for (std::size_t i = 0; i < rows[row].values.size() && !displaced; ++i) {
      if (rows[row].values[i]) {
        taken.emplace(std::pair(i, *rows[row].values[i]), row);
      }
    }
    losses.insert(losses.end(), mine.begin(), mine.end());
  }
  return losses;
}

const Image* LastImage(const RowState& state) {
  const Version* last = nullptr;
  auto look = [&](const Version& version) {
    if (!version.image.empty() && (last == nullptr || version.stamp > last->stamp)) {
      last = &version;
    }
  };
  if (state.newest) {
    look(*state.newest);
  }
  if (state.deleted) {
    look(*state.deleted);
  }
  std::for_each(state.versions.begin(), state.versions.end(), look);
  return last == nullptr ? nullptr : &last->image;
}

OrphanAction DecideOrphan(bool parent_live, const RowState* parent, OrphanRule rule) {
  if (parent_live) {
    return OrphanAction::kNone;
  }
  switch (rule) {
    case OrphanRule::kSetNull:
      return OrphanAction::kSetNull;
    case OrphanRule::kCascade:
      return OrphanAction::kHide;
    case OrphanRule::kReviveParent:
      return parent != nullptr && LastImage(*parent) != nullptr ? OrphanAction::kShowParent
                                                                : OrphanAction::kSetNull;
  }
  return OrphanAction::kSetNull;
}

}  // namespace pgquorum::replication
