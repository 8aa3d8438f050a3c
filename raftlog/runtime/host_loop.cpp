// raft::Host: the core's turns.
#include <algorithm>
#include <memory>
#include <tuple>
#include <utility>

#include "raftlog/codec.h"
#include "raftlog/errors.h"
#include "raftlog/runtime/host_impl.h"

#include "base/pure.h"

namespace pgquorum::raft {
namespace {

constexpr std::size_t kMaxRecentResults = 4096;
constexpr int kTurnsInARow = 4;
// Proposals of one turn: what is on its way to the disk is in memory twice.
constexpr uint64_t kMaxTurnBytes = uint64_t{1} << 20;

Status Lost() {
  return Status::Error(kErrNotLeader,
                       "the proposal was replaced by another leader's entry and not executed");
}

Status Unknown(std::string detail) {
  return Status::Error(kErrOutcomeUnknown, "the outcome of the proposal is not known")
      .WithDetail(std::move(detail));
}

}  // namespace

void Host::Impl::Loop() {
  const auto tick = std::chrono::nanoseconds(options_.raft.tick_ns);
  {
    std::lock_guard turn(turn_);
    next_tick_ = Clock::now() + tick;
    last_boottime_ns_ = BootTimeNs();
  }
  while (!inbox_.closed()) {
    // Only this thread changes next_tick_.
    inbox_.Wait(next_tick_);
    {
      std::lock_guard turn(turn_);
      // Proposals are not held back longer than a tick: a stuck disk must not keep them from being
      // refused.
      Turn(Gathering() && Clock::now() < next_tick_);
      MaybeTick();
      Drain();
    }
    if (inbox_.Ready(Gathering())) {
      inbox_.Wake();
    }
  }
  std::lock_guard turn(turn_);
  if (fatal_.ok()) {
    fatal_ = Status::Error(kErrStopped, "the Raft instance was stopped");
  }
  inbox_.Take(content_, false, UINT64_MAX);
  Feed(content_);
  FailAll(fatal_);
}

// The caller has `turn_`.
void Host::Impl::Turn(bool leave_proposals) {
  inbox_.Take(content_, leave_proposals, kMaxTurnBytes);
  if (!content_.empty()) {
    Feed(content_);
    Drain();
  }
}

// By a thread that has put something into the inbox. It runs the core itself, which saves waking
// another thread to do so; a few turns at most, so that it gets back to its own work. When another
// thread has the turn, that one looks again after it has let go: nothing stays behind. With
// `may_write` the thread also carries out what a follower's turn wants to have written.
void Host::Impl::TakeTurn(bool may_write) {
  for (int turns = 0; turns < kTurnsInARow; ++turns) {
    bool wrote = false;
    {
      std::unique_lock turn(turn_, std::try_to_lock);
      if (!turn.owns_lock()) {
        return;
      }
      // A leader's receiving threads are wanted for the followers' answers.
      helping_ = may_write && core_->role() != Role::kLeader;
      Turn(Gathering());
      wrote = std::exchange(helping_, false);
    }
    if (wrote) {
      writer_->Help();
    }
    if (!inbox_.Ready(Gathering())) {
      return;
    }
  }
  inbox_.Wake();
}

// After a stall the messages of that time are heard before the clock is.
void Host::Impl::Feed(InboxContent& content) {
  if (fatal_.ok()) {
    if (content.durable) {
      durable_.store(content.durable->sequence, std::memory_order_relaxed);
      core_->Persisted(content.durable->sequence, content.durable->term, content.durable->index);
    }
    bool disk_behind = writer_->queued_bytes() > options_.max_unwritten_bytes;
    for (Message& message : content.messages) {
      if (disk_behind && !message.entries.empty()) {
        ++dropped_messages_;
        continue;
      }
      core_->Step(std::move(message));
    }
  }
  for (auto& task : content.tasks) {
    task();
  }
  for (Proposal& proposal : content.proposals) {
    FeedProposal(std::move(proposal));
  }
}

void Host::Impl::FeedProposal(Proposal proposal) {
  if (!fatal_.ok()) {
    proposal.done(fatal_, Index(), {});
    return;
  }
  if (core_->role() != Role::kLeader && options_.raft.forward_proposals) {
    uint64_t request = next_request_++;
    forwards_.emplace(request, Forwarded{std::move(proposal.done), proposal.since});
    core_->Forward(request, proposal.type, std::move(proposal.data));
    return;
  }
  Result<LogPosition> at = core_->Propose(proposal.type, std::move(proposal.data));
  if (!at.ok()) {
    proposal.done(at.status(), Index(), {});
    return;
  }
  waiters_.emplace(at.value().index,
                   Waiter{at.value().term, std::move(proposal.done), proposal.since});
}

// Late ticks are not made up for: timers that run a little slow are safe, a burst of ticks would
// start elections.
void Host::Impl::MaybeTick() {
  Clock::time_point now = Clock::now();
  if (now < next_tick_ || !fatal_.ok()) {
    if (now >= next_tick_) {
      next_tick_ = now + std::chrono::nanoseconds(options_.raft.tick_ns);
    }
    return;
  }
  uint64_t boottime = BootTimeNs();
  uint64_t slept = (boottime - std::min(boottime, last_boottime_ns_)) / options_.raft.tick_ns;
  if (slept > options_.stall_ticks) {
    ++stalls_;
    core_->NoteStall(slept);
  }
  last_boottime_ns_ = boottime;
  core_->Tick(boottime);
  next_tick_ += std::chrono::nanoseconds(options_.raft.tick_ns);
  if (next_tick_ <= now) {
    next_tick_ = now + std::chrono::nanoseconds(options_.raft.tick_ns);
  }
  ++ticks_;
  ExpireWaiters();
  MaybeSnapshot();
  PrepareSpares();
  PublishStatus();
}

void Host::Impl::Drain() {
  while (fatal_.ok()) {
    Output out = core_->TakeOutput();
    if (!core_->fatal().ok()) {
      Fail(core_->fatal());
      return;
    }
    if (out.empty()) {
      return;
    }
    if (out.persist) {
      ObserveEntries(*out.persist);
    }
    for (const Message& message : out.messages) {
      Send(message);
    }
    for (SnapshotSend& send : out.snapshot_sends) {
      SendPiece(std::move(send));
    }
    if (out.persist) {
      SubmitPersist(std::move(*out.persist));
    }
    for (SnapshotWrite& write : out.snapshot_writes) {
      WritePiece(std::move(write));
    }
    if (out.restore) {
      Restore(*out.restore);
    }
    if (!out.committed.empty() && fatal_.ok()) {
      Apply(std::move(out.committed));
    }
    for (ForwardResult& forward : out.forwards) {
      AnswerForward(forward);
    }
    for (ReadResult& read : out.reads) {
      AnswerRead(read);
    }
    if (out.leadership) {
      leadership_ = *out.leadership;
      PublishStatus();
      if (observers_.on_leadership_change) {
        observers_.on_leadership_change(leadership_);
      }
    }
  }
}

void Host::Impl::ObserveEntries(const Persist& persist) {
  if (persist.install_snapshot) {
    // Everything that was not applied is gone, at and below the snapshot's index too.
    if (appended_ > applied_ && observers_.on_truncated) {
      observers_.on_truncated(applied_ + 1);
    }
    appended_ = persist.install_snapshot->index;
  }
  if (persist.entries.empty()) {
    return;
  }
  Index first = persist.entries.front().index;
  if (first <= appended_ && observers_.on_truncated) {
    observers_.on_truncated(first);
  }
  appended_ = persist.entries.back().index;
  if (observers_.on_appended) {
    for (const Entry& entry : persist.entries) {
      observers_.on_appended(entry);
    }
  }
}

void Host::Impl::SubmitPersist(Persist persist) {
  LogJob job;
  submitted_.store(persist.sequence, std::memory_order_relaxed);
  job.persist = std::move(persist);
  if (refilling_ && !core_->refilling()) {
    refilling_ = false;
    refill_done_ = true;
  }
  job.refill_done = std::exchange(refill_done_, false);
  writer_->Submit(std::move(job), !helping_);
}

// From any thread of the host.
void Host::Impl::Send(const Message& message) {
  transport_.Send(message.to, EncodeMessage(message));
}

void Host::Impl::Apply(std::vector<Entry> entries) {
  for (const Entry& entry : entries) {
    PGQUORUM_CHECK(entry.index == applied_ + 1);
    Status status;
    std::string result;
    switch (entry.type) {
      case EntryType::kNoOp:
        break;
      case EntryType::kCommand:
        result = machine_.Apply(entry);
        break;
      case EntryType::kSession: {
        SessionOutcome outcome = sessions_.Apply(entry, [&](std::string_view command) {
          return machine_.Apply(
              {entry.term, entry.index, EntryType::kCommand, std::string(command)});
        });
        status = std::move(outcome.status);
        result = std::move(outcome.answer);
        break;
      }
      case EntryType::kConfig: {
        Result<ConfigEntry> config = DecodeConfigEntry(entry.data);
        PGQUORUM_CHECK(config.ok());  // the core has accepted it
        machine_.ApplyConfiguration(entry.index, config.value().configuration,
                                    config.value().context);
        break;
      }
    }
    applied_ = entry.index;
    Resolve(entry, std::move(status), std::move(result));
  }
  if (observers_.on_applied) {
    observers_.on_applied(entries);
  }
  core_->Applied(applied_);
  ReleaseReads();
}

void Host::Impl::Resolve(const Entry& entry, Status status, std::string result) {
  if (!forwards_.empty()) {
    recent_[entry.index] = {entry.term, status, result};
    if (recent_.size() > kMaxRecentResults) {
      recent_.erase(recent_.begin());
    }
  } else if (!recent_.empty()) {
    recent_.clear();
  }
  while (!waiters_.empty() && waiters_.begin()->first <= entry.index) {
    auto node = waiters_.extract(waiters_.begin());
    Waiter& waiter = node.mapped();
    if (waiter.term != entry.term || node.key() != entry.index) {
      waiter.done(Lost(), Index(), {});
      continue;
    }
    RecordSince(waiter.since, commit_us_);
    waiter.done(status, entry.index, result);
  }
}

void Host::Impl::AnswerForward(ForwardResult& forward) {
  auto found = forwards_.extract(forward.request);
  if (found.empty()) {
    return;  // timed out
  }
  ProposeDone& done = found.mapped().done;
  if (!forward.status.ok()) {
    done(std::move(forward.status), Index(), {});
    return;
  }
  if (forward.index > applied_) {
    waiters_.emplace(forward.index, Waiter{forward.term, std::move(done), found.mapped().since});
    return;
  }
  auto recent = recent_.find(forward.index);
  if (recent == recent_.end()) {
    done(Unknown("It was applied before the leader's answer came."), Index(), {});
  } else if (recent->second.term != forward.term) {
    done(Lost(), Index(), {});
  } else {
    done(recent->second.status, forward.index, recent->second.result);
  }
}

void Host::Impl::AnswerRead(ReadResult& read) {
  auto found = reads_.extract(read.request);
  if (found.empty()) {
    return;
  }
  if (!read.status.ok()) {
    found.mapped()(std::move(read.status), Index());
  } else if (read.index <= applied_) {
    found.mapped()(Status::Ok(), read.index);
  } else {
    readings_.push_back({read.index, std::move(found.mapped())});
  }
}

void Host::Impl::ReleaseReads() {
  for (std::size_t i = 0; i < readings_.size();) {
    if (readings_[i].index > applied_) {
      ++i;
      continue;
    }
    Reading reading = std::move(readings_[i]);
    readings_.erase(readings_.begin() + static_cast<std::ptrdiff_t>(i));
    reading.done(Status::Ok(), reading.index);
  }
}

void Host::Impl::ExpireWaiters() {
  Clock::time_point oldest = Clock::now() - std::chrono::milliseconds(options_.proposal_timeout_ms);
  auto expire = [oldest](auto& waiting, const char* why) {
    for (auto it = waiting.begin(); it != waiting.end();) {
      if (it->second.since < oldest) {
        ProposeDone done = std::move(it->second.done);
        it = waiting.erase(it);
        done(Unknown(why), Index(), {});
      } else {
        ++it;
      }
    }
  };
  // A walk over all of them ten times a second is cheap beside what proposing them cost.
  if (ticks_ % 10 == 0) {
    expire(waiters_, "It was not committed within the proposal timeout.");
    expire(forwards_, "The leader did not answer within the proposal timeout.");
  }
}

void Host::Impl::Fail(Status status) {
  if (!fatal_.ok()) {
    return;
  }
  fatal_ = std::move(status);
  FailAll(fatal_);
  PublishStatus();
  if (observers_.on_fatal) {
    observers_.on_fatal(fatal_);
  }
}

// What is in the log may still be committed by the others.
void Host::Impl::FailAll(const Status& status) {
  auto waiters = std::exchange(waiters_, {});
  for (auto& [index, waiter] : waiters) {
    waiter.done(Unknown(status.message()), Index(), {});
  }
  auto forwards = std::exchange(forwards_, {});
  for (auto& [request, forward] : forwards) {
    forward.done(Unknown(status.message()), Index(), {});
  }
  auto reads = std::exchange(reads_, {});
  for (auto& [request, done] : reads) {
    done(status, Index());
  }
  auto readings = std::exchange(readings_, {});
  for (Reading& reading : readings) {
    reading.done(status, Index());
  }
}

void Host::Impl::PublishStatus() {
  auto published = std::make_shared<HostStatus>();
  HostStatus& s = *published;
  s.id = core_->id();
  s.term = core_->term();
  s.vote = core_->vote();
  s.role = fatal_.ok() ? core_->role() : Role::kFollower;
  s.leader = core_->leader();
  s.commit = core_->log().commit();
  s.applied = applied_;
  s.first = core_->log().first();
  s.last = core_->log().last();
  s.stable = core_->log().stable();
  s.snapshot = core_->snapshot();
  s.configuration = core_->configuration();
  s.options = core_->options();
  s.refilling = core_->refilling();
  s.transferring_to = core_->transferring_to();
  for (const auto& [node, p] : core_->progress()) {
    s.peers.push_back({node, p.match, p.next, p.state, p.recent_active, p.inflights.count(),
                       p.inflights.bytes()});
  }
  s.metrics = core_->metrics();
  s.log = log_->stats();
  s.damage = log_->damage();
  s.fatal = fatal_;
  s.waiting_proposals = waiters_.size() + forwards_.size();
  LogWriter::Stats writer = writer_->stats();
  s.unwritten_batches = writer.queued_batches;
  s.unwritten_bytes = writer.queued_bytes;
  s.sync_us = writer.sync_us;
  s.group = writer.group;
  s.commit_us = commit_us_;
  s.read_us = read_us_;
  s.snapshot_us = snapshot_us_;
  s.waiting_reads = reads_.size() + readings_.size();
  s.snapshots_taken = snapshots_taken_;
  s.stalls = stalls_;
  std::tie(s.queued_messages, s.queued_proposals) = inbox_.depths();
  s.dropped_messages = dropped_messages_;
  s.malformed_messages = malformed_messages_;
  s.refused_proposals = refused_proposals_;
  std::lock_guard lock(status_mutex_);
  status_ = std::move(published);
}

}  // namespace pgquorum::raft
