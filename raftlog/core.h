// Raft as a pure state machine: inputs are method calls, all effects are in the Output. No clock,
// no thread, no disk, no network, no randomness but the injected seed; not thread-safe.
//
// The runtime's loop (order and reasons in raftlog/README.md):
//
//   feed inputs …; Output out = core.TakeOutput();
//   send out.messages, start reading out.snapshot_sends          (may overlap with the disk)
//   queue out.persist to the disk; when durable: send its messages_after, core.Persisted(mark)
//   write out.snapshot_writes; then core.SnapshotWritten(…)
//   load out.restore, then apply out.committed in order; then core.Applied(index)
//   answer out.reads, out.forwards
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/status.h"
#include "raftlog/log.h"
#include "raftlog/log_reader.h"
#include "raftlog/membership.h"
#include "raftlog/metrics.h"
#include "raftlog/options.h"
#include "raftlog/output.h"
#include "raftlog/progress.h"
#include "raftlog/quorum.h"
#include "raftlog/recovered_state.h"
#include "raftlog/types.h"

namespace pgquorum::raft {

struct LogPosition {
  Term term;
  Index index;

  bool operator==(const LogPosition&) const = default;
};

enum class ReadMode : uint8_t {
  kQuorum = 0,  // a round of heartbeats confirms the leadership (thesis 6.4); no clock involved
  kLease = 1,   // as long as a majority answered within the lease (thesis 6.4.1); else as kQuorum.
                // Rests on the clocks' rates: see Tick
};

class Core {
 public:
  // Errors: options.Validate(); a configuration entry that does not decode. `reader` outlives it.
  static Result<std::unique_ptr<Core>> Create(const Options& options,
                                              const RecoveredState& recovered, LogReader& reader);

  // --- time ---
  // One tick of options.tick_ns has passed; never call it more often to catch up. `now_ns` is any
  // clock that also counts suspended time (CLOCK_BOOTTIME) and never goes backwards.
  void Tick(uint64_t now_ns);
  // This node itself did not run for about `ticks`: what it missed is its own fault, so its
  // election timer starts afresh and it does not campaign on that evidence.
  void NoteStall(uint64_t ticks);

  // --- network ---
  // A decoded message, authentic by the transport. Messages not meant for this node are dropped.
  void Step(Message message);
  // The message just sent, or a connection, failed: probe instead of streaming. Only a hint.
  void ReportUnreachable(NodeId peer);
  // Hard evidence that the peer's *process* is gone (its host refused a connection, its
  // postmaster's death was seen). Must never be guessed: it ends this node's promise to the leader,
  // and with it the peer's lease reads, at once.
  void ReportPeerDead(NodeId peer);

  // --- proposals ---
  // Leader only. kErrNotLeader, kErrTransferring, kErrOverloaded (nothing was appended; retry
  // later), kErrTooLarge. Success means appended, not committed: see ForwardResult.
  Result<LogPosition> Propose(EntryType type, std::string data);
  // Like Propose on any node; answered in Output::forwards. kErrNoLeader: nothing was sent.
  // kErrOutcomeUnknown, at the latest when the leadership changes: the answer was lost; wrap it in
  // a session to retry.
  void Forward(uint64_t request, EntryType type, std::string data);
  // Leader only. One change at a time, and none before an entry of the leader's own term is
  // committed: kErrChangePending, kErrNotReady, besides Propose's and ApplyChanges' errors.
  Result<LogPosition> ProposeConfig(const std::vector<ConfigChange>& changes, std::string context);
  // Leader only; for joint configurations without auto_leave.
  Result<LogPosition> ProposeLeaveJoint(std::string context);

  // --- leadership ---
  // Leader only. To `target`, or to the best voter when none. Proposals are refused until the
  // target leads or an election timeout has passed. kErrBadChange: not another voter.
  Status TransferLeadership(NodeId target);
  // Starts an election now instead of at the timer. Nothing happens on a leader, a non-voter, or a
  // node that has promised a live leader to keep quiet: there, TransferLeadership is the way.
  void Campaign();

  // --- reads ---
  // Answered in Output::reads under the caller's `request` number.
  void ReadIndex(uint64_t request, ReadMode mode, uint64_t now_ns);

  // --- disk ---
  // The batch with this mark, and so every earlier one, is durable.
  void Persisted(uint64_t sequence, Term term, Index index);
  void Applied(Index index);

  // --- snapshots ---
  // The state machine's own snapshot of an applied index is durable; meta.configuration must be
  // ConfigurationAt(meta.index). Frees nothing.
  void SnapshotTaken(const SnapshotMeta& meta);
  // The log store is about to release entries up to `through` (<= the newest snapshot's index).
  void Compact(Index through);
  // A limit of the options is reached: take a snapshot of what is applied, unless one is being
  // taken.
  bool SnapshotDue() const;
  // It could not be written (the disk is full): due again after some time.
  void SnapshotFailed() {
    snapshot_wait_ticks_ = snapshot_age_ticks_ + options_.snapshot_retry_ticks;
  }
  // What may be released behind the newest snapshot: all but options.retain_entries.
  Index ReleasableTo() const;
  // A SnapshotWrite was carried out (reported in the order of the writes); `offset` is where the
  // next piece belongs. An offset smaller than the piece's end (0: start again) asks the leader to
  // resend from there.
  void SnapshotWritten(const SnapshotMeta& meta, uint64_t offset);
  // A SnapshotSend to this follower could not be read; the newest snapshot is tried instead.
  void SnapshotUnavailable(NodeId to);

  // --- output ---
  Output TakeOutput();
  // Not ok: the log could not be read or an invariant of the cluster is broken (two leaders in one
  // term). The core has stopped: no output any more, the node must leave the game.
  const Status& fatal() const { return fatal_; }

  // --- observers ---
  NodeId id() const { return options_.id; }
  const Options& options() const { return options_; }
  Role role() const { return role_; }
  Term term() const { return term_; }
  NodeId vote() const { return vote_; }
  NodeId leader() const { return leader_; }
  const Log& log() const { return log_; }
  Index applied() const { return applied_; }
  const SnapshotMeta& snapshot() const { return snapshot_; }
  // The latest in the log, committed or not.
  const Configuration& configuration() const { return configurations_.back().configuration; }
  // The one that held at `index` (not compacted).
  Configuration ConfigurationAt(Index index) const;
  // Leader: what it knows of the members. Empty otherwise.
  const std::map<NodeId, Progress>& progress() const { return progress_; }
  NodeId transferring_to() const { return transfer_target_; }
  bool refilling() const { return static_cast<bool>(refill_term_); }
  // Leader: lease reads are possible at `now_ns`.
  bool LeaseHeld(uint64_t now_ns) const;
  const Metrics& metrics() const { return metrics_; }

 private:
  struct ConfigAt {
    Index index;
    Configuration configuration;
  };
  // A batch handed out and not yet confirmed.
  struct Outstanding {
    uint64_t sequence = 0;
    Term term;
    Index index;
    Index stable_to;  // clipped when the log is truncated meanwhile
    Term hard_term;   // the term that is durable with it
    Index installs;   // of the snapshot it installs
  };
  struct PendingRead {
    NodeId from;  // this node or a follower
    uint64_t request = 0;
    Index index;
    uint64_t round = 0;
  };
  // Forwarded requests of one node that were taken in this term.
  struct Taken {
    std::set<uint64_t> numbers;
    std::deque<uint64_t> order;  // oldest first
  };
  // This node's own read or forwarded proposal under way to the leader.
  struct Asked {
    uint64_t request = 0;
    uint32_t ticks = 0;
  };

  Core(const Options& options, const RecoveredState& recovered, LogReader& reader);

  // core.cpp
  bool AdmitTerm(Message& m);
  void StepCurrentTerm(Message& m);
  void Send(Message message);
  void SendAfterPersist(Message message);
  Message MessageTo(NodeId to, MessageKind kind) const;
  void SetFatal(Status status);

  // election.cpp
  void BecomeFollower(Term term, NodeId leader);
  void BecomeLeader();
  void StartElection(bool pre_vote, bool force);
  void SendVoteRequests(MessageKind kind, bool force);
  void CountVote(NodeId voter, bool granted);
  void HandleVoteRequest(const Message& m);
  void HandleVoteReply(const Message& m);
  void HandleTimeoutNow(const Message& m);
  bool InLease() const;
  bool CanCampaign() const;
  bool LogUpToDate(const Message& m) const;
  bool OutranksCandidate(const Message& m) const;
  void TickElection();
  void ResetElectionTimer();
  uint32_t PriorityDelay() const;

  // leader.cpp
  void TickLeader();
  void CheckQuorum();
  void BroadcastHeartbeat();
  void SendAppends();
  bool SendAppendTo(NodeId to, Progress& progress, bool allow_empty);
  void HandleAppendReply(const Message& m);
  void HandleAppendReject(const Message& m, Progress& progress);
  void HandleHeartbeatReply(const Message& m);
  void MaybeCommit();
  void OnCommitAdvanced();
  void AppendOwn(EntryType type, std::string data);
  bool CommittedInOwnTerm() const;
  void AppendEntry(Entry entry);

  // follower.cpp
  bool FollowLeader(const Message& m);
  void HandleAppend(Message& m);
  void RejectAppend(const Message& m);
  void HandleHeartbeat(const Message& m);
  void AskForRefill(NodeId leader);

  // transfer.cpp
  void MaybeSendTimeoutNow();
  void EndTransfer();
  void MaybeHandOver();

  // config.cpp
  void ConfigurationAppended(Index index, Configuration configuration);
  void ConfigurationsTruncated(Index from);
  void ConfigurationChanged();
  Result<LogPosition> AppendConfiguration(Configuration configuration, std::string context);
  bool InCommittedOrLatestVoters() const;

  // proposals.cpp
  Status AdmitProposal(uint64_t bytes) const;
  void HandlePropose(Message& m);
  bool TakenBefore(NodeId from, uint64_t request);
  void HandleProposeReply(const Message& m);
  void FailForwards(std::string_view reason);

  // reads.cpp
  void StartRead(PendingRead read, ReadMode mode, uint64_t now_ns);
  void ReleaseReads();
  void AnswerRead(const PendingRead& read);
  void FailReads(std::string_view reason);
  void HandleReadIndex(const Message& m);
  void HandleReadIndexReply(const Message& m);
  void TickAsked();

  // snapshot.cpp
  void StartSnapshot(NodeId to, Progress& progress);
  void SendSnapshotChunks(NodeId to, Progress& progress);
  void TickSnapshots();
  void HandleSnapshotReply(const Message& m);
  void HandleSnapshotChunk(Message& m);
  void ReplySnapshot(const SnapshotMeta& meta, uint64_t offset, bool rewind);
  void InstallReceived();

  // output.cpp
  void BuildPersist(Output& out);
  void EmitCommitted(Output& out);
  void CheckRefilled();
  void ClipOutstanding(Index to);

  const Options options_;
  Random random_;
  Log log_;
  Status fatal_;

  // Raft paper figure 2.
  Term term_;
  NodeId vote_;
  HardState handed_out_;  // what the disk has been asked to remember
  Term durable_term_;     // nothing is said in a term before it is durable

  Role role_ = Role::kFollower;
  NodeId leader_;
  Leadership reported_;
  std::vector<ConfigAt> configurations_;  // ascending; the last one is in force
  SnapshotMeta snapshot_;
  Term refill_term_;
  Index refill_index_;

  // Timers, in ticks.
  uint64_t now_ns_ = 0;
  uint32_t election_elapsed_ = 0;  // follower: since it heard from a leader; leader: check-quorum
  uint32_t election_timeout_ = 0;
  uint32_t heartbeat_elapsed_ = 0;
  uint32_t lease_elapsed_ = 0;  // since a leader was heard, or the start
  NodeId dead_leader_;          // by ReportPeerDead: its messages of dead_term_ no longer count
  Term dead_term_;
  std::optional<uint32_t> campaign_in_;  // after ReportPeerDead
  uint32_t evidence_ticks_ = 0;          // left in which to retry quickly
  uint32_t oldest_write_ticks_ = 0;      // how long the oldest outstanding batch has been waiting

  // Candidate.
  std::map<NodeId, bool> votes_;
  std::optional<uint64_t> self_vote_sequence_;  // own vote counts when this batch is durable
  bool forced_ = false;                         // campaigning for a transfer

  // Leader.
  std::map<NodeId, Progress> progress_;
  Index term_start_;         // index of the no-op
  bool streaming_ = false;   // see Options::stream_proposals
  bool commit_due_ = false;  // a tick has passed
  uint64_t accepted_at_tick_ = 0;
  NodeId transfer_target_;
  uint32_t transfer_elapsed_ = 0;
  bool timeout_now_sent_ = false;  // in this term: a lease is no longer safe
  uint32_t handover_wait_ = 0;
  uint64_t round_ = 0;  // read rounds of this term
  uint64_t round_ns_ = 0;
  std::map<uint64_t, uint64_t> round_times_;  // unanswered rounds and when they were sent
  std::deque<PendingRead> reads_;
  bool round_wanted_ = false;
  Term taken_term_;
  std::map<NodeId, Taken> taken_;  // of taken_term_, kept when it stops leading

  // Asked of the leader by this node as a follower. Numbers start at a random place, so that an
  // answer meant for an earlier incarnation matches none (etcd #20418).
  uint64_t next_asked_ = 0;
  std::map<uint64_t, Asked> asked_reads_;
  std::map<uint64_t, Asked> asked_proposals_;

  // Receiving a snapshot.
  std::optional<SnapshotMeta> incoming_;
  NodeId incoming_from_;
  uint64_t incoming_written_ = 0;    // confirmed by the runtime
  uint64_t incoming_requested_ = 0;  // handed to the runtime
  uint64_t incoming_gap_ = 0;        // the piece whose being too far ahead was reported; 0: none
  std::optional<SnapshotMeta> install_wanted_;  // to go into the next batch
  std::optional<SnapshotMeta> installing_;      // until durable
  std::optional<SnapshotMeta> restore_wanted_;  // for the state machine

  // Output under construction.
  Output out_;
  std::vector<Message> after_;
  uint64_t last_sequence_ = 0;
  std::deque<Outstanding> outstanding_;
  uint64_t snapshot_age_ticks_ = 0;   // since the newest snapshot
  uint64_t snapshot_age_bytes_ = 0;   // of entries handed out for applying since then
  uint64_t snapshot_wait_ticks_ = 0;  // after a failure: not before this age
  Index emitted_;                     // handed out for applying
  Index applied_;

  Metrics metrics_;
};

}  // namespace pgquorum::raft

#include "base/pure.h"
