// One Raft instance at work: drives a Core with a timer, a log store and a transport, on two
// threads of its own.
//
//   core thread    owns the Core and the state machine: ticks, messages, proposals, applying. It
//   never
//                  waits for the disk's writes, so that a stalled disk cannot keep a leader in
//                  office.
//   writer thread  owns the log store: takes all batches that wait and makes them durable with one
//   sync.
//
// Threads start in Start() with every signal blocked and call nothing outside this library but the
// callbacks given here. Callbacks run on the core thread and must not wait.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/histogram.h"
#include "base/status.h"
#include "raftlog/core.h"
#include "raftlog/metrics.h"
#include "raftlog/options.h"
#include "raftlog/types.h"

namespace pgquorum::raft {

// Sends bytes (an encoded Message) to a member. Never waits; may drop: Raft repeats.
class Transport {
 public:
  virtual ~Transport() = default;
  virtual void Send(NodeId to, std::string bytes) = 0;
};

// Deterministic: two nodes that applied the same entries are equal. Lives on the core thread.
class StateMachine {
 public:
  virtual ~StateMachine() = default;
  // Each command once, in order. What it returns goes to the proposer, if that is this node.
  virtual std::string Apply(const Entry& entry) = 0;
  virtual std::string Snapshot() = 0;
  // Replaces the whole state. An error is fatal to the host.
  virtual Status Restore(const SnapshotMeta& meta, std::string_view data) = 0;
};

struct HostOptions {
  Options core;
  std::string directory;  // of this instance's log and snapshots
  uint64_t cluster_id = 0;
  // Not empty: an empty directory becomes the log of a founding member of this configuration.
  // Empty: it waits for a leader to bring it the log.
  Configuration bootstrap;
  // A snapshot is taken after this many applied entries, or this many bytes of log.
  uint64_t snapshot_entries = 10'000;
  uint64_t snapshot_bytes = uint64_t{64} << 20;
  std::size_t max_inbox_messages = 10'000;  // beyond: the newest message is dropped (Raft repeats)
};

struct HostObservers {
  // Before the entry may be acknowledged; also for every entry found in the log at the start.
  std::function<void(const Entry&)> on_appended;
  // Entries from `first` on were removed from this node's log.
  std::function<void(Index first)> on_truncated;
  // After entries were applied, and when the leadership as this node sees it changed.
  std::function<void()> on_change;
  // The host has stopped acting: it neither votes nor acknowledges any more.
  std::function<void(const Status&)> on_fatal;
};

struct PeerStatus {
  NodeId id;
  Index match;
  bool active = false;  // heard of in the last election timeout
};

struct HostStatus {
  Role role = Role::kFollower;
  Term term;
  NodeId vote;
  NodeId leader;
  Index first_index;
  Index last_index;
  Index commit_index;
  Index applied_index;
  Index snapshot_index;
  // Leader: everything up to the first entry of its term is applied here.
  bool leader_caught_up = false;
  Configuration configuration;  // the latest in the log, committed or not
  Index configuration_index;
  std::vector<PeerStatus> peers;  // leader only
  uint64_t log_bytes = 0;
  uint64_t leader_changes = 0;
  uint64_t proposals_pending = 0;
  uint64_t messages_dropped = 0;  // at the bound of the inbox
  Metrics core;
  Histogram commit_latency_us;  // from a local proposal to its application
  Histogram fsync_latency_us;
};

// Status of the outcome; index and result when it was applied. Called exactly once, on the core
// thread (or the caller's, when the host has ended).
using ProposalDone = std::function<void(const Status&, Index, const std::string& result)>;

class Host {
 public:
  // Opens or creates the log, restores the state machine and starts the threads. `transport` and
  // `machine` outlive the host.
  static Result<std::unique_ptr<Host>> Start(HostOptions options, Transport& transport,
                                             StateMachine& machine, HostObservers observers);
  // Stops the threads; open proposals end with an error that leaves their outcome open.
  virtual ~Host() = default;

  // All of these are safe from any thread and never wait for the disk or the network.

  // Bytes that arrived from a member, authenticated by the transport.
  virtual void Receive(NodeId from, std::string bytes) = 0;
  virtual void ReportUnreachable(NodeId peer) = 0;
  virtual void ReportPeerDead(NodeId peer) = 0;

  // On any member: a follower passes it on to the leader. Errors: RX001 no leader is known, RX003
  // too many proposals wait, RX000 the outcome is open (leadership changed, no answer).
  virtual void Propose(std::string command, ProposalDone done) = 0;
  // Leader only.
  virtual void ProposeConfig(std::vector<ConfigChange> changes, ProposalDone done) = 0;
  // Asks for it; whether it happened shows in Status().
  virtual Status TransferLeadership(NodeId target) = 0;

  virtual HostStatus Status() const = 0;
};

}  // namespace pgquorum::raft
