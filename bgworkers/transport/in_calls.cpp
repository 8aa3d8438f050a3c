// Requests to this node: the owner answers each when it likes, from any thread.
#include <utility>

#include "bgworkers/transport/impl.h"

namespace pgquorum::transport {

namespace {

// Beyond it callers are told to come again: nobody can make this node hold more.
constexpr std::size_t kMaxCalls = 64;

wire::Reply ReplyOf(const Result<std::string>& answer) {
  wire::Reply reply;
  if (answer.ok()) {
    reply.set_answer(answer.value());
  } else {
    *reply.mutable_error() = ToWire(answer.status());
  }
  return reply;
}

Status NotServed() {
  return Status::Error("57P03", "this node does not answer such requests now");
}

}  // namespace

// With mutex_ held. Whether the call may go to the owner; answers it otherwise.
template <typename Request, typename Reply>
bool Transport::Impl::Admit(const std::shared_ptr<InCall<Request, Reply>>& call,
                            bool members_only) {
  grpc::Status refusal = grpc::Status::OK;
  if (members_only && !options_.insecure && PeerCommonName(call->context).empty()) {
    ++counters_.refused_certificate;
    refusal = {grpc::StatusCode::UNAUTHENTICATED, "a member's certificate is needed"};
  } else if (in_calls_.size() >= kMaxCalls) {
    refusal = {grpc::StatusCode::RESOURCE_EXHAUSTED, "too many requests at once"};
  } else {
    in_calls_.insert(call);
    return true;
  }
  call->writer.FinishWithError(refusal, Tag([call](bool) {}));
  return false;
}

// From any thread. The loop answers: the owner's thread must not call gRPC.
template <typename Request, typename Reply>
void Transport::Impl::Answer(const std::weak_ptr<InCall<Request, Reply>>& weak,
                             const Reply& reply) {
  loop_.Post([this, weak, reply] {
    std::lock_guard lock(mutex_);
    std::shared_ptr<InCall<Request, Reply>> call = weak.lock();
    // Erased already: a second answer.
    if (stopping_ || !call || in_calls_.erase(call) == 0) {
      return;
    }
    call->writer.Finish(reply, grpc::Status::OK, Tag([call](bool) {}));
  });
}

void Transport::Impl::AcceptJoin() {
  auto call = std::make_shared<InCall<wire::JoinCall, wire::JoinReply>>();
  auto ready = [this, call](bool ok) {
    bool admitted = false;
    {
      std::lock_guard lock(mutex_);
      if (!ok || stopping_) {
        return;
      }
      AcceptJoin();
      admitted = Admit(call, false);
    }
    if (admitted) {
      HandleJoin(call);
    }
  };
  service_->RequestJoin(&call->context, &call->request, &call->writer, queue_.get(), queue_.get(),
                        new Completion{std::move(ready)});
}

void Transport::Impl::HandleJoin(
    const std::shared_ptr<InCall<wire::JoinCall, wire::JoinReply>>& call) {
  std::weak_ptr<Impl> weak_self = weak_from_this();
  std::weak_ptr<InCall<wire::JoinCall, wire::JoinReply>> weak_call = call;
  JoinAnswer answer = [weak_self, weak_call](const Result<JoinResponse>& response) {
    std::shared_ptr<Impl> self = weak_self.lock();
    if (!self) {
      return;
    }
    wire::JoinReply reply;
    if (response.ok()) {
      ToWire(response.value(), reply);
    } else {
      *reply.mutable_error() = ToWire(response.status());
    }
    self->Answer(weak_call, reply);
  };
  Result<JoinRequest> request = FromWire(call->request);
  if (!request.ok()) {
    answer(request.status());
  } else if (!callbacks_.on_join) {
    answer(NotServed());
  } else {
    callbacks_.on_join(std::move(request).value(), std::move(answer));
  }
}

namespace {

// Owner's answer to a Reply, for both methods that have one.
template <typename Self, typename Call, typename Deliver>
TransportCallbacks::Answer LaterAnswer(const std::weak_ptr<Self>& weak_self,
                                       const std::weak_ptr<Call>& weak_call, Deliver deliver) {
  return [weak_self, weak_call, deliver](const Result<std::string>& answer) {
    std::shared_ptr<Self> self = weak_self.lock();
    if (!self) {
      return;
    }
    bool fits = !answer.ok() || answer.value().size() <= kMaxPayloadBytes;
    deliver(self.get(), weak_call,
            ReplyOf(fits ? answer : Status::Error("53400", "the answer is too long")));
  };
}

}  // namespace

TransportCallbacks::Answer Transport::Impl::AnswerLater(
    const std::shared_ptr<InCall<wire::StatusCall, wire::Reply>>& call) {
  using Call = InCall<wire::StatusCall, wire::Reply>;
  return LaterAnswer(weak_from_this(), std::weak_ptr<Call>(call),
                     [](Impl* self, const std::weak_ptr<Call>& to, const wire::Reply& reply) {
                       self->Answer(to, reply);
                     });
}

TransportCallbacks::Answer Transport::Impl::AnswerLater(
    const std::shared_ptr<InCall<wire::ForwardCall, wire::Reply>>& call) {
  using Call = InCall<wire::ForwardCall, wire::Reply>;
  return LaterAnswer(weak_from_this(), std::weak_ptr<Call>(call),
                     [](Impl* self, const std::weak_ptr<Call>& to, const wire::Reply& reply) {
                       self->Answer(to, reply);
                     });
}

void Transport::Impl::AcceptStatus() {
  auto call = std::make_shared<InCall<wire::StatusCall, wire::Reply>>();
  auto ready = [this, call](bool ok) {
    {
      std::lock_guard lock(mutex_);
      if (!ok || stopping_) {
        return;
      }
      AcceptStatus();
      if (!Admit(call, true)) {
        return;
      }
    }
    TransportCallbacks::Answer answer = AnswerLater(call);
    if (callbacks_.on_status) {
      callbacks_.on_status(PeerCommonName(call->context), std::move(answer));
    } else {
      answer(NotServed());
    }
  };
  service_->RequestStatus(&call->context, &call->request, &call->writer, queue_.get(), queue_.get(),
                          new Completion{std::move(ready)});
}

void Transport::Impl::AcceptForward() {
  auto call = std::make_shared<InCall<wire::ForwardCall, wire::Reply>>();
  auto ready = [this, call](bool ok) {
    {
      std::lock_guard lock(mutex_);
      if (!ok || stopping_) {
        return;
      }
      AcceptForward();
      if (!Admit(call, true)) {
        return;
      }
    }
    TransportCallbacks::Answer answer = AnswerLater(call);
    if (callbacks_.on_forward) {
      callbacks_.on_forward(PeerCommonName(call->context),
                            std::move(*call->request.mutable_request()), std::move(answer));
    } else {
      answer(NotServed());
    }
  };
  service_->RequestForward(&call->context, &call->request, &call->writer, queue_.get(),
                           queue_.get(), new Completion{std::move(ready)});
}

}  // namespace pgquorum::transport
