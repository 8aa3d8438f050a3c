#include "extension/identity/move_order.h"

#include <utility>

#include "extension/identity/text_record.h"

#include "base/pure.h"

namespace pgquorum::identity {
namespace {

constexpr char kMoveKind[] = "move_state";
constexpr uint32_t kMoveVersion = 1;
constexpr char kCopying[] = "copying";
constexpr char kCopied[] = "copied";

}  // namespace

std::string MoveOrder::Format() const {
  TextRecord record(kMoveKind, kMoveVersion);
  record.SetHex("cluster_id", cluster_id);
  record.SetNumber("raft_node_id", raft_node_id);
  record.Set("from", from);
  record.Set("to", to);
  record.Set("phase", phase == Phase::kCopying ? kCopying : kCopied);
  record.SetNumber("raft_directory", raft_directory);
  return record.Format();
}

Result<MoveOrder> MoveOrder::Parse(std::string_view text) {
  Result<TextRecord> record = TextRecord::Parse(text, kMoveKind, kMoveVersion);
  if (!record.ok()) {
    return record.status();
  }
  Result<uint64_t> cluster = record.value().GetHex("cluster_id");
  Result<uint64_t> node = record.value().GetNumber("raft_node_id");
  Result<std::string> from = record.value().Get("from");
  Result<std::string> to = record.value().Get("to");
  Result<std::string> phase = record.value().Get("phase");
  Result<uint64_t> directory = record.value().GetNumber("raft_directory");
  for (const Status& status : {cluster.status(), node.status(), from.status(), to.status(),
                               phase.status(), directory.status()}) {
    if (!status.ok()) {
      return status;
    }
  }
  if (from.value() == to.value() || (phase.value() != kCopying && phase.value() != kCopied)) {
    return Status::Error("XX001", "the order to move a state directory contradicts itself");
  }
  return MoveOrder{cluster.value(),
                   node.value(),
                   std::move(from).value(),
                   std::move(to).value(),
                   phase.value() == kCopying ? Phase::kCopying : Phase::kCopied,
                   directory.value()};
}

std::string WhyMoving(const MoveOrder& order) {
  return "its state directory is being moved from \"" + order.from + "\" to \"" + order.to +
         "\". Finish that with pgquorum node move-state";
}

}  // namespace pgquorum::identity
