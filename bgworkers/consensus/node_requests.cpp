// The verbs: from SQL (through shared memory) and from nodes that want to join (through the
// transport).
#include "extension/pg/pg.h"

#include "bgworkers/consensus/node.h"
#include "bgworkers/consensus/wall_clock.h"
#include "bgworkers/transport/pki.h"
#include "bgworkers/transport/token.h"

namespace pgquorum::consensus {

using failover::NodeId;
using failover::TimeNs;

namespace {

constexpr int64_t kMaxTokenSeconds = 7 * 24 * 3600;
constexpr TimeNs kRepeatInterval = 50 * failover::kMs;

// How long a joining node's request is repeated: about as long as it waits for the answer.
constexpr TimeNs kJoinPatience = 10'000 * failover::kMs;

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

void Node::ProposeOnce(const failover::Command& command, std::function<bool()> wanted,
                       std::function<void(const Result<failover::ApplyResult>&)> done) {
  session_.Submit(failover::Encode(command), std::move(wanted),
                  [this, done = std::move(done)](const Status& status, const std::string& result) {
                    if (!status.ok()) {
                      done(status);
                      return;
                    }
                    cluster_ = machine_.published();
                    Result<failover::ApplyResult> applied = DecodeApplyResult(result);
                    bool refused = applied.ok() && !applied.value().status.ok();
                    done(refused ? applied.value().status : std::move(applied));
                  });
}

void Node::ProposeFor(shared::RequestSlot* slot, const failover::Command& command,
                      std::function<void(const failover::ApplyResult&)> applied) {
  ProposeOnce(
      command, [slot] { return !shmem::IsAbandoned(slot); },
      [slot, applied = std::move(applied)](const Result<failover::ApplyResult>& outcome) {
        if (outcome.ok()) {
          applied(outcome.value());
        } else {
          shmem::Answer(slot, outcome.status());
        }
      });
}

void Node::ProposeAgain(TimeNs now) {
  if (now >= repeat_due_) {
    repeat_due_ = now + kRepeatInterval;
    session_.Repeat(static_cast<uint64_t>(now));
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
  if (member != nullptr && !member->data()) {
    shmem::Answer(slot, Status::Error("22023", "node \"" + member->info.name + "\" is a witness")
                            .WithDetail("It holds no data, so it is never a primary."));
    return;
  }
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
// leader, and the answer is signed with the cluster's key, which every data member holds. A witness
// sends to one that does.
void Node::OnJoin(transport::JoinRequest request, transport::JoinAnswer answer) {
  if (options_.identity.witness) {
    return SendJoinerOn(answer);
  }
  failover::AddMember add;
  add.token_hash = transport::HashSecret(request.secret);
  add.system_identifier = request.system_identifier;
  add.info.name = request.node_name;
  add.info.listen_host = request.listen_host;
  add.info.listen_port = request.listen_port;
  add.info.raft_host = request.raft_host;
  add.info.raft_port = request.raft_port;
  if (request.witness) {
    add.info.kind = failover::MemberKind::kWitness;
    add.info.priority = 0;
  }
  add.now_us = UnixMicroseconds();
  TimeNs until = static_cast<TimeNs>(shmem::BootTimeNs()) + kJoinPatience;
  ProposeOnce(
      add, [until] { return static_cast<TimeNs>(shmem::BootTimeNs()) < until; },
      [this, request, answer](const Result<failover::ApplyResult>& applied) {
        AnswerJoin(request, answer, applied);
      });
}

void Node::SendJoinerOn(const transport::JoinAnswer& answer) {
  const failover::Member* best = nullptr;
  for (const auto& [id, member] : cluster_->members()) {
    auto peer = peers_.find(id);
    bool connected = peer != peers_.end() && peer->second.connected;
    if (member.data() && connected && (best == nullptr || id == cluster_->appointment().node)) {
      best = &member;
    }
  }
  if (best == nullptr) {
    answer(Status::Error("55000", "a witness admits nobody, and this one reaches no data node now")
               .WithHint("Give the address of another member."));
    return;
  }
  transport::JoinResponse there;
  there.leader_raft_host = best->info.raft_host;
  there.leader_raft_port = best->info.raft_port;
  answer(std::move(there));
}

void Node::AnswerJoin(const transport::JoinRequest& request, const transport::JoinAnswer& answer,
                      const Result<failover::ApplyResult>& applied) {
  if (!applied.ok()) {
    answer(applied.status());
    return;
  }
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
  if (!request.witness) {
    response.ca_key = signed_node.value().ca_key;
  }
  response.node_certificate = signed_node.value().node_certificate;
  answer(std::move(response));
}

}  // namespace pgquorum::consensus
