// Three processes connected by loopback TCP before they part: sockets, frames and measurements that
// the floor and the library share.
#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace pgquorum::raft::bench {

using Clock = std::chrono::steady_clock;

inline constexpr int kNodes = 3;

// sockets[i][j]: node i's end of the connection between i and j; -1 on the diagonal.
using Mesh = std::array<std::array<int, kNodes>, kNodes>;
Mesh Connect();
// Keeps only node `self`'s ends (-1: none).
void CloseOthers(const Mesh& mesh, int self);

void WriteAll(int fd, std::string_view bytes);
// A frame: 32-bit length, bytes. False: the other end is gone.
bool ReadFrame(int fd, std::string& frame);
void AppendFrame(std::string_view bytes, std::string& out);

// CPU time and waits of some processes: what can be compared on a busy machine, too.
struct Usage {
  double cpu_us = 0;
  double switches = 0;  // voluntary: a thread went to sleep
};
// Of this process and of `children`, so far.
Usage UsageOf(const std::vector<pid_t>& children);

struct Measured {
  double rate = 0;  // commits per second
  double p50_us = 0;
  double p99_us = 0;
  Usage each;  // per commit, all processes together
};
// `clients` threads, each with one proposal of `payload` bytes under way, for `seconds` after a
// tenth of it as warm-up. `commit` returns when the proposal is committed; `children` work for it.
Measured Drive(int clients, double seconds, std::size_t payload, const std::vector<pid_t>& children,
               const std::function<void(int client, const std::string&)>& commit);
Measured Median(std::vector<Measured> rounds);

// Microseconds, medians: a 4 KiB append + fdatasync into a zero-filled file; a loopback round trip
// between two sleeping processes.
double SyncMicros(const std::string& directory);
double RoundTripMicros();

// Each starts two more processes and returns when they are gone.
Measured MeasureFloor(const std::string& directory, int clients, double seconds,
                      std::size_t payload);
struct LibraryOptions {
  bool tls = false;
  bool gather = true;  // HostOptions::gather_proposals
};
Measured MeasureLibrary(const std::string& directory, int clients, double seconds,
                        std::size_t payload, const LibraryOptions& library);

// MiB by which a leader's process grows with 100,000 uncommitted entries of 256 bytes.
double MeasureMemory(const std::string& directory);
// Seconds to open a log of 1 GiB of 256-byte entries that is in the page cache.
double MeasureOpen(const std::string& directory);

}  // namespace pgquorum::raft::bench

#include "base/pure.h"
