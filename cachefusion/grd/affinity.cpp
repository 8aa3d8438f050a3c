#include "cachefusion/grd/affinity.h"

#include <algorithm>
#include <utility>

#include "base/pure.h"

namespace pgquorum::fusion {
namespace {

constexpr double kForgotten = 0.5;  // less than one access: the counter goes

}  // namespace

void Affinity::Count(Bucket bucket, InstanceId user) {
  counts_[bucket][user] += 1.0;
}

double Affinity::CountOf(Bucket bucket, InstanceId user) const {
  auto users = counts_.find(bucket);
  if (users == counts_.end()) {
    return 0;
  }
  auto count = users->second.find(user);
  return count == users->second.end() ? 0 : count->second;
}

std::vector<BucketMove> Affinity::Interval(InstanceId self) {
  std::vector<std::pair<double, BucketMove>> found;
  for (auto bucket = counts_.begin(); bucket != counts_.end();) {
    auto& users = bucket->second;
    double own = 0;
    std::pair<double, InstanceId> best{0, InstanceId()};
    for (auto& [user, count] : users) {
      if (user == self) {
        own = count;
      } else if (count > best.first) {
        best = {count, user};
      }
    }
    if (best.first > options_.remote_accesses && best.first >= options_.lead * own) {
      found.push_back({best.first, {bucket->first, best.second}});
    }
    for (auto user = users.begin(); user != users.end();) {
      user->second *= options_.decay;
      user = user->second < kForgotten ? users.erase(user) : std::next(user);
    }
    bucket = users.empty() ? counts_.erase(bucket) : std::next(bucket);
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<BucketMove> moves;
  moves.reserve(found.size());
  for (const auto& [count, move] : found) {
    moves.push_back(move);
  }
  return moves;
}

}  // namespace pgquorum::fusion
