// The command line of a simulator: many seeds, or one seed with a readable trace.
//
//   NAME --seeds 1000 [--from 1]    seeds 1 … 1000; fails on a broken promise or a counter at 0
//   NAME --seed 42 [--trace]        one seed
//   --all                           goes on after a failure
//   --bug NAME                      with a deliberate defect; --list-bugs names them
//
// NAME runs the shipped library and knows the defects of the world around it; NAME_bugs is the same
// built with the library's own defects.
#pragma once

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace pgquorum::sim {

// In so many runs every situation must have come up.
inline constexpr uint64_t kLongRun = 1000;
// Of so many runs one may stay undecided: what nobody could judge has not been tested.
inline constexpr uint64_t kRunsPerUndecided = 1000;

// World(seed, bugs, coverage, trace), whose Run() tells what is broken, or nothing; with an
// events() their number is printed, with an undecided() the runs are counted that it is true of.
template <typename World, typename Coverage, typename WorldBugs>
class Program {
 public:
  using BugNames = std::vector<std::string> (*)();
  using EnableBug = bool (*)(std::string_view name, WorldBugs& bugs);
  Program(const char* name, BugNames bug_names, EnableBug enable_bug)
      : name_(name), bug_names_(bug_names), enable_bug_(enable_bug) {}

  // Exit status: 0 clean, 1 a failure, 2 usage.
  int Main(int argc, char** argv) {
    if (int end = Parse(argc, argv); end >= 0) {
      return end;
    }
    Coverage coverage;
    uint64_t events = 0;
    uint64_t undecided = 0;
    uint64_t failed = 0;
    for (uint64_t seed = from_; seed < from_ + seeds_; ++seed) {
      World world(seed, bugs_, coverage, trace_);
      std::string failure = world.Run();
      if constexpr (requires { world.events(); }) {
        events += world.events();
      }
      if constexpr (requires { world.undecided(); }) {
        undecided += world.undecided() ? 1 : 0;
      }
      if (!failure.empty()) {
        std::printf("seed %" PRIu64 ": %s\nreplay: %s --seed %" PRIu64 " --trace\n", seed,
                    failure.c_str(), name_, seed);
        std::fflush(stdout);
        ++failed;
        if (!all_) {
          return 1;
        }
      }
    }
    std::printf("%" PRIu64 " seeds from %" PRIu64 " clean", seeds_ - failed, from_);
    if (events > 0) {
      std::printf(", %" PRIu64 " events", events);
    }
    if constexpr (requires(World & world) { world.undecided(); }) {
      std::printf(", %" PRIu64 " of them undecided", undecided);
    }
    std::printf("\n%s", coverage.ToString().c_str());
    bool thorough = seeds_ < kLongRun || with_bug_ || Thorough(coverage, undecided);
    return thorough && failed == 0 ? 0 : 1;
  }

 private:
  // A long run has been through everything, and could judge it.
  bool Thorough(const Coverage& coverage, uint64_t undecided) const {
    if (!coverage.Missing().empty()) {
      std::printf("never happened: %s\n", coverage.Missing().c_str());
    }
    bool decided = undecided * kRunsPerUndecided <= seeds_;
    if (!decided) {
      std::printf("more than one run in %" PRIu64 " is undecided\n", kRunsPerUndecided);
    }
    return decided && coverage.Missing().empty();
  }

  int Usage() const {
    std::fprintf(stderr,
                 "usage: %s [--seeds N] [--from S] [--seed S] [--trace] [--all] [--bug NAME]\n"
                 "       %s --list-bugs\n",
                 name_, name_);
    return 2;
  }

  // Below zero: go on.
  int Parse(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) {
      std::string_view option = argv[i];
      bool has_value = i + 1 < argc;
      if (option == "--trace") {
        trace_ = true;
      } else if (option == "--all") {
        all_ = true;
      } else if (option == "--list-bugs") {
        for (const std::string& bug : bug_names_()) {
          std::printf("%s\n", bug.c_str());
        }
        return 0;
      } else if (option == "--seeds" && has_value) {
        seeds_ = std::strtoull(argv[++i], nullptr, 10);
      } else if (option == "--from" && has_value) {
        from_ = std::strtoull(argv[++i], nullptr, 10);
      } else if (option == "--seed" && has_value) {
        from_ = std::strtoull(argv[++i], nullptr, 10);
        one_ = true;
      } else if (option == "--bug" && has_value) {
        with_bug_ = true;
        if (!enable_bug_(argv[++i], bugs_)) {
          std::fprintf(stderr, "%s: unknown defect \"%s\" (%s_bugs knows the library's own)\n",
                       name_, argv[i], name_);
          return 2;
        }
      } else {
        return Usage();
      }
    }
    if (one_) {
      seeds_ = 1;
    }
    return -1;
  }

  const char* name_;
  BugNames bug_names_;
  EnableBug enable_bug_;
  uint64_t seeds_ = 100;
  uint64_t from_ = 1;
  bool one_ = false;
  bool trace_ = false;
  bool all_ = false;
  bool with_bug_ = false;
  WorldBugs bugs_ = {};
};

}  // namespace pgquorum::sim

#include "base/pure.h"
