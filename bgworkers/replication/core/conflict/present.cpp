#include "bgworkers/replication/core/conflict/present.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "bgworkers/replication/core/bug.h"

#include "base/pure.h"

namespace pgquorum::replication {
namespace {

using Candidates = std::vector<const Version*>;

Presented PresentByStamp(const RowState& state, const TablePolicy& policy, const Stamp& truncated) {
  Presented row;
  if (!state.newest) {
    return row;
  }
  const Version& newest = *state.newest;
  row.stamp = newest.stamp;
  row.live = newest.stamp > truncated && (!state.deleted || newest.stamp > state.deleted->stamp);
  if (!row.live) {
    return row;
  }
  row.image = policy.column_level ? state.columns : newest.image;
  row.marks = policy.column_level ? state.marks : std::vector<Mark>();
  if (policy.check && row.image != newest.image && !policy.check(row.image)) {
    row.image = newest.image;
    row.marks = newest.marks;
    row.check_failed = true;
  }
  return row;
}

bool Older(const Version* a, const Version* b) {
  return a->stamp < b->stamp;
}

// Whether the strategy prefers `a` to `b`, which have not seen each other.
bool Preferred(const Version& a, const Version& b, const TablePolicy& policy) {
  if (policy.strategy == Strategy::kFirstWriteWins) {
    return a.stamp < b.stamp;
  }
  if (policy.strategy == Strategy::kPrimary) {
    bool a_primary = a.dot.origin.site == policy.primary;
    bool b_primary = b.dot.origin.site == policy.primary;
    if (a_primary != b_primary) {
      return a_primary;
    }
  }
  if (policy.strategy == Strategy::kMultiValue && a.deleted != b.deleted) {
    return b.deleted;  // keep what is there
  }
  return a.stamp > b.stamp;
}

const Version* Choose(const Candidates& candidates, const TablePolicy& policy) {
  return *std::min_element(
      candidates.begin(), candidates.end(),
      [&](const Version* a, const Version* b) { return Preferred(*a, *b, policy); });
}

// The user's function over all concurrent versions, in the order of their stamps.
std::optional<Image> Custom(Candidates candidates, const TablePolicy& policy) {
  std::sort(candidates.begin(), candidates.end(), Older);
  const Version* first = candidates.front();
  std::optional<Image> result = first->deleted ? std::nullopt : std::optional<Image>(first->image);
  for (std::size_t i = 1; i < candidates.size(); ++i) {
    const Version* next = candidates[i];
    CustomInput input;
    bool one_base = first->before && next->before == first->before;
    input.base = one_base ? &*first->before : nullptr;
    input.a = result ? &*result : nullptr;
    input.b = next->deleted ? nullptr : &next->image;
    input.a_stamp = candidates[i - 1]->stamp;
    input.b_stamp = next->stamp;
    result = policy.custom(input);
  }
  return result;
}

// The version whose value of a column counts: of those that no other version's writer knew, the
// one that the strategy prefers.
const Version* ChooseColumn(std::size_t column, const Candidates& live, const TablePolicy& policy) {
  const Version* chosen = nullptr;
  for (const Version* version : live) {
    const Mark& mark = version->marks[column];
    bool replaced = std::any_of(live.begin(), live.end(), [&](const Version* other) {
      return other->marks[column].dot != mark.dot && Knew(*other, mark.dot, mark.stamp);
    });
    if (!replaced && (chosen == nullptr || Preferred(*version, *chosen, policy))) {
      chosen = version;
    }
  }
  return chosen;
}

void MergeColumns(const Candidates& candidates, const Version& chosen, const TablePolicy& policy,
                  Presented& row) {
  Candidates live;
  std::copy_if(candidates.begin(), candidates.end(), std::back_inserter(live),
               [](const Version* version) { return !version->deleted; });
  for (std::size_t i = 0; i < chosen.marks.size(); ++i) {
    const Version* from = ChooseColumn(i, live, policy);
    if (from != nullptr) {
      row.image[i] = from->image[i];
      row.marks[i] = from->marks[i];
    }
  }
  if (policy.check && row.image != chosen.image && !policy.check(row.image)) {
    row.image = chosen.image;
    row.marks = chosen.marks;
    row.check_failed = true;
  }
}

Presented PresentByCausality(const RowState& state, const TablePolicy& policy,
                             const Stamp& truncated) {
  Presented row;
  Candidates candidates;
  for (const Version& version : state.versions) {
    if (version.stamp > truncated) {
      candidates.push_back(&version);
    }
  }
  if (candidates.empty()) {
    return row;
  }
  const Version* chosen = Choose(candidates, policy);
  row.stamp = chosen->stamp;
  row.live = !chosen->deleted;
  row.image = chosen->image;
  row.marks = chosen->marks;
  if (policy.strategy == Strategy::kCustom) {
    PGQUORUM_CHECK(static_cast<bool>(policy.custom));
    std::optional<Image> result = Custom(candidates, policy);
    row.live = result.has_value();
    row.image = std::move(result).value_or(Image());
  } else if (policy.column_level && row.live) {
    MergeColumns(candidates, *chosen, policy, row);
  }
  for (const Version* version : candidates) {
    if (version != chosen) {
      row.others.push_back(version);
    }
  }
  return row;
}

}  // namespace

Presented Present(const RowState& state, const TablePolicy& policy, const Stamp& truncated) {
  Stamp line = PGQUORUM_REPLICATION_BUG(kTruncateForgotten) ? Stamp() : truncated;
  return policy.shape().by_causality ? PresentByCausality(state, policy, line)
                                     : PresentByStamp(state, policy, line);
}

}  // namespace pgquorum::replication
