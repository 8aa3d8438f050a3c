// Between the wire's messages and the public structs, and the checks of everything that a peer
// says. Inside of this folder only: includes Protobuf.
#pragma once

#include <optional>
#include <string>

#include "base/status.h"
#include "bgworkers/transport/transport.h"
#include "transport.pb.h"

namespace pgquorum::transport {

inline constexpr uint32_t kProtocolVersion = 1;
inline constexpr uint32_t kProtocolVersionMin = 1;
inline constexpr std::size_t kMaxPacketBytes = kMaxPayloadBytes + (std::size_t{2} << 20);
inline constexpr std::size_t kMaxHostLength = 255;

enum class Refusal { kNone, kCluster, kIdentity, kVersion, kMalformed };

// `from` and `to` as this side expects them; 0 for a sender that is not known yet.
struct Expected {
  uint64_t cluster_id = 0;
  uint64_t from = 0;
  uint64_t to = 0;
};
Refusal CheckPacket(const wire::Packet& packet, const Expected& expected);
// Of the first packet, after CheckPacket().
Refusal CheckHello(const wire::Packet& packet);
std::string ToString(Refusal refusal);

// Nothing for a channel that this version does not know.
std::optional<Channel> ChannelOf(const wire::Frame& frame);

wire::Error ToWire(const Status& status);
Status FromWire(const wire::Error& error);
void ToWire(const JoinRequest& request, wire::JoinCall& out);
Result<JoinRequest> FromWire(const wire::JoinCall& call);
void ToWire(const JoinResponse& response, wire::JoinReply& out);
Result<JoinResponse> FromWire(const wire::JoinReply& reply);

}  // namespace pgquorum::transport
