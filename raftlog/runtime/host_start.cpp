// raft::Host: start, stop, and what other threads call.
#include <time.h>

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "raftlog/codec.h"
#include "raftlog/errors.h"
#include "raftlog/runtime/host_impl.h"
#include "raftlog/runtime/threads.h"
#include "raftlog/storage/errors.h"

#include "base/pure.h"

namespace pgquorum::raft {
namespace {

// The host's own envelope of a snapshot: version, sessions, then the state machine's bytes.
constexpr uint32_t kStateVersion = 1;
constexpr std::size_t kMaxStatePartBytes = std::size_t{1} << 31;
constexpr uint64_t kReplayBytes = uint64_t{1} << 20;

Status Stopped() {
  return Status::Error(kErrStopped, "the Raft instance is not running");
}

}  // namespace

Host::Impl::Impl(HostOptions options, Transport& transport, StateMachine& machine,
                 HostObservers observers)
    : options_(std::move(options)),
      transport_(transport),
      machine_(machine),
      observers_(std::move(observers)),
      fs_(options_.fs != nullptr ? *options_.fs : PosixFileSystem()),
      inbox_(options_.max_queued_messages, options_.max_queued_message_bytes,
             options_.max_queued_proposals) {}

uint64_t Host::Impl::BootTimeNs() const {
  if (options_.boottime_ns) {
    return options_.boottime_ns();
  }
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

Status Host::Impl::OpenStores() {
  Result<std::unique_ptr<StateDirectory>> directory =
      StateDirectory::Open(fs_, options_.directory, {options_.cluster_id, options_.raft.id}, false);
  if (!directory.ok()) {
    return directory.status();
  }
  directory_ = std::move(directory).value();
  Result<std::unique_ptr<SnapshotStore>> snapshots =
      SnapshotStore::Open(fs_, options_.directory, options_.cluster_id);
  if (!snapshots.ok()) {
    return snapshots.status();
  }
  snapshots_ = std::move(snapshots).value();
  Result<std::unique_ptr<LogStore>> log = LogStore::Open(*directory_, *snapshots_, options_.log);
  if (!log.ok()) {
    return log.status();
  }
  log_ = std::move(log).value();
  if (options_.bootstrap && log_->pristine()) {
    return log_->WriteBootstrap(BootstrapLog(*options_.bootstrap, options_.bootstrap_context));
  }
  if (options_.force && !CarriedOut(log_->recovered(), *options_.force)) {
    Result<Bootstrap> forced =
        ForceMembership(log_->recovered(), options_.raft.id, *options_.force);
    return forced.ok() ? log_->WriteForced(forced.value()) : forced.status();
  }
  return Status::Ok();
}

std::string Host::Impl::EncodeState() {
  ByteWriter out;
  out.U32(kStateVersion);
  out.Bytes(sessions_.Encode());
  out.Bytes(machine_.Snapshot());
  return std::move(out).Take();
}

Status Host::Impl::DecodeState(const SnapshotMeta& meta, std::string_view bytes) {
  ByteReader in(bytes);
  uint32_t version = in.U32();
  std::string_view sessions = in.Bytes(kMaxStatePartBytes);
  std::string_view machine = in.Bytes(kMaxStatePartBytes);
  if (!in.Finished() || version != kStateVersion) {
    return Status::Error(kErrFormat, "the snapshot's content is of an unknown version");
  }
  Status decoded = sessions_.Decode(sessions);
  return decoded.ok() ? machine_.Restore(meta, machine) : decoded;
}

Status Host::Impl::RestoreMachine(const SnapshotMeta& meta) {
  Result<std::string> bytes = snapshots_->Load(meta);
  if (!bytes.ok()) {
    return bytes.status();
  }
  Status status = DecodeState(meta, bytes.value());
  if (status.ok()) {
    applied_ = meta.index;
    if (observers_.on_restored) {
      observers_.on_restored(meta);
    }
  }
  return status;
}

Status Host::Impl::ReportRecovered() {
  const RecoveredState& recovered = log_->recovered();
  appended_ = recovered.last;
  if (!observers_.on_appended) {
    return Status::Ok();
  }
  Index next = std::max(recovered.first, recovered.snapshot.index + 1);
  while (next <= recovered.last) {
    Result<std::vector<Entry>> entries = log_->Read(next, recovered.last, kReplayBytes);
    if (!entries.ok()) {
      return entries.status();
    }
    for (const Entry& entry : entries.value()) {
      observers_.on_appended(entry);
    }
    next = entries.value().back().index + 1;
  }
  return Status::Ok();
}

Status Host::Impl::Start() {
  PGQUORUM_CHECK(!started_ && !core_);
  Status status = options_.Validate();
  if (status.ok()) {
    status = OpenStores();
  }
  if (status.ok() && log_->recovered().snapshot.index) {
    status = RestoreMachine(log_->recovered().snapshot);
  }
  if (status.ok()) {
    status = ReportRecovered();
  }
  if (!status.ok()) {
    return status;
  }
  Result<std::unique_ptr<Core>> core = Core::Create(options_.raft, log_->recovered(), *log_);
  if (!core.ok()) {
    return core.status();
  }
  core_ = std::move(core).value();
  refilling_ = core_->refilling();
  writer_ = std::make_unique<LogWriter>(
      *log_, *snapshots_,
      LogWriter::Events{
          [this](Message message) { Send(message); },
          [this](const Persist& batch) {
            inbox_.Durable({batch.sequence, batch.term, batch.index});
            TakeTurn(false);
          },
          [this](const SnapshotMeta& meta) { Post([this, meta] { SnapshotSaved(meta); }); },
          [this](Status failure) { Post([this, failure] { Fail(failure); }); }});
  PublishStatus();
  inbox_.Open();
  writer_->Start();
  files_.Start("raft files");
  thread_ = StartThread("raft core", [this] { Loop(); });
  started_ = true;
  return Status::Ok();
}

void Host::Impl::Stop() {
  if (!started_) {
    return;
  }
  started_ = false;
  inbox_.Close();
  thread_.join();
  writer_->Stop();
  files_.Stop();
  directory_.reset();  // the lock
}

void Host::Impl::Receive(NodeId from, std::string_view bytes, bool more) {
  Result<Message> message = DecodeMessage(bytes);
  if (options_.admit && !options_.admit(from)) {
    ++dropped_messages_;
  } else if (!message.ok() || message.value().from != from) {
    ++malformed_messages_;
  } else if (!inbox_.Receive(std::move(message).value(), bytes.size())) {
    ++dropped_messages_;
  }
  if (!more) {
    TakeTurn(options_.write_on_receive);
  }
}

void Host::Impl::Enqueue(EntryType type, std::string data, ProposeDone done) {
  Proposal proposal{type, std::move(data), std::move(done), Clock::now()};
  switch (inbox_.Propose(proposal)) {
    case Inbox::Admission::kTaken:
      if (!Gathering()) {
        inbox_.Wake();
      }
      return;
    case Inbox::Admission::kFull:
      ++refused_proposals_;
      proposal.done(Status::Error(kErrOverloaded, "too many proposals are waiting"), Index(), {});
      return;
    case Inbox::Admission::kClosed:
      proposal.done(Stopped(), Index(), {});
      return;
  }
}

void Host::Impl::ProposeConfig(std::vector<ConfigChange> changes, std::string context,
                               ProposeDone done) {
  Clock::time_point since = Clock::now();
  bool posted = Post(
      [this, changes = std::move(changes), context = std::move(context), done, since]() mutable {
        if (!fatal_.ok()) {
          done(fatal_, Index(), {});
          return;
        }
        Result<LogPosition> at = core_->ProposeConfig(changes, std::move(context));
        if (at.ok()) {
          waiters_.emplace(at.value().index, Waiter{at.value().term, std::move(done), since});
        } else {
          done(at.status(), Index(), {});
        }
      });
  if (!posted) {
    done(Stopped(), Index(), {});
  }
}

void Host::Impl::ReadIndex(ReadMode mode, ReadDone done) {
  Clock::time_point since = Clock::now();
  bool posted = Post([this, mode, done, since] {
    if (!fatal_.ok()) {
      done(fatal_, Index());
      return;
    }
    uint64_t request = next_request_++;
    reads_.emplace(request, [this, done, since](Status status, Index index) {
      if (status.ok()) {
        RecordSince(since, read_us_);
      }
      done(std::move(status), index);
    });
    core_->ReadIndex(request, mode, BootTimeNs());
  });
  if (!posted) {
    done(Stopped(), Index());
  }
}

void Host::Impl::TransferLeadership(NodeId target, std::function<void(Status)> done) {
  bool posted = Post(
      [this, target, done] { done(fatal_.ok() ? core_->TransferLeadership(target) : fatal_); });
  if (!posted) {
    done(Stopped());
  }
}

}  // namespace pgquorum::raft
