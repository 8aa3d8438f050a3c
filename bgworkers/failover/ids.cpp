#include "bgworkers/failover/ids.h"

#include <cstdio>

#include "base/pure.h"

namespace pgquorum::failover {

Lsn History::EndOf(Timeline t) const {
  if (t == timeline) {
    return end;
  }
  for (const TimelineSwitch& s : ancestors) {
    if (s.timeline == t) {
      return s.end;
    }
  }
  return Lsn();
}

bool History::Compatible(const History& other) const {
  // The newest timeline that both know: everything before it must be the same in both.
  std::vector<Timeline> line;
  for (const TimelineSwitch& s : ancestors) {
    line.push_back(s.timeline);
  }
  line.push_back(timeline);
  for (std::size_t i = line.size(); i-- > 0;) {
    if (!other.EndOf(line[i])) {
      continue;
    }
    auto theirs = other.ancestors.begin();
    for (std::size_t k = 0; k < i; ++k, ++theirs) {
      if (theirs == other.ancestors.end() || *theirs != ancestors[k]) {
        return false;
      }
    }
    return theirs == other.ancestors.end() ? other.timeline == line[i]
                                           : theirs->timeline == line[i];
  }
  return false;  // nothing in common
}

std::string ToString(Lsn lsn) {
  char text[32];
  std::snprintf(text, sizeof text, "%X/%X", static_cast<unsigned>(lsn.value() >> 32),
                static_cast<unsigned>(lsn.value() & 0xFFFFFFFF));
  return text;
}

std::string ToString(Epoch epoch) {
  return std::to_string(epoch.number);
}

std::string ToString(Position position) {
  return "t" + std::to_string(position.timeline.value()) + ":" + ToString(position.lsn);
}

}  // namespace pgquorum::failover
