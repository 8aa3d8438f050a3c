#include "raftlog/bench/net.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/check.h"

#include "base/pure.h"

namespace pgquorum::raft::bench {
namespace {

std::pair<int, int> TcpPair() {
  int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  PGQUORUM_CHECK(listener >= 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  PGQUORUM_CHECK(::bind(listener, generic, length) == 0 && ::listen(listener, 1) == 0 &&
                 ::getsockname(listener, generic, &length) == 0);
  int a = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  PGQUORUM_CHECK(::connect(a, generic, length) == 0);
  int b = ::accept(listener, nullptr, nullptr);
  PGQUORUM_CHECK(b >= 0);
  ::close(listener);
  int on = 1;
  ::setsockopt(a, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  ::setsockopt(b, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  return {a, b};
}

bool ReadAll(int fd, char* to, std::size_t size) {
  while (size > 0) {
    ssize_t n = ::read(fd, to, size);
    if (n <= 0) {
      return false;
    }
    to += n;
    size -= static_cast<std::size_t>(n);
  }
  return true;
}

double MedianOf(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

double MicrosSince(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

}  // namespace

Mesh Connect() {
  Mesh mesh;
  for (std::size_t i = 0; i < kNodes; ++i) {
    mesh[i][i] = -1;
    for (std::size_t j = i + 1; j < kNodes; ++j) {
      std::tie(mesh[i][j], mesh[j][i]) = TcpPair();
    }
  }
  return mesh;
}

void CloseOthers(const Mesh& mesh, int self) {
  for (std::size_t i = 0; i < kNodes; ++i) {
    for (int fd : mesh[i]) {
      if (fd >= 0 && static_cast<int>(i) != self) {
        ::close(fd);
      }
    }
  }
}

void WriteAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) {
      return;  // the other end has left: the measurement is over
    }
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

bool ReadFrame(int fd, std::string& frame) {
  uint32_t size;
  if (!ReadAll(fd, reinterpret_cast<char*>(&size), sizeof(size))) {
    return false;
  }
  frame.resize(size);
  return ReadAll(fd, frame.data(), size);
}

void AppendFrame(std::string_view bytes, std::string& out) {
  auto size = static_cast<uint32_t>(bytes.size());
  out.append(reinterpret_cast<const char*>(&size), sizeof(size));
  out.append(bytes);
}

Usage UsageOf(const std::vector<pid_t>& children) {
  rusage self{};
  ::getrusage(RUSAGE_SELF, &self);
  auto micros = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_usec);
  };
  Usage usage{micros(self.ru_utime) + micros(self.ru_stime), static_cast<double>(self.ru_nvcsw)};
  for (pid_t child : children) {
    std::string tasks = "/proc/" + std::to_string(child) + "/task";
    for (const auto& task : std::filesystem::directory_iterator(tasks)) {
      double run_ns = 0;
      std::ifstream(task.path() / "schedstat") >> run_ns;
      usage.cpu_us += run_ns / 1e3;
      std::ifstream status(task.path() / "status");
      for (std::string word; status >> word;) {
        if (word == "voluntary_ctxt_switches:") {
          double switches = 0;
          status >> switches;
          usage.switches += switches;
        }
      }
    }
  }
  return usage;
}

Measured Drive(int clients, double seconds, std::size_t payload, const std::vector<pid_t>& children,
               const std::function<void(int client, const std::string&)>& commit) {
  std::vector<std::vector<double>> latencies(static_cast<std::size_t>(clients));
  auto span = std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  Clock::time_point begin = Clock::now() + span / 10;
  Clock::time_point end = begin + span;
  Usage before = UsageOf(children);
  std::atomic<uint64_t> commits{0};
  std::vector<std::thread> threads;
  for (int client = 0; client < clients; ++client) {
    threads.emplace_back([&, client] {
      std::string data(payload, 'p');
      std::vector<double>& mine = latencies[static_cast<std::size_t>(client)];
      uint64_t committed = 0;
      while (true) {
        Clock::time_point start = Clock::now();
        if (start >= end) {
          commits += committed;
          return;
        }
        commit(client, data);
        ++committed;
        if (start >= begin) {
          mine.push_back(MicrosSince(start));
        }
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  std::vector<double> all;
  for (const std::vector<double>& mine : latencies) {
    all.insert(all.end(), mine.begin(), mine.end());
  }
  PGQUORUM_CHECK(!all.empty());
  std::sort(all.begin(), all.end());
  Usage after = UsageOf(children);
  auto count = static_cast<double>(commits.load());
  return {static_cast<double>(all.size()) / seconds,
          all[all.size() / 2],
          all[all.size() * 99 / 100],
          {(after.cpu_us - before.cpu_us) / count, (after.switches - before.switches) / count}};
}

Measured Median(std::vector<Measured> rounds) {
  auto pick = [&rounds](double Measured::*field) {
    std::vector<double> values;
    for (const Measured& round : rounds) {
      values.push_back(round.*field);
    }
    return MedianOf(std::move(values));
  };
  std::vector<double> cpu, switches;
  for (const Measured& round : rounds) {
    cpu.push_back(round.each.cpu_us);
    switches.push_back(round.each.switches);
  }
  return {pick(&Measured::rate),
          pick(&Measured::p50_us),
          pick(&Measured::p99_us),
          {MedianOf(std::move(cpu)), MedianOf(std::move(switches))}};
}

double SyncMicros(const std::string& directory) {
  std::string path = directory + "/calibration";
  int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  PGQUORUM_CHECK(fd >= 0);
  constexpr int kWrites = 300;
  std::string page(4096, '\0');
  for (int i = 0; i < kWrites; ++i) {
    PGQUORUM_CHECK(::pwrite(fd, page.data(), page.size(), i * 4096) == 4096);
  }
  ::fsync(fd);
  page.assign(page.size(), 'x');
  std::vector<double> micros;
  for (int i = 0; i < kWrites; ++i) {
    Clock::time_point start = Clock::now();
    PGQUORUM_CHECK(::pwrite(fd, page.data(), page.size(), i * 4096) == 4096 &&
                   ::fdatasync(fd) == 0);
    micros.push_back(MicrosSince(start));
  }
  ::close(fd);
  ::unlink(path.c_str());
  return MedianOf(std::move(micros));
}

double RoundTripMicros() {
  auto [a, b] = TcpPair();
  pid_t child = ::fork();
  PGQUORUM_CHECK(child >= 0);
  std::string frame;
  if (child == 0) {
    ::close(a);
    while (ReadFrame(b, frame)) {
      std::string out;
      AppendFrame(frame, out);
      WriteAll(b, out);
    }
    ::_exit(0);
  }
  ::close(b);
  std::string out;
  AppendFrame(std::string(64, 'r'), out);
  std::vector<double> micros;
  for (int i = 0; i < 2000; ++i) {
    Clock::time_point start = Clock::now();
    WriteAll(a, out);
    PGQUORUM_CHECK(ReadFrame(a, frame));
    micros.push_back(MicrosSince(start));
  }
  ::close(a);
  ::waitpid(child, nullptr, 0);
  return MedianOf(std::move(micros));
}

}  // namespace pgquorum::raft::bench
