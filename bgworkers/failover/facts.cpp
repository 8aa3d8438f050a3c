#include "bgworkers/failover/facts.h"

#include "base/pure.h"

namespace pgquorum::failover {
namespace {

struct ActionPrinter {
  std::string operator()(const CloseGate& a) const {
    return a.retryable ? "close gate, retryable" : "close gate";
  }
  std::string operator()(const OpenGate& a) const { return "open gate " + ToString(a.epoch); }
  std::string operator()(const Admit& a) const {
    return a.who == Admission::kClients ? "admit clients" : "admit administrators";
  }
  std::string operator()(const ClearUpstream&) const { return "clear upstream"; }
  std::string operator()(const StopReceiver&) const { return "stop receiver"; }
  std::string operator()(const SettleReplay&) const { return "settle replay"; }
  std::string operator()(const WritePledge& a) const { return "pledge " + ToString(a.epoch); }
  std::string operator()(const SetUpstream& a) const {
    return "follow " + IdText(a.node) + " as " + a.name;
  }
  std::string operator()(const SetSyncList& a) const {
    std::string text = "list " + ToString(a.epoch) + "." + std::to_string(a.version) + " ANY " +
                       std::to_string(a.g) + " (";
    for (const std::string& name : a.names) {
      text += (text.back() == '(' ? "" : ",") + name;
    }
    return text + ")";
  }
  std::string operator()(const Promote& a) const { return "promote t" + IdText(a.timeline); }
  std::string operator()(const WriteMarker& a) const {
    return "write marker t" + IdText(a.timeline);
  }
  std::string operator()(const NudgeStandbys&) const { return "nudge standbys"; }
  std::string operator()(const Checkpoint&) const { return "checkpoint"; }
  std::string operator()(const DemoteRestart&) const { return "restart as standby"; }
  std::string operator()(const FastStop&) const { return "fast stop"; }
  std::string operator()(const EndWalsenders&) const { return "end other walsenders"; }
  std::string operator()(const Rewind& a) const { return "rewind from " + IdText(a.source); }
  std::string operator()(const Reclone& a) const { return "re-clone from " + IdText(a.source); }
  std::string operator()(const MarkForeignTimeline& a) const {
    return "mark t" + IdText(a.timeline) + " as begun by hand";
  }
  std::string operator()(const AcceptDataDirectory&) const { return "accept data directory"; }
};

}  // namespace

std::string ToString(const Action& action) {
  return std::visit(ActionPrinter{}, action);
}

std::string StandbyName(const std::string& node, Timeline timeline) {
  return node + ".t" + std::to_string(timeline.value());
}

}  // namespace pgquorum::failover
