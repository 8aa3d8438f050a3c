// failover_sim --seeds N --seed S --trace --bug NAME --list-bugs --quiet
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "bgworkers/failover/sim/world.h"

namespace sim = pgquorum::failover::sim;
using pgquorum::failover::Agent;

int main(int argc, char** argv) {
  uint64_t first = 1;
  uint64_t seeds = 100;
  std::string bug;
  sim::Options options;
  for (int i = 1; i < argc; ++i) {
    std::string argument = argv[i];
    bool has_value = i + 1 < argc;
    if (argument == "--seeds" && has_value) {
      seeds = std::strtoull(argv[++i], nullptr, 10);
    } else if (argument == "--seed" && has_value) {
      first = std::strtoull(argv[++i], nullptr, 10);
    } else if (argument == "--bug" && has_value) {
      bug = argv[++i];
    } else if (argument == "--trace") {
      options.trace = true;
    } else if (argument == "--list-bugs") {
      for (const std::string& name : sim::BugNames()) {
        std::printf("%s\n", name.c_str());
      }
      return 0;
    } else {
      std::fprintf(stderr, "failover_sim: unknown or incomplete argument %s\n", argument.c_str());
      return 2;
    }
  }
  if (!bug.empty() && !sim::SetBug(options.bugs, bug)) {
    std::fprintf(stderr, "failover_sim: unknown bug %s (see --list-bugs)\n", bug.c_str());
    return 2;
  }
  sim::Coverage coverage;
  for (uint64_t seed = first; seed < first + seeds; ++seed) {
    options.seed = seed;
    sim::World world(options, coverage);
    std::string violation = world.Run();
    if (!violation.empty()) {
      std::printf("seed %llu: %s\n", static_cast<unsigned long long>(seed), violation.c_str());
      return 1;
    }
    if ((seed - first + 1) % 1000 == 0) {
      std::fprintf(stderr, "%llu seeds\n", static_cast<unsigned long long>(seed - first + 1));
    }
  }
  for (const auto& [what, count] : coverage.counters) {
    std::printf("%10llu %s\n", static_cast<unsigned long long>(count), what.c_str());
  }
  bool covered = true;
  for (std::size_t i = 0; i < coverage.transitions.size(); ++i) {
    const auto& row = Agent::Transitions()[i];
    std::printf("%10llu %s: %s -> %s\n", static_cast<unsigned long long>(coverage.transitions[i]),
                ToString(row.from), row.condition, ToString(row.to));
    // A worker never outlives its server here; the unit tests take that row.
    bool reachable = row.to != pgquorum::failover::AgentState::kStarting ||
                     row.from != pgquorum::failover::AgentState::kAny;
    covered = covered && (coverage.transitions[i] > 0 || !reachable);
  }
  std::printf("%llu seeds passed\n", static_cast<unsigned long long>(seeds));
  if (!covered && seeds >= 1000 && bug.empty()) {
    std::printf("but a row of the state table was never taken\n");
    return 3;
  }
  return 0;
}
