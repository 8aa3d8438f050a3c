#include "raftlog/force.h"

#include <algorithm>

#include "base/check.h"
#include "base/crc32c.h"
#include "raftlog/codec.h"
#include "raftlog/errors.h"
#include "raftlog/membership.h"

#include "base/pure.h"

namespace pgquorum::raft {
namespace {

// Terms that a lost majority may go through by itself before it is switched off: at an election a
// millisecond this is more than half an hour, at one a second three weeks. Two decisions at once,
// which nobody should take, still get different terms with good odds.
constexpr uint64_t kTermJump = uint64_t{1} << 21;

Status Refused(const std::string& why) {
  return Status::Error(kErrBadChange, "the membership cannot be forced: " + why);
}

Result<ConfigEntry> Latest(const RecoveredState& recovered) {
  if (recovered.config_entries.empty()) {
    return ConfigEntry{recovered.snapshot.configuration, ""};
  }
  return DecodeConfigEntry(recovered.config_entries.back().data);
}

}  // namespace

bool CarriedOut(const RecoveredState& recovered, const ForcedMembership& forced) {
  for (const Entry& entry : recovered.config_entries) {
    Result<ConfigEntry> decoded = DecodeConfigEntry(entry.data);
    if (decoded.ok() && decoded.value().context == forced.context) {
      return true;
    }
  }
  return false;
}

Result<Bootstrap> ForceMembership(const RecoveredState& recovered, NodeId self,
                                  const ForcedMembership& forced) {
  PGQUORUM_CHECK(!forced.context.empty());
  Status valid = Validate(forced.configuration);
  if (!valid.ok()) {
    return valid;
  }
  if (recovered.refill_term) {
    return Refused("the log is damaged, and what is missing may be what the others lack");
  }
  Result<ConfigEntry> latest = Latest(recovered);
  if (!latest.ok()) {
    return latest.status();
  }
  const Configuration& present = latest.value().configuration;
  Configuration next = forced.configuration;
  for (NodeId witness : present.witnesses) {
    if (next.IsVoter(witness) && !next.IsWitness(witness)) {
      next.witnesses.insert(std::lower_bound(next.witnesses.begin(), next.witnesses.end(), witness),
                            witness);
    }
  }
  if (forced.configuration.joint() || !forced.configuration.IsVoter(self) ||
      !present.IsVoter(self)) {
    return Refused("this node is not a voter before and after");
  }
  for (NodeId node : forced.configuration.Members()) {
    if (!present.IsMember(node)) {
      return Refused("node " + std::to_string(node.value()) + " is no member");
    }
  }
  if (next == present) {
    return Refused("nothing would change");
  }
  Term last =
      recovered.term_starts.empty() ? recovered.snapshot.term : recovered.term_starts.back().term;
  Term term(std::max(recovered.hard_state.term, last).value() + kTermJump +
            Crc32c(forced.context) % kTermJump);
  Bootstrap write;
  write.hard_state = {term, self, recovered.hard_state.commit};
  write.entry = {term, recovered.last + 1, EntryType::kConfig,
                 EncodeConfigEntry({next, forced.context})};
  return write;
}

}  // namespace pgquorum::raft
