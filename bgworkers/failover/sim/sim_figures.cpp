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
  // The witness too, and whoever has just come back has heard from a leader: a fault on top of an
  // absent Raft voter is two faults.
  auto heard = [](const Node& node) { return node.left || (node.up && node.raft.current); };
  return RunUntil(now_ + kPatience, [this, heard] {
    return AllJoined() && std::all_of(nodes_.begin(), nodes_.end(), heard);
  });
}

// The fault, then a new primary that clients can use in time, then everybody back.
void World::CheckFigures() {
  bool calm = bugs_.figures && Calm();
  Node* primary = SettledPrimary();
  bool can_fail_over = calm && primary != nullptr && global_.rule().voters.size() >= 2 &&
                       primary->raft.machine->voters().current.size() >= 3 &&
                       global_.setting_values().empty();
  if (!violation_.empty() || !can_fail_over) {
    return;
  }
  TimeNs began = now_;
  TimeNs allowed = kAfterSilence;
  Point what = Point::kFigureStopped;
  switch (rng_.Below(3)) {
    case 0:
      what = Point::kFigureKilled;
      allowed = kAfterKill;
      KillNode(*primary, 4000 * kMs);
      break;
    case 1:
      what = Point::kFigureCutOff;
      CutOff(*primary, 4000 * kMs);
      break;
    default:
      primary->worker_paused_until = primary->pg_paused_until = now_ + 4000 * kMs;
  }
  Trace(Name(what));
  uint64_t elections = Elections();  // of those that are left: a dead node counts no more
  bool in_time = RunUntil(began + allowed + kSplitVote, [this, primary] {
    Node* next = SettledPrimary();
    return next != nullptr && next != primary;
  });
  TimeNs outage = now_ - began;
  allowed += Elections() > elections + 1 ? kSplitVote : 0;
  if (violation_.empty() && (!in_time || outage > allowed)) {
    Fail(std::string(Name(what)) + ": writes stood still for " + std::to_string(outage / kMs) +
         " ms" + (in_time ? "" : " and longer: " + Describe()));
    return;
  }
  coverage_.HitFigure(what, outage);
  RunUntil(began + 5000 * kMs);
  if (violation_.empty() && !RunUntil(now_ + kPatience, [this] { return AllJoined(); }) &&
      violation_.empty()) {
    Fail(std::string("not healed after ") + Name(what) + ": " + Describe());
  }
}

std::string World::Describe() {
  std::string text = global_.ToText();
  for (Node& node : nodes_) {
    text += std::to_string(node.id.value()) + ": " +
            (node.up && node.agent ? std::string(ToString(node.agent->state())) : "down") + " " +
            ToString(node.pg.state) + " " + (node.agent ? node.agent->detail() : "");
    if (IsLeader(node)) {
      RaftView view = ViewRaft(node);
      text += ", raft leader, waits for \"" + node.waiting_for + "\", " +
              raft::ToString(node.raft.core->configuration()) +
              (view.change_pending ? ", changing" : "") + (view.caught_up ? "" : ", behind");
    }
    text += node.worker_paused_until > now_ ? ", stopped\n" : "\n";
  }
  return text;
}

}  // namespace pgquorum::failover::sim
