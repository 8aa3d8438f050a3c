// This node's requests to its peers.
#include <chrono>
#include <utility>

#include "bgworkers/transport/impl.h"

namespace pgquorum::transport {

namespace {

struct OutCall {
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<wire::Nodes::Stub> stub;
  std::shared_ptr<grpc::ClientContext> context = std::make_shared<grpc::ClientContext>();
  std::unique_ptr<grpc::ClientAsyncResponseReader<wire::Reply>> rpc;
  wire::Reply reply;
  grpc::Status status;
};

Result<std::string> Outcome(OutCall& call) {
  if (!call.status.ok()) {
    // It was on its way: whether it arrived nobody knows.
    return Status::Error("08007", "the other node did not answer")
        .WithDetail(call.status.error_message());
  }
  Status error = FromWire(call.reply.error());
  if (!error.ok()) {
    return error;
  }
  return std::move(*call.reply.mutable_answer());
}

}  // namespace

// A channel of gRPC's, made for the first request and kept as long as the peer's stream lives.
std::shared_ptr<grpc::Channel> Transport::Impl::RequestChannel(Link& link) {
  if (!link.channel) {
    std::string tls_name =
        options_.insecure ? "" : NodeDnsName(link.peer.name, options_.cluster_id);
    link.channel =
        grpc::CreateCustomChannel(link.target, channel_credentials_,
                                  MakeChannelArguments(tls_name, options_.connect_timeout_ms));
  }
  return link.channel;
}

void Transport::Impl::Forward(uint64_t to, std::string request, int timeout_ms,
                              std::function<void(Result<std::string>)> done) {
  loop_.Post(
      [this, to, request = std::move(request), timeout_ms, done = std::move(done)]() mutable {
        auto call = std::make_shared<OutCall>();
        {
          std::lock_guard lock(mutex_);
          auto link = links_.find(to);
          bool connected =
              link != links_.end() && link->second.phase == Link::Phase::kConnected && !stopping_;
          if (connected && request.size() <= kMaxPayloadBytes) {
            call->channel = RequestChannel(link->second);
            call->stub = wire::Nodes::NewStub(call->channel);
            call->context->set_deadline(std::chrono::system_clock::now() +
                                        std::chrono::milliseconds(timeout_ms));
            wire::ForwardCall message;
            message.set_version(kProtocolVersion);
            message.set_request(std::move(request));
            out_calls_.insert(call->context);
            call->rpc = call->stub->AsyncForward(call->context.get(), message, queue_.get());
            call->rpc->Finish(&call->reply, &call->status, new Completion{[this, call, done](bool) {
              {
                std::lock_guard inner(mutex_);
                out_calls_.erase(call->context);
                if (stopping_) {
                  return;
                }
              }
              done(Outcome(*call));
            }});
            return;
          }
        }
        done(Status::Error("08006", "there is no connection to the other node"));
      });
}

}  // namespace pgquorum::transport
