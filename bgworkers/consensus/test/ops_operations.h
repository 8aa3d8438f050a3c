// What the worker of the operations test keeps between requests, and what it can be asked.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "bgworkers/consensus/postgres_config.h"
#include "bgworkers/consensus/postgres_control.h"
#include "bgworkers/consensus/postgres_facts.h"
#include "bgworkers/consensus/postgres_promote.h"
#include "bgworkers/consensus/postgres_replay.h"
#include "bgworkers/consensus/postgres_slots.h"

namespace pgquorum::consensus {

int64_t NowNs();  // CLOCK_BOOTTIME

struct Machine {
  FactGatherer gatherer;
  ReplayEndDetector replay_end;
  Promotion promotion;
  SettingsFile settings{"."};
  RewindRetention retention;
  ListenerProbe probe;
  bool watch_replay = false;
  int64_t replay_asked = 0;
  int64_t replay_settled = 0;
  int64_t promotion_asked = 0;
  int64_t promotion_ended = 0;
  int64_t probe_asked = 0;
  int64_t probe_ended = 0;

  // Everything that is polled; called each turn of the loop.
  void Poll() {
    if (watch_replay && replay_settled == 0) {
      const PostgresFacts& facts = gatherer.Gather();
      if (replay_end.Poll(facts, gatherer.startup_pid())) {
        replay_settled = NowNs();
      }
    }
    if (promotion.state() == Promotion::State::kRunning &&
        promotion.Poll() != Promotion::State::kRunning) {
      promotion_ended = NowNs();
    }
    if (probe_asked != 0 && probe_ended == 0 &&
        probe.Poll(NowNs(), 1'000'000'000) != ListenerProbe::Result::kPending) {
      probe_ended = NowNs();
    }
  }
  bool Busy() const {
    return (watch_replay && replay_settled == 0) ||
           promotion.state() == Promotion::State::kRunning ||
           (probe_asked != 0 && probe_ended == 0);
  }
};

using Arguments = std::vector<std::string>;
using Operation = std::string (*)(Machine&, const Arguments&);

// By name; arguments[0] is the name.
const std::map<std::string, Operation>& Operations();

}  // namespace pgquorum::consensus
