// The verbs: from SQL (through shared memory) and from nodes that want to join (through the
// transport).
#include "extension/pg/pg.h"

#include "bgworkers/consensus/node.h"
#include "bgworkers/consensus/wall_clock.h"
#include "bgworkers/transport/pki.h"
#include "bgworkers/transport/token.h"
#include "raftlog/errors.h"

namespace pgquorum::consensus {

using failover::NodeId;
using failover::TimeNs;

namespace {

constexpr int64_t kMaxTokenSeconds = 7 * 24 * 3600;
constexpr TimeNs kRepeatInterval = 50 * failover::kMs;

// Whom this node took for the leader is none, or not yet, or not any more: certainly nothing has
// happened, and it passes within an election.
bool WasNotAccepted(const Status& status) {
  return status.sqlstate() == raft::kErrNotLeader || status.sqlstate() == raft::kErrNotReady ||
         status.sqlstate() == raft::kErrTransferring;
}

}  // namespace

void Node::TakeRequests() {
  while (shared::RequestSlot* slot = shmem::TakeRequest()) {
    if (!cluster_->created()) {
      shmem::Answer(slot, Status::Error("RX000", "this node does not know its cluster yet")
                              .WithHint("Wait until it has reached a majority of the members."));
      continue;
    }
    HandleRequest(slot);
  }
}

void Node::HandleRequest(shared::RequestSlot* slot) {
  switch (slot->arguments.verb) {
    case shared::Verb::kFailover:
      return RequestFailover(slot, failover::RequestKind::kSwitchover);
    case shared::Verb::kForceFailover:
      return RequestFailover(slot, failover::RequestKind::kForceFailover);
    case shared::Verb::kCreateJoinToken:
      return CreateJoinToken(slot);
    case shared::Verb::kRemoveMember:
      return RemoveMember(slot);
    case shared::Verb::kSetPriority:
      return SetPriority(slot);
    case shared::Verb::kPauseFailover:
      return PauseFailover(slot);
    case shared::Verb::kSetSetting:
      return ChangeSetting(slot);
    case shared::Verb::kNone:
      break;
  }
  shmem::Answer(slot, Status::Error("0A000", "this version of pgquorum does not know the request"));
}

void Node::ProposeFor(shared::RequestSlot* slot, const failover::Command& command,
                      std::function<void(const failover::ApplyResult&)> applied) {
  host_->Propose(
      failover::Encode(command),
      [this, slot, command, applied](const Status& status, raft::Index, const std::string& result) {
        inbox_.Post(Inbox::Kind::kAnswer, [this, slot, command, applied, status, result] {
          if (WasNotAccepted(status)) {
            repeated_.push_back({slot, command, applied});
            return;
          }
          if (!status.ok()) {
            shmem::Answer(slot, status);
            return;
          }
          Result<failover::ApplyResult> outcome = DecodeApplyResult(result);
          if (!outcome.ok() || !outcome.value().status.ok()) {
            shmem::Answer(slot, outcome.ok() ? outcome.value().status : outcome.status());
            return;
          }
          cluster_ = machine_.published();
          applied(outcome.value());
        });
      });
}

void Node::ProposeAgain(TimeNs now) {
  if (repeated_.empty() || now < repeat_due_) {
    return;
  }
  repeat_due_ = now + kRepeatInterval;
  std::vector<Proposal> due;
  due.swap(repeated_);
  for (Proposal& proposal : due) {
    if (shmem::IsAbandoned(proposal.slot)) {
      shmem::Answer(proposal.slot, Status::Ok());  // frees it
    } else {
      ProposeFor(proposal.slot, proposal.command, std::move(proposal.applied));
    }
  }
}

void Node::RequestFailover(shared::RequestSlot* slot, failover::RequestKind kind) {
  const shared::RequestArguments& arguments = slot->arguments;
  failover::RequestFailover verb;
  verb.id = failover::RequestId(random_.Next());
  verb.kind = kind;
  verb.accept_loss = arguments.accept_loss != 0;
  verb.requested_by = std::string(arguments.user.view());
  verb.now_us = UnixMicroseconds();
  if (!arguments.node.empty()) {
    const failover::Member* target = cluster_->FindMember(arguments.node.view());
    if (target == nullptr) {
      shmem::Answer(slot, Status::Error("22023", "there is no member \"" +
                                                     std::string(arguments.node.view()) + "\"")
                              .WithHint("system.cluster_health lists the members."));
      return;
    }
    verb.target = target->id;
  }
  ProposeFor(slot, verb, [this, slot, id = verb.id](const failover::ApplyResult&) {
    waiting_.push_back({slot, id, NodeId()});
  });
}

void Node::CreateJoinToken(shared::RequestSlot* slot) {
  int64_t seconds = slot->arguments.number;
  if (seconds <= 0 || seconds > kMaxTokenSeconds) {
    shmem::Answer(slot, Status::Error("22023", "a join token is valid for 1 second to 7 days"));
    return;
  }
  Result<transport::JoinToken> token = transport::JoinToken::Create(
      options_.state_directory + "/" + identity::kPkiDirectory + "/ca.crt");
  if (!token.ok()) {
    shmem::Answer(slot, token.status());
    return;
  }
  failover::IssueToken issue;
  issue.token_hash = token.value().SecretHash();
  issue.now_us = UnixMicroseconds();
  issue.expires_us = issue.now_us + seconds * 1'000'000;
  ProposeFor(slot, issue, [slot, text = token.value().Format()](const failover::ApplyResult&) {
    shmem::Answer(slot, Status::Ok(), text);
  });
}

void Node::RemoveMember(shared::RequestSlot* slot) {
  const failover::Member* member = cluster_->FindMember(slot->arguments.node.view());
  if (member == nullptr) {
    shmem::Answer(slot, Status::Error("22023", "there is no such member")
                            .WithHint("system.cluster_health lists the members."));
    return;
  }
  failover::SetMemberState leave{member->id, failover::MemberState::kLeaving};
  ProposeFor(slot, leave, [this, slot, id = member->id](const failover::ApplyResult&) {
    waiting_.push_back({slot, failover::RequestId(), id});
  });
}

void Node::SetPriority(shared::RequestSlot* slot) {
  const failover::Member* member = cluster_->FindMember(slot->arguments.node.view());
  int64_t priority = slot->arguments.number;
  if (member == nullptr || priority < 0 || priority > 100) {
    shmem::Answer(
        slot, Status::Error("22023", member == nullptr ? "there is no such member"
                                                       : "a priority is a number from 0 to 100"));
    return;
  }
  failover::UpdateMember update{member->id, member->info};
  update.info.priority = static_cast<uint32_t>(priority);
  ProposeFor(slot, update,
             [slot](const failover::ApplyResult&) { shmem::Answer(slot, Status::Ok()); });
}

void Node::PauseFailover(shared::RequestSlot* slot) {
  failover::SetSetting set{"pgquorum.automatic_failover",
                           slot->arguments.force != 0 ? "off" : "on"};
  ProposeFor(slot, set,
             [slot](const failover::ApplyResult&) { shmem::Answer(slot, Status::Ok()); });
}

// Whether the value is allowed is the state machine's to say; whether there is such a setting only
// this version's: an entry may be of a newer one.
void Node::ChangeSetting(shared::RequestSlot* slot) {
  failover::SetSetting set;
  set.key = std::string(slot->arguments.node.view());
  set.value = std::string(slot->arguments.text.view());
  if (!failover::Settings::IsKnown(set.key)) {
    shmem::Answer(slot,
                  Status::Error("42704", "unrecognized configuration parameter \"" + set.key + "\"")
                      .WithHint("system.cluster_settings lists the cluster's settings."));
    return;
  }
  ereport(LOG, (errmsg("pgquorum: \"%s\" sets %s to %s", slot->arguments.user.data, set.key.c_str(),
                       set.value.empty() ? "its default" : set.value.c_str())));
  ProposeFor(slot, set,
             [slot](const failover::ApplyResult&) { shmem::Answer(slot, Status::Ok()); });
}

// Requests that end with the cluster's state, not with their first entry.
void Node::AnswerFinished() {
  for (auto waiting = waiting_.begin(); waiting != waiting_.end();) {
    bool done = false;
    if (waiting->leaving) {
      done = cluster_->FindMember(waiting->leaving) == nullptr;
      if (done) {
        shmem::Answer(waiting->slot, Status::Ok());
      }
    } else {
      const failover::FailoverRequest* request = cluster_->FindRequest(waiting->request);
      done = request == nullptr || request->outcome != failover::RequestOutcome::kPending;
      if (done && request != nullptr && request->outcome == failover::RequestOutcome::kDone) {
        shmem::Answer(waiting->slot, Status::Ok(), cluster_->NameOf(cluster_->appointment().node));
      } else if (done) {
        shmem::Answer(waiting->slot, Status::Error("RX100", "the failover was not carried out")
                                         .WithDetail(request == nullptr ? "" : request->detail));
      }
    }
    waiting = done || shmem::IsAbandoned(waiting->slot) ? waiting_.erase(waiting) : waiting + 1;
  }
}

// A node with a one-time token asks to become a member. Runs on any member: the proposal finds the
// leader, and the answer is signed with the cluster's key, which every data member holds.
void Node::OnJoin(transport::JoinRequest request, transport::JoinAnswer answer) {
  failover::AddMember add;
  add.token_hash = transport::HashSecret(request.secret);
  add.system_identifier = request.system_identifier;
  add.info.name = request.node_name;
  add.info.listen_host = request.listen_host;
  add.info.listen_port = request.listen_port;
  add.info.raft_host = request.raft_host;
  add.info.raft_port = request.raft_port;
  add.now_us = UnixMicroseconds();
  host_->Propose(
      failover::Encode(failover::Command(add)),
      [this, request, answer](const Status& status, raft::Index, const std::string& result) {
        inbox_.Post(Inbox::Kind::kAnswer, [this, request, answer, status, result] {
          Result<failover::ApplyResult> applied =
              status.ok() ? DecodeApplyResult(result) : Result<failover::ApplyResult>(status);
          AnswerJoin(request, answer, applied);
        });
      });
}

void Node::AnswerJoin(const transport::JoinRequest& request, const transport::JoinAnswer& answer,
                      const Result<failover::ApplyResult>& applied) {
  if (!applied.ok() || !applied.value().status.ok()) {
    answer(applied.ok() ? applied.value().status : applied.status());
    return;
  }
  cluster_ = machine_.published();
  transport::JoinResponse response;
  response.cluster_name = cluster_->name();
  response.cluster_id = cluster_->cluster_id();
  response.raft_node_id = applied.value().node.value();
  response.system_identifier = cluster_->system_identifier();
  response.primary_node_id = cluster_->appointment().node.value();
  for (const auto& [id, member] : cluster_->members()) {
    response.members.push_back({id.value(), member.info.name, member.info.listen_host,
                                member.info.listen_port, member.info.raft_host,
                                member.info.raft_port});
  }
  std::string pki = options_.state_directory + "/" + identity::kPkiDirectory;
  Result<transport::SignedNode> signed_node =
      transport::SignJoiner(pki, request, cluster_->cluster_id());
  if (!signed_node.ok()) {
    answer(signed_node.status());
    return;
  }
  response.ca_certificate = signed_node.value().ca_certificate;
  response.ca_key = signed_node.value().ca_key;
  response.node_certificate = signed_node.value().node_certificate;
  answer(std::move(response));
}

}  // namespace pgquorum::consensus
