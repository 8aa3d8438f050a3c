// multimaster_sim: runs the simulator over many seeds, or one seed with a readable trace.
//
//   multimaster_sim --seeds 1000 [--from 1]    seeds 1 … 1000; fails on a broken promise or a
//   counter at 0 multimaster_sim --seed 42 [--trace]        one seed
//   --bug NAME                          with a deliberate defect; --list-bugs names them
//
// multimaster_sim runs the shipped library and knows the defects of the world around it;
// multimaster_sim_bugs is the same built with the cores' own defects (../bug.h).
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "bgworkers/replication/core/sim/bugs.h"
#include "bgworkers/replication/core/sim/coverage.h"
#include "bgworkers/replication/core/sim/world.h"

#include "base/pure.h"

namespace {

using namespace pgquorum::replication::sim;

int Usage() {
  std::fprintf(stderr,
               "usage: multimaster_sim [--seeds N] [--from S] [--seed S] [--trace] [--bug NAME]\n"
               "       multimaster_sim --list-bugs\n");
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  uint64_t seeds = 100;
  uint64_t from = 1;
  bool one = false;
  bool trace = false;
  WorldBugs bugs;
  bool with_bug = false;
  for (int i = 1; i < argc; ++i) {
    std::string option = argv[i];
    bool has_value = i + 1 < argc;
    if (option == "--trace") {
      trace = true;
    } else if (option == "--list-bugs") {
      for (const std::string& name : BugNames()) {
        std::printf("%s\n", name.c_str());
      }
      return 0;
    } else if (option == "--seeds" && has_value) {
      seeds = std::strtoull(argv[++i], nullptr, 10);
    } else if (option == "--from" && has_value) {
      from = std::strtoull(argv[++i], nullptr, 10);
    } else if (option == "--seed" && has_value) {
      from = std::strtoull(argv[++i], nullptr, 10);
      one = true;
    } else if (option == "--bug" && has_value) {
      with_bug = true;
      if (!EnableBug(argv[++i], bugs)) {
        std::fprintf(
            stderr,
            "multimaster_sim: unknown defect \"%s\" (multimaster_sim_bugs knows the cores')\n",
            argv[i]);
        return 2;
      }
    } else {
      return Usage();
    }
  }
  if (one) {
    seeds = 1;
  }
  Coverage coverage;
  for (uint64_t seed = from; seed < from + seeds; ++seed) {
    World world(seed, bugs, coverage, trace);
    std::string failure = world.Run();
    if (!failure.empty()) {
      std::printf("seed %" PRIu64 ": %s\nreplay: multimaster_sim --seed %" PRIu64 " --trace\n",
                  seed, failure.c_str(), seed);
      return 1;
    }
  }
  std::printf("%" PRIu64 " seeds from %" PRIu64 " clean\n%s", seeds, from,
              coverage.ToString().c_str());
  // In a thousand runs every situation must have come up.
  if (seeds >= 1000 && !with_bug && !coverage.Missing().empty()) {
    std::printf("never happened: %s\n", coverage.Missing().c_str());
    return 1;
  }
  return 0;
}
