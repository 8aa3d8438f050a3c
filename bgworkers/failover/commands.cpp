#include "bgworkers/failover/commands.h"

#include "bgworkers/failover/codec.h"

#include "base/pure.h"

namespace pgquorum::failover {
namespace {

// An encoded command: format version, index in Command, fields. The indexes are part of the format:
// new commands go to the end of the variant.
constexpr uint8_t kVersion = 1;

template <std::size_t I = 0>
bool ReadAlternative(ByteReader& in, std::size_t index, Command& command) {
  if constexpr (I < std::variant_size_v<Command>) {
    if (index == I) {
      codec::Read(in, command.emplace<I>());
      return true;
    }
    return ReadAlternative<I + 1>(in, index, command);
  } else {
    return false;
  }
}

std::string List(const std::vector<NodeId>& nodes) {
  std::string text = "{";
  for (NodeId node : nodes) {
    text += (text.size() > 1 ? "," : "") + std::to_string(node.value());
  }
  return text + "}";
}

struct CommandPrinter {
  std::string operator()(const CreateCluster& c) const {
    return "create " + c.name + " first " + c.first.name + " t" + IdText(c.timeline);
  }
  std::string operator()(const IssueToken&) const { return "issue token"; }
  std::string operator()(const AddMember& c) const { return "add member " + c.info.name; }
  std::string operator()(const UpdateMember& c) const { return "update member " + IdText(c.node); }
  std::string operator()(const SetMemberState& c) const {
    return "member " + IdText(c.node) + " state " + std::to_string(static_cast<int>(c.state));
  }
  std::string operator()(const ForgetMember& c) const { return "forget member " + IdText(c.node); }
  std::string operator()(const Revoke& c) const {
    return "revoke " + ToString(c.current) + " because " + ToString(c.reason) +
           (c.accept_loss ? " accepting loss" : "");
  }
  std::string operator()(const FetchTail& c) const {
    if (!c.node) {
      return "call off the fetch for " + ToString(c.epoch);
    }
    return "fetch tail for " + ToString(c.epoch) + ": " + IdText(c.node) + " from " +
           IdText(c.source) + " until " + ToString(c.until);
  }
  std::string operator()(const Appoint& c) const {
    return "appoint " + ToString(c.epoch) + ": " + IdText(c.node) + " at " + ToString(c.position) +
           " V=" + List(c.voters) + " n=" + std::to_string(c.n);
  }
  std::string operator()(const Resume& c) const {
    return "resume " + ToString(c.epoch) + ": " + IdText(c.node) + " boot " + IdText(c.boot);
  }
  std::string operator()(const Settle& c) const {
    return "settle " + ToString(c.epoch) + " t" + IdText(c.timeline);
  }
  std::string operator()(const ChangeRule& c) const {
    return "rule " + ToString(c.epoch) + "." + std::to_string(c.version) + ": V=" + List(c.voters) +
           " n=" + std::to_string(c.n) + " S=" + List(c.sync) + " g=" + std::to_string(c.g) +
           (c.confirmed ? " confirmed" : "");
  }
  std::string operator()(const RequestFailover& c) const {
    return std::string(c.kind == RequestKind::kSwitchover ? "switchover" : "force failover") +
           " to " + IdText(c.target);
  }
  std::string operator()(const BeginDrain& c) const { return "drain for " + IdText(c.target); }
  std::string operator()(const FinishRequest& c) const { return "finish request: " + c.detail; }
  std::string operator()(const SetSetting& c) const { return "set " + c.key + " = " + c.value; }
  std::string operator()(const AllowRepair& c) const {
    return "allow repair in place of " + IdText(c.node);
  }
  std::string operator()(const ForceQuorum& c) const {
    return "force quorum, survivors " + List(c.survivors);
  }
};

}  // namespace

const char* ToString(Reason reason) {
  switch (reason) {
    case Reason::kNone:
      return "none";
    case Reason::kHeartbeatsMissed:
      return "heartbeats missed";
    case Reason::kPostmasterGone:
      return "postmaster gone";
    case Reason::kListenerDead:
      return "listener does not answer";
    case Reason::kWalNotWritable:
      return "WAL not writable";
    case Reason::kStepDown:
      return "step down wished";
    case Reason::kSwitchover:
      return "switchover";
    case Reason::kForced:
      return "forced";
    case Reason::kAppointmentStuck:
      return "appointment stuck";
    case Reason::kForceQuorum:
      return "force quorum";
  }
  return "unknown";
}

std::string Encode(const Command& command) {
  ByteWriter out;
  out.U8(kVersion);
  out.U8(static_cast<uint8_t>(command.index()));
  std::visit([&out](const auto& c) { codec::Write(out, c); }, command);
  return std::move(out).Take();
}

Result<Command> DecodeCommand(std::string_view bytes) {
  ByteReader in(bytes);
  uint8_t version = in.U8();
  uint8_t index = in.U8();
  if (in.ok() && version != kVersion) {
    return Status::Error("0A000", "command has an unknown version")
        .WithDetail("version " + std::to_string(version));
  }
  Command command;
  if (in.ok() && !ReadAlternative(in, index, command)) {
    return Status::Error("0A000", "command is unknown to this version")
        .WithDetail("command " + std::to_string(index));
  }
  if (!in.Finished()) {
    return Status::Error("22P03", "command is malformed");
  }
  return command;
}

std::string ToString(const Command& command) {
  return std::visit(CommandPrinter{}, command);
}

Epoch RevokedEpochOf(std::string_view entry) {
  Result<Command> command = DecodeCommand(entry);
  if (!command.ok()) {
    return Epoch();
  }
  if (const auto* revoke = std::get_if<Revoke>(&command.value())) {
    return Epoch{revoke->current.number + 1, revoke->current.generation};
  }
  if (const auto* force = std::get_if<ForceQuorum>(&command.value())) {
    return Epoch{force->current.number + 1, force->generation};
  }
  return Epoch();
}

}  // namespace pgquorum::failover
