// fusion_sim: runs the simulator over many seeds, or one seed with a readable trace.
//
//   fusion_sim --seeds 1000 [--from 1]    seeds 1 … 1000; fails on a broken promise or a counter at
//   0 fusion_sim --seed 42 [--trace]        one seed
//   --bug NAME                            with a deliberate defect; --list-bugs names them
//
// fusion_sim runs the shipped library and knows the defects of the world around it; fusion_sim_bugs
// is the same built with the core's own defects (cachefusion/bug.h).
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "cachefusion/sim/bugs.h"
#include "cachefusion/sim/coverage.h"
#include "cachefusion/sim/world.h"

#include "base/pure.h"

namespace {

using namespace pgquorum::fusion::sim;

struct Options {
  uint64_t seeds = 100;
  uint64_t from = 1;
  bool trace = false;
  bool with_bug = false;
  WorldBugs bugs;
};

int Usage() {
  std::fprintf(stderr,
               "usage: fusion_sim [--seeds N] [--from S] [--seed S] [--trace] [--bug NAME]\n"
               "       fusion_sim --list-bugs\n");
  return 2;
}

// Below zero: go on.
int Parse(int argc, char** argv, Options& options) {
  for (int i = 1; i < argc; ++i) {
    std::string option = argv[i];
    bool has_value = i + 1 < argc;
    if (option == "--trace") {
      options.trace = true;
    } else if (option == "--list-bugs") {
      for (const std::string& name : BugNames()) {
        std::printf("%s\n", name.c_str());
      }
      return 0;
    } else if (option == "--seeds" && has_value) {
      options.seeds = std::strtoull(argv[++i], nullptr, 10);
    } else if (option == "--from" && has_value) {
      options.from = std::strtoull(argv[++i], nullptr, 10);
    } else if (option == "--seed" && has_value) {
      options.from = std::strtoull(argv[++i], nullptr, 10);
      options.seeds = 1;
    } else if (option == "--bug" && has_value) {
      options.with_bug = true;
      if (!EnableBug(argv[++i], options.bugs)) {
        std::fprintf(stderr,
                     "fusion_sim: unknown defect \"%s\" (fusion_sim_bugs knows the core's)\n",
                     argv[i]);
        return 2;
      }
    } else {
      return Usage();
    }
  }
  return -1;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (int end = Parse(argc, argv, options); end >= 0) {
    return end;
  }
  Coverage coverage;
  uint64_t events = 0;
  for (uint64_t seed = options.from; seed < options.from + options.seeds; ++seed) {
    World world(seed, options.bugs, coverage, options.trace);
    std::string failure = world.Run();
    events += world.events();
    if (!failure.empty()) {
      std::printf("seed %" PRIu64 ": %s\nreplay: fusion_sim --seed %" PRIu64 " --trace\n", seed,
                  failure.c_str(), seed);
      return 1;
    }
  }
  std::printf("%" PRIu64 " seeds from %" PRIu64 " clean, %" PRIu64 " events\n%s", options.seeds,
              options.from, events, coverage.ToString().c_str());
  // In a thousand runs every situation must have come up.
  if (options.seeds >= 1000 && !options.with_bug && !coverage.Missing().empty()) {
    std::printf("never happened: %s\n", coverage.Missing().c_str());
    return 1;
  }
  return 0;
}
