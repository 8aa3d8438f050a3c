// failover_sim --seeds N --seed S --trace --bug NAME --list-bugs --all
//
// Exit status: 0 clean, 1 a violation, 2 usage, 3 a long campaign left something untried.
#include <cstdio>
#include <cstdlib>
#include <string>

#include "bgworkers/failover/sim/world.h"

namespace sim = pgquorum::failover::sim;
using pgquorum::failover::Agent;
using pgquorum::failover::AgentState;

namespace {

// A campaign this long must have tried everything.
constexpr uint64_t kLongCampaign = 1000;

struct Arguments {
  uint64_t first = 1;
  uint64_t seeds = 100;
  std::string bug;
  bool all = false;  // go on after a violation
  bool list_bugs = false;
  sim::Options options;
};

bool Parse(int argc, char** argv, Arguments& out) {
  for (int i = 1; i < argc; ++i) {
    std::string argument = argv[i];
    bool has_value = i + 1 < argc;
    if (argument == "--seeds" && has_value) {
      out.seeds = std::strtoull(argv[++i], nullptr, 10);
    } else if (argument == "--seed" && has_value) {
      out.first = std::strtoull(argv[++i], nullptr, 10);
    } else if (argument == "--bug" && has_value) {
      out.bug = argv[++i];
      out.options.figures = false;  // a defect is to be caught by what it breaks
    } else if (argument == "--trace") {
      out.options.trace = true;
    } else if (argument == "--all") {
      out.all = true;
    } else if (argument == "--list-bugs") {
      out.list_bugs = true;
    } else {
      std::fprintf(stderr, "failover_sim: unknown or incomplete argument %s\n", argument.c_str());
      return false;
    }
  }
  if (!out.bug.empty() && !sim::SetBug(out.options.bugs, out.bug)) {
    std::fprintf(stderr, "failover_sim: unknown bug %s (see --list-bugs)\n", out.bug.c_str());
    return false;
  }
  return true;
}

// Prints what was done how often; the number of things that a campaign must do and this one did
// not.
int Report(const sim::Coverage& coverage) {
  int untried = 0;
  for (const auto& [what, count] : coverage.counters) {
    std::printf("%10llu %s\n", static_cast<unsigned long long>(count), what.c_str());
  }
  for (const auto& [what, time] : coverage.worst) {
    std::printf("%10lld ms at most: %s\n", static_cast<long long>(time / pgquorum::failover::kMs),
                what.c_str());
  }
  for (std::size_t i = 0; i < coverage.transitions.size(); ++i) {
    const auto& row = Agent::Transitions()[i];
    std::printf("%10llu %s: %s -> %s\n", static_cast<unsigned long long>(coverage.transitions[i]),
                ToString(row.from), row.condition, ToString(row.to));
  }
  for (const std::string& what : sim::Untried(coverage)) {
    std::printf("untried: %s\n", what.c_str());
    ++untried;
  }
  return untried;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  if (!Parse(argc, argv, arguments)) {
    return 2;
  }
  if (arguments.list_bugs) {
    for (const std::string& name : sim::BugNames()) {
      std::printf("%s\n", name.c_str());
    }
    return 0;
  }
  sim::Coverage coverage;
  uint64_t failed = 0;
  for (uint64_t i = 0; i < arguments.seeds; ++i) {
    arguments.options.seed = arguments.first + i;
    sim::World world(arguments.options, coverage);
    std::string violation = world.Run();
    if (!violation.empty()) {
      std::printf("seed %llu: %s\n", static_cast<unsigned long long>(arguments.options.seed),
                  violation.c_str());
      std::fflush(stdout);
      ++failed;
      if (!arguments.all) {
        return 1;
      }
    }
    if ((i + 1) % 1000 == 0) {
      std::fprintf(stderr, "%llu seeds, %llu failed\n", static_cast<unsigned long long>(i + 1),
                   static_cast<unsigned long long>(failed));
    }
  }
  int untried = Report(coverage);
  std::printf("%llu seeds, %llu failed\n", static_cast<unsigned long long>(arguments.seeds),
              static_cast<unsigned long long>(failed));
  if (failed > 0) {
    return 1;
  }
  bool strict = arguments.seeds >= kLongCampaign && arguments.bug.empty();
  return strict && untried > 0 ? 3 : 0;
}
