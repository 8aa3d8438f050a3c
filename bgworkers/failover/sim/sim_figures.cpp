// Liveness: what a run ends with, healed. One fault alone, with the default settings, and the
// write outage that the users are promised, in virtual time.
#include <algorithm>

#include "bgworkers/failover/sim/world.h"

namespace pgquorum::failover::sim {
namespace {

constexpr TimeNs kAfterKill = 1000 * kMs;
constexpr TimeNs kAfterSilence = 3000 * kMs;
// Two candidates may split the votes: one more election.
constexpr TimeNs kSplitVote = 2000 * kMs;

}  // namespace

uint64_t World::Elections() const {
  uint64_t count = 0;
  for (const Node& node : nodes_) {
    count += node.raft.core ? node.raft.core->metrics().elections_started : 0;
  }
  return count;
}

// Chaos may have changed them; an empty value is the default.
void World::DefaultSettings() {
  for (const auto& [key, value] : std::map<std::string, std::string>(global_.setting_values())) {
    SetForAll(key, "");
  }
}

// Nobody is stopped any more, and everybody is back.
bool World::Calm() {
  TimeNs until = now_;
  for (const Node& node : nodes_) {
    until = std::max({until, node.worker_paused_until, node.pg_paused_until});
  }
  RunUntil(until + 500 * kMs);
  return RunUntil(now_ + options_.patience, [this] { return AllJoined(); });
}

// The fault, then a new primary that clients can use in time, then everybody back.
void World::CheckFigures() {
  bool calm = options_.figures && Calm();
  Node* primary = SettledPrimary();
  bool can_fail_over = calm && primary != nullptr && global_.rule().voters.size() >= 2 &&
                       VotersOf(*primary).current.size() >= 3 && global_.setting_values().empty();
  if (!violation_.empty() || !can_fail_over) {
    return;
  }
  TimeNs began = now_;
  TimeNs allowed = kAfterSilence;
  std::string what;
  uint64_t elections = Elections();
  switch (rng_.Below(3)) {
    case 0:
      what = "kill -9 of the primary's node";
      allowed = kAfterKill;
      KillNode(*primary, 4000 * kMs);
      break;
    case 1:
      what = "primary cut off";
      CutOff(*primary, 4000 * kMs);
      break;
    default:
      what = "primary's node stopped";
      primary->worker_paused_until = primary->pg_paused_until = now_ + 4000 * kMs;
  }
  Trace("figure: " + what);
  bool in_time = RunUntil(began + allowed + kSplitVote, [this, primary] {
    Node* next = SettledPrimary();
    return next != nullptr && next != primary;
  });
  TimeNs outage = now_ - began;
  allowed += Elections() > elections + 1 ? kSplitVote : 0;
  if (violation_.empty() && (!in_time || outage > allowed)) {
    Fail("figure: " + what + ": writes stood still for " + std::to_string(outage / kMs) + " ms" +
         (in_time ? "" : " and longer: " + Describe()));
    return;
  }
  const char* class_of = outage <= allowed / 2 ? "half of" : "all of";
  coverage_.Count("figure: " + what + " used " + class_of + " the time");
  TimeNs& worst = coverage_.worst[what];
  worst = std::max(worst, outage);
  RunUntil(began + 5000 * kMs);
  if (violation_.empty() && !RunUntil(now_ + options_.patience, [this] { return AllJoined(); }) &&
      violation_.empty()) {
    Fail("not healed after " + what + ": " + Describe());
  }
}

std::string World::Describe() {
  std::string text = global_.ToText();
  for (Node& node : nodes_) {
    text += std::to_string(node.id.value()) + ": " +
            (node.up && node.agent ? std::string(ToString(node.agent->state())) : "down") + " " +
            ToString(node.pg.state) + " " + (node.agent ? node.agent->detail() : "");
    text += IsLeader(node) ? ", raft leader, waits for \"" + node.waiting_for + "\"" : "";
    text += node.worker_paused_until > now_ ? ", stopped\n" : "\n";
  }
  return text;
}

}  // namespace pgquorum::failover::sim
