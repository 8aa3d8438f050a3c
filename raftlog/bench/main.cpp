// raft_bench: the library beside its floor and beside etcd, in brackets, medians printed.
// What is measured and which rounds count: README.md.
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "raftlog/bench/net.h"
#include "raftlog/bench/peer_program.h"

#include "base/pure.h"

namespace pgquorum::raft::bench {
namespace {

// See README.md. A commit cannot be faster than the anchor, so a floor far below it means that the
// anchor itself was measured while something else had the machine.
constexpr double kMinFloorRatio = 0.7;
constexpr double kMaxFloorRatio = 1.3;
constexpr unsigned kPatienceSeconds = 60;  // for one measurement

struct Arguments {
  std::string directory = "/tmp";
  int rounds = 5;
  double seconds = 2;
  double budget_seconds = 240;  // rounds that do not count are repeated as long as this lasts
  std::size_t payload = 256;
  bool gather = true;
  bool tls = true;
  bool resources = true;
  std::string etcd = "/usr/bin/etcd";
  std::string etcd_load;  // the program that measures it; empty: do not
  std::string raft_load;  // the one that measures the product's transport; empty: do not
};

const char kUsage[] =
    "usage: raft_bench [--directory=D] [--rounds=N] [--seconds=S] [--budget=S] [--payload=B]\n"
    "                  [--no-gather] [--no-tls] [--no-resources] [--etcd=PATH] "
    "[--etcd-load=PATH] [--raft-load=PATH]\n";

std::optional<Arguments> Parse(int argc, char** argv) {
  Arguments a;
  std::map<std::string, std::function<void(const std::string&)>> options = {
      {"--directory", [&](const std::string& v) { a.directory = v; }},
      {"--rounds", [&](const std::string& v) { a.rounds = std::atoi(v.c_str()); }},
      {"--seconds", [&](const std::string& v) { a.seconds = std::atof(v.c_str()); }},
      {"--budget", [&](const std::string& v) { a.budget_seconds = std::atof(v.c_str()); }},
      {"--payload",
       [&](const std::string& v) { a.payload = static_cast<std::size_t>(std::atoi(v.c_str())); }},
      {"--no-gather", [&](const std::string&) { a.gather = false; }},
      {"--no-tls", [&](const std::string&) { a.tls = false; }},
      {"--no-resources", [&](const std::string&) { a.resources = false; }},
      {"--etcd", [&](const std::string& v) { a.etcd = v; }},
      {"--etcd-load", [&](const std::string& v) { a.etcd_load = v; }},
      {"--raft-load", [&](const std::string& v) { a.raft_load = v; }},
  };
  for (int i = 1; i < argc; ++i) {
    std::string text = argv[i];
    std::size_t equals = text.find('=');
    auto option = options.find(text.substr(0, equals));
    if (option == options.end()) {
      return std::nullopt;
    }
    option->second(equals == std::string::npos ? "" : text.substr(equals + 1));
  }
  bool valid = a.rounds > 0 && a.seconds > 0 && a.payload > 0 && !a.directory.empty();
  return valid ? std::optional(a) : std::nullopt;
}

// Each measurement has a process of its own, so that none inherits threads or memory of the one
// before it, and none that hangs takes the others along.
template <typename Value>
std::optional<Value> InChild(const std::function<Value()>& measure) {
  int ends[2];
  if (::pipe(ends) != 0) {
    return std::nullopt;
  }
  pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::close(ends[0]);
    ::alarm(kPatienceSeconds);
    Value value = measure();
    ::_exit(::write(ends[1], &value, sizeof(value)) == sizeof(value) ? 0 : 1);
  }
  ::close(ends[1]);
  Value value;
  bool whole = ::read(ends[0], &value, sizeof(value)) == sizeof(value);
  ::close(ends[0]);
  ::waitpid(child, nullptr, 0);
  return whole ? std::optional(value) : std::nullopt;
}

enum class What { kFloor, kLibrary, kLibraryTls, kProduct, kProductTls, kEtcd };
constexpr What kAll[] = {What::kFloor,   What::kLibrary,    What::kLibraryTls,
                         What::kProduct, What::kProductTls, What::kEtcd};
const std::vector<int> kClients = {1, 64};

const char* NameOf(What what) {
  switch (what) {
    case What::kFloor:
      return "floor";
    case What::kLibrary:
      return "library";
    case What::kLibraryTls:
      return "library, TLS 1.3";
    case What::kProduct:
      return "product's transport";
    case What::kProductTls:
      return "product's transport, TLS 1.3";
    case What::kEtcd:
      return "etcd";
  }
  return "";
}

using Round = std::map<std::pair<What, int>, Measured>;

class Bench {
 public:
  explicit Bench(Arguments arguments)
      : a_(std::move(arguments)),
        directory_(a_.directory + "/raft_bench." + std::to_string(::getpid())) {
    std::filesystem::create_directories(directory_);
  }
  ~Bench() { std::filesystem::remove_all(directory_); }

  int Run() {
    Clock::time_point start = Clock::now();
    auto spent = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
    int done = 0;
    while (done < a_.rounds || (static_cast<int>(counted_.size()) < a_.rounds &&
                                spent() + spent() / done < a_.budget_seconds)) {
      MeasureRound(++done);
    }
    if (all_.empty()) {
      std::printf("no round was completed\n");
      return 1;
    }
    if (counted_.empty()) {
      std::printf("no round counts: the machine is busy, the table shows all of them\n");
    }
    const std::vector<Round>& rounds = counted_.empty() ? all_ : counted_;
    PrintTable(rounds);
    PrintGoals(rounds);
    if (a_.resources) {
      PrintResources();
    }
    return 0;
  }

 private:
  void MeasureRound(int number) {
    auto anchor = InChild<double>([&] { return RoundTripMicros() + SyncMicros(directory_); });
    Round round;
    bool whole = anchor.has_value();
    for (int clients : kClients) {
      auto measure = [&](What what, std::function<Measured()> function) {
        auto measured = InChild<Measured>(function);
        whole = whole && measured;
        round[{what, clients}] = measured.value_or(Measured());
      };
      measure(What::kFloor,
              [&] { return MeasureFloor(directory_, clients, a_.seconds, a_.payload); });
      measure(What::kLibrary, [&] {
        return MeasureLibrary(directory_, clients, a_.seconds, a_.payload, {false, a_.gather});
      });
      if (a_.tls) {
        measure(What::kLibraryTls, [&] {
          return MeasureLibrary(directory_, clients, a_.seconds, a_.payload, {true, a_.gather});
        });
      }
    }
    whole = MeasurePrograms(round) && whole;
    if (!whole) {
      std::printf("round %d: a measurement failed (does not count)\n", number);
      return;
    }
    // A floor far above what disk and network need by themselves is a busy machine, not a floor.
    double ratio = round[{What::kFloor, 1}].p50_us / *anchor;
    bool counts = ratio >= kMinFloorRatio && ratio <= kMaxFloorRatio;
    std::printf("round %d: round trip + fdatasync %.0f us, floor p50 %.2f x%s\n", number, *anchor,
                ratio, counts ? "" : " (does not count)");
    std::fflush(stdout);
    all_.push_back(round);
    if (counts) {
      counted_.push_back(std::move(round));
    }
  }

  // Where one failed, its rows are missing; without ours the round does not count.
  bool MeasurePrograms(Round& round) const {
    const std::string seconds = std::to_string(a_.seconds);
    const std::string payload = std::to_string(a_.payload);
    bool whole = true;
    auto measure = [&](What what, std::vector<std::string> command) {
      command.insert(command.end(), {directory_, seconds, payload});
      for (int clients : kClients) {
        command.push_back(std::to_string(clients));
      }
      auto measured = MeasureProgram(std::move(command), kClients);
      whole = whole && measured;
      for (int clients : kClients) {
        if (measured) {
          round[{what, clients}] = measured->at(clients);
        }
      }
    };
    if (!a_.raft_load.empty()) {
      measure(What::kProduct, {a_.raft_load, "plain"});
      if (a_.tls) {
        measure(What::kProductTls, {a_.raft_load, "tls"});
      }
    }
    const bool ours_whole = whole;
    if (HaveEtcd()) {
      measure(What::kEtcd, {a_.etcd_load, a_.etcd});
      if (whole != ours_whole) {
        std::printf("etcd could not be measured\n");
      }
    }
    return ours_whole;
  }

  bool HaveEtcd() const { return !a_.etcd_load.empty() && ::access(a_.etcd.c_str(), X_OK) == 0; }

  static std::optional<Measured> MedianOf(const std::vector<Round>& rounds, What what,
                                          int clients) {
    std::vector<Measured> values;
    for (const Round& round : rounds) {
      auto found = round.find({what, clients});
      if (found != round.end()) {
        values.push_back(found->second);
      }
    }
    return values.empty() ? std::nullopt : std::optional(Median(std::move(values)));
  }

  void PrintTable(const std::vector<Round>& rounds) const {
    std::printf("\nMedians of %zu rounds, %.1f s each, %zu bytes, durable.\n\n", rounds.size(),
                a_.seconds, a_.payload);
    std::printf(
        "| what | clients | commits/s | p50 us | p99 us | rate x floor | p50 x | p99 x "
        "| CPU us a commit | waits a commit |\n|---|---|---|---|---|---|---|---|---|---|\n");
    for (int clients : kClients) {
      Measured floor = *MedianOf(rounds, What::kFloor, clients);
      for (What what : kAll) {
        std::optional<Measured> m = MedianOf(rounds, what, clients);
        if (!m) {
          if (what == What::kEtcd) {
            std::printf("| etcd | %d | absent | | | | | | | |\n", clients);
          }
          continue;
        }
        std::printf("| %s | %d | %.0f | %.0f | %.0f | %.2f | %.2f | %.2f |", NameOf(what), clients,
                    m->rate, m->p50_us, m->p99_us, m->rate / floor.rate, m->p50_us / floor.p50_us,
                    m->p99_us / floor.p99_us);
        if (what == What::kEtcd) {
          std::printf(" | |\n");
        } else {
          std::printf(" %.1f | %.1f |\n", m->each.cpu_us, m->each.switches);
        }
      }
    }
  }

  void PrintGoals(const std::vector<Round>& rounds) const {
    std::printf("\n| goal | clients | reached | to reach | |\n|---|---|---|---|---|\n");
    for (int clients : kClients) {
      Measured floor = *MedianOf(rounds, What::kFloor, clients);
      Measured ours = *MedianOf(rounds, What::kLibrary, clients);
      auto least = [clients](const char* name, double value, double goal) {
        std::printf("| %s | %d | %.2f | >= %.2f | %s |\n", name, clients, value, goal,
                    value >= goal ? "yes" : "NO");
      };
      auto most = [clients](const char* name, double value, double goal) {
        std::printf("| %s | %d | %.2f | <= %.2f | %s |\n", name, clients, value, goal,
                    value <= goal ? "yes" : "NO");
      };
      least("rate x floor", ours.rate / floor.rate, clients == 1 ? 0.85 : 0.80);
      most("p50 x floor", ours.p50_us / floor.p50_us, clients == 1 ? 1.20 : 1.30);
      most("p99 x floor", ours.p99_us / floor.p99_us, 1.5);
      if (auto etcd = MedianOf(rounds, What::kEtcd, clients)) {
        least("rate x etcd", ours.rate / etcd->rate, 2.5);
      } else {
        std::printf("| rate x etcd | %d | not measured: %s | >= 2.50 | NO |\n", clients,
                    HaveEtcd() ? "it failed" : "no etcd here (Debian: etcd-server)");
      }
      if (auto tls = MedianOf(rounds, What::kLibraryTls, clients)) {
        least("rate with TLS x without", tls->rate / ours.rate, 0.85);
      }
      auto product = MedianOf(rounds, What::kProduct, clients);
      if (auto tls = MedianOf(rounds, What::kProductTls, clients); tls && product) {
        least("the same, product's transport", tls->rate / product->rate, 0.85);
      }
    }
  }

  void PrintResources() const {
    auto memory = InChild<double>([&] { return MeasureMemory(directory_); });
    auto open = InChild<double>([&] { return MeasureOpen(directory_); });
    if (memory) {
      std::printf("| MiB for 100,000 entries of 256 bytes | | %.1f | <= 64 | %s |\n", *memory,
                  *memory <= 64 ? "yes" : "NO");
    }
    if (open) {
      std::printf("| s to open a log of 1 GiB | | %.2f | <= 3 | %s |\n", *open,
                  *open <= 3 ? "yes" : "NO");
    }
  }

  const Arguments a_;
  const std::string directory_;
  std::vector<Round> all_;
  std::vector<Round> counted_;
};

}  // namespace
}  // namespace pgquorum::raft::bench

int main(int argc, char** argv) {
  auto arguments = pgquorum::raft::bench::Parse(argc, argv);
  if (!arguments) {
    std::fputs(pgquorum::raft::bench::kUsage, stderr);
    return 2;
  }
  return pgquorum::raft::bench::Bench(std::move(*arguments)).Run();
}
