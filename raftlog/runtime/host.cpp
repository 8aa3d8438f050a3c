#include "raftlog/runtime/host.h"

#include <utility>

#include "raftlog/errors.h"
#include "raftlog/runtime/host_impl.h"
#include "raftlog/storage/errors.h"

#include "base/pure.h"

namespace pgquorum::raft {

Status HostOptions::Validate() const {
  Status status = raft.Validate();
  if (status.ok()) {
    status = log.Validate();
  }
  if (!status.ok()) {
    return status;
  }
  if (directory.empty() || cluster_id == 0) {
    return Status::Error(kErrBadOption, "a Raft instance needs a directory and a cluster id");
  }
  if (stall_ticks == 0 || max_queued_messages == 0 || max_queued_message_bytes == 0 ||
      max_queued_proposals == 0 || max_unwritten_bytes == 0 || proposal_timeout_ms == 0) {
    return Status::Error(kErrBadOption, "the bounds of a Raft instance must not be zero");
  }
  if (raft.max_entry_bytes + SizeOf(Entry()) > max_queued_message_bytes) {
    return Status::Error(kErrBadOption, "the message queue must hold at least one largest entry");
  }
  return Status::Ok();
}

Host::Host(HostOptions options, Transport& transport, StateMachine& machine,
           HostObservers observers)
    : impl_(std::make_unique<Impl>(std::move(options), transport, machine, std::move(observers))) {}

Host::~Host() {
  impl_->Stop();
}

Status Host::Start() {
  return impl_->Start();
}

void Host::Stop() {
  impl_->Stop();
}

void Host::Receive(NodeId from, std::string_view bytes, bool more) {
  impl_->Receive(from, bytes, more);
}

void Host::ReportUnreachable(NodeId peer) {
  impl_->Post([impl = impl_.get(), peer] {
    if (Core* core = impl->core()) {
      core->ReportUnreachable(peer);
    }
  });
}

void Host::ReportPeerDead(NodeId peer) {
  impl_->Post([impl = impl_.get(), peer] {
    if (Core* core = impl->core()) {
      core->ReportPeerDead(peer);
    }
  });
}

void Host::Propose(std::string command, ProposeDone done) {
  impl_->Enqueue(EntryType::kCommand, std::move(command), std::move(done));
}

void Host::ProposeSession(const SessionCommand& command, ProposeDone done) {
  impl_->Enqueue(EntryType::kSession, EncodeSessionCommand(command), std::move(done));
}

void Host::ProposeConfig(std::vector<ConfigChange> changes, std::string context, ProposeDone done) {
  impl_->ProposeConfig(std::move(changes), std::move(context), std::move(done));
}

void Host::ReadIndex(ReadMode mode, ReadDone done) {
  impl_->ReadIndex(mode, std::move(done));
}

void Host::TransferLeadership(NodeId target, std::function<void(Status)> done) {
  impl_->TransferLeadership(target, std::move(done));
}

void Host::Campaign() {
  impl_->Post([impl = impl_.get()] {
    if (Core* core = impl->core()) {
      core->Campaign();
    }
  });
}

void Host::TakeSnapshot() {
  impl_->Post([impl = impl_.get()] { impl->TakeSnapshot(); });
}

void Host::Run(std::function<void()> task) {
  impl_->Post(std::move(task));
}

std::shared_ptr<const HostStatus> Host::status() const {
  return impl_->status();
}

}  // namespace pgquorum::raft
