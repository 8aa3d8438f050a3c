// raft_bench: the library beside its floor, in brackets, medians printed.
//
//   raft_bench [--directory=/tmp] [--rounds=5] [--seconds=3] [--payload=256] [--gather] [--open]
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <optional>

#include "raftlog/bench/net.h"

#include "base/pure.h"

namespace pgquorum::raft::bench {
namespace {

// See README.md. A commit cannot be faster than the anchor, so a floor far below it means that the
// anchor itself was measured while something else had the machine.
constexpr double kMinFloorRatio = 0.7;
constexpr double kMaxFloorRatio = 1.3;

struct Arguments {
  std::string directory = "/tmp";
  int rounds = 5;
  double seconds = 3;
  std::size_t payload = 256;
  bool open = false;
  bool gather = false;
};

std::optional<Arguments> Parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    std::string_view text = argv[i];
    std::size_t equals = text.find('=');
    std::string name(text.substr(0, equals));
    std::string value(equals == std::string_view::npos ? "" : text.substr(equals + 1));
    if (name == "--directory" && !value.empty()) {
      arguments.directory = value;
    } else if (name == "--rounds" && std::atoi(value.c_str()) > 0) {
      arguments.rounds = std::atoi(value.c_str());
    } else if (name == "--seconds" && std::atof(value.c_str()) > 0) {
      arguments.seconds = std::atof(value.c_str());
    } else if (name == "--payload" && std::atoi(value.c_str()) > 0) {
      arguments.payload = static_cast<std::size_t>(std::atoi(value.c_str()));
    } else if (text == "--gather") {
      arguments.gather = true;
    } else if (text == "--open") {
      arguments.open = true;
    } else {
      return std::nullopt;
    }
  }
  return arguments;
}

void PrintRow(const char* name, int clients, const Measured& m, const Measured& floor) {
  std::printf("| %-7s | %7d | %9.0f | %7.0f | %7.0f | %6.2f | %6.2f | %6.2f |\n", name, clients,
              m.rate, m.p50_us, m.p99_us, m.rate / floor.rate, m.p50_us / floor.p50_us,
              m.p99_us / floor.p99_us);
}

int Run(const Arguments& arguments) {
  std::string directory = arguments.directory + "/raft_bench." + std::to_string(::getpid());
  std::filesystem::create_directories(directory);
  if (arguments.open) {
    std::printf("open of a 1 GiB log: %.2f s\n", MeasureOpen(directory));
    std::filesystem::remove_all(directory);
    return 0;
  }
  using Rounds = std::map<int, std::vector<Measured>>;
  Rounds floor, library, counted_floor, counted_library;
  for (int round = 0; round < arguments.rounds; ++round) {
    double anchor = RoundTripMicros() + SyncMicros(directory);
    for (int clients : {1, 64}) {
      floor[clients].push_back(
          MeasureFloor(directory, clients, arguments.seconds, arguments.payload));
      library[clients].push_back(MeasureLibrary(directory, clients, arguments.seconds,
                                                arguments.payload, arguments.gather));
    }
    // A floor far above what disk and network need by themselves is a busy machine, not a floor.
    double ratio = floor[1].back().p50_us / anchor;
    bool counts = ratio >= kMinFloorRatio && ratio <= kMaxFloorRatio;
    std::printf("round %d: round trip + fdatasync %.0f us, floor p50 %.2f x%s\n", round + 1, anchor,
                ratio, counts ? "" : " (does not count)");
    std::fflush(stdout);
    for (int clients : {1, 64}) {
      if (counts) {
        counted_floor[clients].push_back(floor[clients].back());
        counted_library[clients].push_back(library[clients].back());
      }
    }
  }
  if (counted_floor.empty()) {
    std::printf("no round counts: the machine is busy, the table shows all of them\n");
  } else {
    floor = std::move(counted_floor);
    library = std::move(counted_library);
  }
  std::printf("| what    | clients | commits/s | p50 us  | p99 us  | rate x | p50 x  | p99 x  |\n");
  std::printf("|---------|---------|-----------|---------|---------|--------|--------|--------|\n");
  for (int clients : {1, 64}) {
    Measured base = Median(floor[clients]);
    PrintRow("floor", clients, base, base);
    PrintRow("library", clients, Median(library[clients]), base);
  }
  std::filesystem::remove_all(directory);
  return 0;
}

}  // namespace
}  // namespace pgquorum::raft::bench

int main(int argc, char** argv) {
  std::optional<pgquorum::raft::bench::Arguments> arguments =
      pgquorum::raft::bench::Parse(argc, argv);
  if (!arguments) {
    std::fprintf(stderr,
                 "usage: raft_bench [--directory=D] [--rounds=N] [--seconds=S] [--payload=B] "
                 "[--gather] [--open]\n");
    return 2;
  }
  return pgquorum::raft::bench::Run(*arguments);
}
