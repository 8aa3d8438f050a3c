#include "bgworkers/replication/core/conflict/policy.h"

#include <algorithm>

#include "bgworkers/replication/core/errors.h"

#include "base/pure.h"

namespace pgquorum::replication {

std::string_view NameOf(Strategy strategy) {
  return kStrategyNames[static_cast<std::size_t>(strategy)];
}

std::optional<Strategy> StrategyNamed(std::string_view name) {
  auto found = std::find(kStrategyNames.begin(), kStrategyNames.end(), name);
  if (found == kStrategyNames.end()) {
    return std::nullopt;
  }
  return static_cast<Strategy>(found - kStrategyNames.begin());
}

Strategy EffectiveStrategy(Strategy group, std::optional<Strategy> table) {
  return table.value_or(group);
}

Status TablePolicy::Validate() const {
  auto refuse = [](std::string message, std::string hint) {
    return Status::Error(kErrInvalidValue, std::move(message)).WithHint(std::move(hint));
  };
  if (strategy == Strategy::kPrimary && !primary) {
    return refuse("strategy primary needs a site", "Name the site whose writes win.");
  }
  if (strategy == Strategy::kCustom && !custom) {
    return refuse("strategy custom needs a function",
                  "Name a function that is marked immutable; every site calls it.");
  }
  if (column_level && (strategy == Strategy::kCustom || strategy == Strategy::kMultiValue)) {
    return refuse("strategy " + std::string(NameOf(strategy)) + " decides about whole rows",
                  "Use it without column-level merging.");
  }
  for (const std::optional<Strategy>& other : overrides) {
    if (other && *other != Strategy::kError && *other != Strategy::kSkip) {
      return refuse("a single kind of conflict can only be set to error or skip",
                    "Choose another strategy for the whole table.");
    }
  }
  return Status::Ok();
}

}  // namespace pgquorum::replication
