// One Raft instance as a running thing: the pure core (raftlog/core.h), its log on disk
// (raftlog/storage) and the threads between them. Rules of use: README.md.
//
// The core is run in turns, one thread at a time: whoever brings an input that cannot wait takes
// one, so that a commit wakes as few threads as possible. Takers are the transport's threads
// (Receive) and these, created by Start() with every signal blocked; none calls PostgreSQL:
//   core    timers, proposals, tasks
//   writer  the log: one write and one fdatasync at a time, everything queued goes into the next
//   files   snapshots, spare segments
// A turn never waits for a sync, so a stuck disk does not keep a leader alive.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/histogram.h"
#include "base/status.h"
#include "raftlog/core.h"
#include "raftlog/errors.h"
#include "raftlog/force.h"
#include "raftlog/membership.h"
#include "raftlog/options.h"
#include "raftlog/sessions.h"
#include "raftlog/state_machine.h"
#include "base/storage/file.h"
#include "raftlog/storage/log_store.h"
#include "raftlog/types.h"

namespace pgquorum::raft {

// The host is stopping or has stopped.
inline constexpr std::string_view kErrStopped = "57P01";

// Carries EncodeMessage's bytes. Called in turns and by the writer: must be thread-safe, must not
// block, may drop, and must not call back into the host.
class Transport {
 public:
  virtual ~Transport() = default;
  virtual void Send(NodeId to, std::string bytes) = 0;
};

// All in turns, none may block or call the host's Stop(). Any may be empty.
struct HostObservers {
  // An entry is about to be written and sent: before anything can acknowledge it. Start() calls it
  // for every entry found in the log above the snapshot.
  std::function<void(const Entry&)> on_appended;
  // Entries at and after `from` are gone, and will be replaced. Before their on_appended.
  std::function<void(Index from)> on_truncated;
  std::function<void(const Leadership&)> on_leadership_change;
  // These were applied; none is empty.
  std::function<void(std::span<const Entry>)> on_applied;
  // The state machine was replaced by this snapshot.
  std::function<void(const SnapshotMeta&)> on_restored;
  // Once: the host neither votes nor acknowledges any more. Only Stop() is left.
  std::function<void(const Status&)> on_fatal;
};

struct HostOptions {
  Options raft;  // id and seed included

  std::string directory;  // of this instance alone; its parent exists
  uint64_t cluster_id = 0;
  LogStoreOptions log;
  // Only for founders, and equal on all of them: used when the directory holds nothing yet. Nodes
  // that join later start empty and learn the configuration from the leader.
  std::optional<Configuration> bootstrap;
  std::string bootstrap_context;  // of the first configuration entry
  // Carried out once, at Start(): see raftlog/force.h. Give it again until a Start() has returned
  // ok; the second time changes nothing.
  std::optional<ForcedMembership> force;
  // False: the node was shut out for good, and nothing that it says counts any more. From any
  // thread. Empty: everybody is heard.
  std::function<bool(NodeId)> admit;

  // Proposals that arrive while this node's disk is writing wait for it (at most a tick) and then
  // go out together: with many clients fewer messages and writes. False: they go out at once, the
  // two other nodes may commit them meanwhile.
  bool gather_proposals = true;
  // A follower's write + fdatasync happens on the thread that called Receive, which saves waking
  // the writer. Only for a transport whose receiving threads serve one peer each: the thread waits
  // for the disk, and nothing more of this peer is heard meanwhile.
  bool write_on_receive = false;
  uint32_t stall_ticks = 8;               // the core's thread slept this long: Core::NoteStall
  uint64_t proposal_timeout_ms = 10'000;  // then kErrOutcomeUnknown
  // Bounds. Beyond them: messages are dropped (Raft repeats them), proposals refused
  // (kErrOverloaded), messages with entries dropped while the disk is this far behind.
  uint64_t max_queued_messages = 10'000;
  uint64_t max_queued_message_bytes = uint64_t{64} << 20;
  uint64_t max_queued_proposals = 100'000;
  uint64_t max_unwritten_bytes = uint64_t{64} << 20;

  // Replaceable for tests. `boottime_ns` also counts the time the machine was suspended.
  FileSystem* fs = nullptr;               // null: PosixFileSystem()
  std::function<uint64_t()> boottime_ns;  // empty: CLOCK_BOOTTIME

  Status Validate() const;
};

struct PeerStatus {
  NodeId node;
  Index match;
  Index next;
  ProgressState state = ProgressState::kProbe;
  bool recent_active = false;
  uint64_t inflight_messages = 0;
  uint64_t inflight_bytes = 0;
};

// As of the last tick or change of leadership.
struct HostStatus {
  NodeId id;
  Term term;
  NodeId vote;
  Role role = Role::kFollower;
  NodeId leader;
  Index commit;
  Index applied;
  Index first;   // of the log
  Index last;    // appended
  Index stable;  // durable here
  SnapshotMeta snapshot;
  Configuration configuration;  // the latest in the log
  Options options;              // of the core that runs
  bool refilling = false;       // damaged: neither votes nor campaigns
  NodeId transferring_to;
  std::vector<PeerStatus> peers;  // leader only
  Metrics metrics;
  LogStoreStats log;
  std::string damage;  // found at the start
  Status fatal;

  uint64_t queued_messages = 0;
  uint64_t queued_proposals = 0;
  uint64_t waiting_proposals = 0;  // proposed, not yet applied
  uint64_t waiting_reads = 0;      // asked, not yet answered
  uint64_t unwritten_batches = 0;
  uint64_t unwritten_bytes = 0;
  uint64_t dropped_messages = 0;  // at the bounds
  uint64_t malformed_messages = 0;
  uint64_t refused_proposals = 0;  // at the full queue; what the core refuses is in `metrics`
  uint64_t snapshots_taken = 0;
  uint64_t stalls = 0;
  Histogram sync_us;      // write + fdatasync of a group
  Histogram group;        // batches in a group
  Histogram commit_us;    // from Propose to applied, own proposals
  Histogram read_us;      // from ReadIndex to an answer that is ok
  Histogram snapshot_us;  // writing a snapshot of the state machine, until it is marked in the log
};

// `index` and `result` are meaningful when the status is ok.
using ProposeDone = std::function<void(Status, Index index, std::string result)>;
// The state machine, in this turn, is at least as new as the read demands.
using ReadDone = std::function<void(Status, Index index)>;

class Host {
 public:
  // Neither opens a file nor starts a thread. `transport` and `machine` outlive the host.
  Host(HostOptions options, Transport& transport, StateMachine& machine, HostObservers observers);
  ~Host();  // Stop()
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  // Opens the directory, restores the state machine, starts the threads. At most once. Errors: of
  // the options, the directory, the stores; then nothing runs.
  Status Start();
  // Ends the threads and answers everything that waits with kErrStopped. Not from a callback.
  void Stop();

  // All of the following from any thread; answers come in a turn, or before the call returns when
  // the host is stopped or its queue is full.

  // Bytes of EncodeMessage that the transport received from the authenticated peer `from`. May take
  // a turn: callbacks and the state machine then run in this call, so the caller holds no lock that
  // they want. `more`: the next message is at hand already, the turn waits for it.
  void Receive(NodeId from, std::string_view bytes, bool more = false);
  void ReportUnreachable(NodeId peer);
  void ReportPeerDead(NodeId peer);  // see Core::ReportPeerDead

  // On a follower it goes to the leader (options.raft.forward_proposals). Ok: committed, and
  // applied here. kErrOutcomeUnknown: see there. Others: not executed, e.g. kErrNoLeader,
  // kErrOverloaded, kErrTooLarge.
  void Propose(std::string command, ProposeDone done);
  // An exactly-once command, or (session none) the opening of a session: `index` then names it.
  void ProposeSession(const SessionCommand& command, ProposeDone done);
  // Leader only; done when the first configuration entry is applied.
  void ProposeConfig(std::vector<ConfigChange> changes, std::string context, ProposeDone done);
  void ReadIndex(ReadMode mode, ReadDone done);
  // `done` tells whether the transfer was begun (leader only).
  void TransferLeadership(NodeId target, std::function<void(Status)> done);
  void Campaign();
  // A snapshot now, whatever the limits say.
  void TakeSnapshot();
  // Runs on the core's thread, between inputs.
  void Run(std::function<void()> task);

  // As of the last tick or change of leadership; never null, and cheap: nothing is copied.
  std::shared_ptr<const HostStatus> status() const;
  HostStatus GetStatus() const { return *status(); }

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pgquorum::raft

#include "base/pure.h"
