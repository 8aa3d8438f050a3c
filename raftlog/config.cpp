// Configurations in the log: in force from the moment they are appended (thesis 4.1), rolled back
// with their entry.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "raftlog/bug.h"
#include "raftlog/codec.h"
#include "raftlog/core.h"
#include "raftlog/errors.h"

#include "base/pure.h"

namespace pgquorum::raft {

Configuration Core::ConfigurationAt(Index index) const {
  for (auto at = configurations_.rbegin(); at != configurations_.rend(); ++at) {
    if (at->index <= index) {
      return at->configuration;
    }
  }
  return Configuration();
}

void Core::ConfigurationAppended(Index index, Configuration configuration) {
  PGQUORUM_CHECK(index > configurations_.back().index);
  configurations_.push_back({index, std::move(configuration)});
  ConfigurationChanged();
}

void Core::ConfigurationsTruncated(Index from) {
  if (PGQUORUM_RAFT_BUG(kConfigKeptOnTruncate)) {
    // The rolled-back configuration stays in force, as if it were the one before it.
    while (configurations_.size() > 1 && configurations_.back().index >= from) {
      Configuration kept = configurations_.back().configuration;
      configurations_.pop_back();
      configurations_.back().configuration = kept;
    }
    return;
  }
  while (configurations_.size() > 1 && configurations_.back().index >= from) {
    configurations_.pop_back();
    ++metrics_.configurations_rolled_back;
  }
}

// Leader: one Progress for each member.
void Core::ConfigurationChanged() {
  if (role_ != Role::kLeader) {
    return;
  }
  std::vector<NodeId> members = configuration().Members();
  std::erase_if(progress_, [&](const auto& item) {
    return item.first != options_.id && !Configuration::Contains(members, item.first);
  });
  members.push_back(options_.id);  // it keeps its own even when it is being removed
  for (NodeId id : members) {
    auto [at, added] = progress_.try_emplace(id, log_.last() + 1, options_.max_inflight_appends,
                                             options_.max_inflight_bytes);
    if (added) {
      at->second.recent_active = true;  // until check-quorum has had time to learn better
      if (id == options_.id) {
        at->second.match = log_.stable();
        at->second.priority = options_.priority;
      }
    }
  }
  if (transfer_target_ && !configuration().IsVoter(transfer_target_)) {
    EndTransfer();
  }
}

// A voter that its own latest configuration leaves out must still campaign while that entry is
// uncommitted: its vote and log may be what commits it (thesis 4.2.2; cowsql #150).
bool Core::InCommittedOrLatestVoters() const {
  if (configuration().IsVoter(options_.id)) {
    return true;
  }
  if (PGQUORUM_RAFT_BUG(kRemovedLeaderSilent)) {
    return false;
  }
  for (auto at = configurations_.rbegin(); at != configurations_.rend(); ++at) {
    if (at->configuration.IsVoter(options_.id)) {
      return true;
    }
    if (at->index <= log_.commit()) {
      return false;
    }
  }
  return false;
}

Result<LogPosition> Core::AppendConfiguration(Configuration configuration, std::string context) {
  AppendOwn(EntryType::kConfig, EncodeConfigEntry({std::move(configuration), std::move(context)}));
  return LogPosition{term_, log_.last()};
}

Result<LogPosition> Core::ProposeConfig(const std::vector<ConfigChange>& changes,
                                        std::string context) {
  Status status = AdmitProposal(context.size());
  if (!status.ok()) {
    return status;
  }
  if (configurations_.back().index > log_.commit() && !PGQUORUM_RAFT_BUG(kConfigBeforeOwnCommit)) {
    return Status::Error(kErrChangePending, "an earlier configuration change is not committed yet");
  }
  // Two leaders of different terms could otherwise each make a single-step change whose majorities
  // do not overlap (raft-dev, Ongaro 2015; braft #182).
  if (!CommittedInOwnTerm() && !PGQUORUM_RAFT_BUG(kConfigBeforeOwnCommit)) {
    return Status::Error(kErrNotReady, "the leader has not committed an entry of its term yet");
  }
  Result<Configuration> next = ApplyChanges(configuration(), changes);
  if (!next.ok()) {
    return next.status();
  }
  return AppendConfiguration(std::move(next).value(), std::move(context));
}

Result<LogPosition> Core::ProposeLeaveJoint(std::string context) {
  Status status = AdmitProposal(context.size());
  if (!status.ok()) {
    return status;
  }
  if (configurations_.back().index > log_.commit()) {
    return Status::Error(kErrChangePending, "an earlier configuration change is not committed yet");
  }
  Result<Configuration> next = LeaveJoint(configuration());
  if (!next.ok()) {
    return next.status();
  }
  return AppendConfiguration(std::move(next).value(), std::move(context));
}

}  // namespace pgquorum::raft
