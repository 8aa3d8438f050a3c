// Elections: raft paper 5.2 and 5.4.1, pre-vote (thesis 9.6), check-quorum's lease (thesis 4.2.3),
// fast elections on hard evidence.
#include <algorithm>

#include "base/check.h"
#include "raftlog/bug.h"
#include "raftlog/core.h"
#include "raftlog/errors.h"

#include "base/pure.h"

namespace pgquorum::raft {

void Core::ResetElectionTimer() {
  election_elapsed_ = 0;
  uint32_t range = options_.election_ticks_end() - options_.election_ticks;
  election_timeout_ =
      options_.election_ticks + static_cast<uint32_t>(random_.Below(range)) + PriorityDelay();
}

uint32_t Core::PriorityDelay() const {
  uint32_t priority = std::min(options_.priority, kDefaultPriority);
  if (!configurations_.empty() && configuration().IsWitness(options_.id)) {
    priority = 0;
  }
  return (kDefaultPriority - priority) * options_.priority_delay_ticks;
}

// True while a leader may rely on this node not to elect another one.
bool Core::InLease() const {
  if (!options_.check_quorum) {
    return false;
  }
  if (role_ == Role::kLeader) {
    return true;
  }
  if (PGQUORUM_RAFT_BUG(kVoteDespiteLease)) {
    return false;
  }
  return lease_elapsed_ < options_.election_ticks;
}

bool Core::CanCampaign() const {
  bool disk_works =
      options_.disk_stall_ticks == 0 || oldest_write_ticks_ < options_.disk_stall_ticks;
  return fatal_.ok() && role_ != Role::kLeader && !refilling() && !installing_ &&
         !install_wanted_ && disk_works && InCommittedOrLatestVoters();
}

void Core::BecomeFollower(Term term, NodeId leader) {
  PGQUORUM_CHECK(term >= term_);
  bool was_leader = role_ == Role::kLeader;
  if (term > term_) {
    term_ = term;
    vote_ = NodeId();
    self_vote_sequence_.reset();
  }
  role_ = Role::kFollower;
  if (leader_ != leader || was_leader) {
    FailReads("the leadership changed");
    FailForwards("the leadership changed");
  }
  leader_ = leader;
  votes_.clear();
  self_vote_sequence_.reset();
  progress_.clear();
  EndTransfer();
  timeout_now_sent_ = false;
  if (was_leader) {
    ResetElectionTimer();
    lease_elapsed_ = options_.election_ticks;  // it promised nobody anything
  }
}

void Core::Campaign() {
  if (CanCampaign() && !InLease()) {
    StartElection(true, false);
  }
}

void Core::StartElection(bool pre_vote, bool force) {
  PGQUORUM_CHECK(CanCampaign());
  ResetElectionTimer();
  if (leader_) {
    BecomeFollower(term_, NodeId());
  }
  votes_.clear();
  forced_ = force;
  if (pre_vote && options_.pre_vote) {
    ++metrics_.pre_votes_started;
    role_ = Role::kPreCandidate;
    SendVoteRequests(MessageKind::kPreVote, force);
    CountVote(options_.id, true);
    return;
  }
  ++metrics_.elections_started;
  role_ = Role::kCandidate;
  ++term_;
  vote_ = options_.id;
  // Its own vote counts, like any other, once it cannot be forgotten.
  self_vote_sequence_ = last_sequence_ + 1;
  SendVoteRequests(MessageKind::kVote, force);
}

void Core::SendVoteRequests(MessageKind kind, bool force) {
  // The latest configuration decides, committed or not (thesis 4.1).
  for (NodeId id : configuration().Members()) {
    if (id == options_.id || !configuration().IsVoter(id)) {
      continue;
    }
    Message m = MessageTo(id, kind);
    m.term = kind == MessageKind::kPreVote ? term_ + 1 : term_;
    m.log_index = log_.last();
    m.log_term = log_.last_term();
    m.priority = options_.priority;
    m.force = force;
    Send(std::move(m));
  }
}

void Core::CountVote(NodeId voter, bool granted) {
  votes_.emplace(voter, granted);
  switch (VoteResult(configuration().voters, configuration().outgoing, votes_)) {
    case Vote::kPending:
      return;
    case Vote::kLost:
      role_ = Role::kFollower;
      votes_.clear();
      self_vote_sequence_.reset();
      return;
    case Vote::kWon:
      if (role_ == Role::kPreCandidate) {
        if (CanCampaign()) {  // its disk may have stalled since it asked
          StartElection(false, forced_);
        }
      } else {
        BecomeLeader();
      }
      return;
  }
}

void Core::BecomeLeader() {
  PGQUORUM_CHECK(role_ == Role::kCandidate);
  ++metrics_.elections_won;
  role_ = Role::kLeader;
  leader_ = options_.id;
  FailReads("the leadership changed");
  FailForwards("the leadership changed");
  votes_.clear();
  self_vote_sequence_.reset();
  campaign_in_.reset();
  evidence_ticks_ = 0;
  election_elapsed_ = 0;
  heartbeat_elapsed_ = 0;
  handover_wait_ = 0;
  streaming_ = false;
  accepted_at_tick_ = metrics_.proposals_accepted;
  round_ = 0;
  round_times_.clear();
  timeout_now_sent_ = false;
  progress_.clear();
  ConfigurationChanged();
  // Raft paper 5.4.2, 8: entries of earlier terms commit only behind one of its own.
  AppendOwn(EntryType::kNoOp, "");
  term_start_ = log_.last();
  round_wanted_ = true;  // announce itself; starts the lease
}

bool Core::LogUpToDate(const Message& m) const {
  Term last_term = log_.last_term();
  return m.log_term > last_term || (m.log_term == last_term && m.log_index >= log_.last());
}

// When several nodes learn of the leader's death in the same instant, their elections would collide
// and cost a whole timeout. For a short while after the evidence the better-placed one goes first.
// Bounded in time, so that it can never block an election that only the other could win.
bool Core::OutranksCandidate(const Message& m) const {
  if (evidence_ticks_ == 0 || role_ != Role::kPreCandidate) {
    return false;
  }
  bool our_log_wins_too = m.log_term < log_.last_term() ||
                          (m.log_term == log_.last_term() && m.log_index <= log_.last());
  return our_log_wins_too &&
         (options_.priority != m.priority ? options_.priority > m.priority : options_.id < m.from);
}

void Core::HandleVoteRequest(const Message& m) {
  bool pre = m.kind == MessageKind::kPreVote;
  // The promise to a leader holds in later terms too: a term can rise without an election.
  bool unbound = m.force || !InLease();
  bool free_to_vote = pre ? m.term > term_ && unbound && !OutranksCandidate(m)
                          : vote_ == m.from || (!vote_ && !leader_ && unbound);
  if (PGQUORUM_RAFT_BUG(kVoteTwice) && !pre) {
    free_to_vote = true;
  }
  bool granted = free_to_vote && (!refilling() || PGQUORUM_RAFT_BUG(kRefillingVotes)) &&
                 (LogUpToDate(m) || PGQUORUM_RAFT_BUG(kVoteForStaleLog));
  Message reply = MessageTo(m.from, pre ? MessageKind::kPreVoteReply : MessageKind::kVoteReply);
  reply.reject = !granted;
  ++(granted ? metrics_.votes_granted : metrics_.votes_refused);
  if (!granted) {
    Send(std::move(reply));
    return;
  }
  if (pre) {
    reply.term = m.term;
    if (campaign_in_) {
      *campaign_in_ += options_.peer_dead_delay_ticks + 2;  // let the one who asked go first
    }
    Send(std::move(reply));
    return;
  }
  if (role_ == Role::kPreCandidate) {
    role_ = Role::kFollower;
    votes_.clear();
  }
  vote_ = m.from;
  ResetElectionTimer();
  campaign_in_.reset();
  SendAfterPersist(std::move(reply));
}

void Core::HandleVoteReply(const Message& m) {
  bool pre = m.kind == MessageKind::kPreVoteReply;
  if (role_ != (pre ? Role::kPreCandidate : Role::kCandidate)) {
    return;
  }
  if (pre && !m.reject && m.term != term_ + 1) {
    return;
  }
  CountVote(m.from, !m.reject);
}

void Core::HandleTimeoutNow(const Message& m) {
  if (m.from == leader_ && CanCampaign()) {
    // The leader itself asked for it: no pre-vote, and voters need not wait for its lease to end.
    StartElection(false, true);
  }
}

void Core::ReportPeerDead(NodeId peer) {
  if (!fatal_.ok()) {
    return;
  }
  if (role_ == Role::kLeader) {
    auto found = progress_.find(peer);
    if (found != progress_.end() && peer != options_.id) {
      found->second.recent_active = false;
    }
    ReportUnreachable(peer);
    return;
  }
  if (peer != leader_ || !peer) {
    return;
  }
  BecomeFollower(term_, NodeId());
  dead_leader_ = peer;
  dead_term_ = term_;
  lease_elapsed_ = options_.election_ticks;
  if (!CanCampaign()) {
    return;
  }
  evidence_ticks_ = options_.election_ticks;
  campaign_in_ = PriorityDelay() +
                 static_cast<uint32_t>(random_.Below(uint64_t{options_.peer_dead_delay_ticks} + 1));
  if (*campaign_in_ == 0) {
    campaign_in_ = 1 + options_.peer_dead_delay_ticks;  // the next try
    StartElection(true, false);
  }
}

void Core::TickElection() {
  ++election_elapsed_;
  if (lease_elapsed_ < options_.election_ticks) {
    ++lease_elapsed_;
  }
  if (evidence_ticks_ > 0 && --evidence_ticks_ == 0) {
    campaign_in_.reset();
  }
  if (campaign_in_ && (*campaign_in_ == 0 || --*campaign_in_ == 0)) {
    // Voters that have not seen the evidence yet refuse: ask again soon. A real election under way
    // is left alone.
    campaign_in_ =
        1 + static_cast<uint32_t>(random_.Below(uint64_t{options_.peer_dead_delay_ticks} + 1));
    if (role_ != Role::kCandidate && CanCampaign()) {
      StartElection(true, false);
    }
    return;
  }
  if (election_elapsed_ < election_timeout_) {
    return;
  }
  ResetElectionTimer();
  if (CanCampaign()) {
    StartElection(true, false);
  } else if (leader_) {
    BecomeFollower(term_, NodeId());  // it has gone silent: forget it
  }
}

}  // namespace pgquorum::raft
