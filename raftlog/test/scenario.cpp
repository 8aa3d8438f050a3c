#include "raftlog/test/scenario.h"

#include <algorithm>

#include "base/check.h"
#include "raftlog/describe.h"
#include "raftlog/membership.h"

#include "base/pure.h"

namespace pgquorum::raft::test {
namespace {

std::string Text(uint64_t value) {
  return std::to_string(value);
}

std::string Outcome(const Status& status) {
  return status.ok() ? "" : status.ToString() + "\n";
}

}  // namespace

std::string Scenario::Run(const std::string& line) {
  std::istringstream words(line);
  std::string command;
  words >> command;
  if (command == "cluster") {
    return MakeCluster(words);
  }
  PGQUORUM_CHECK(cluster_ != nullptr);
  std::string output;
  if (command == "tick") {
    output = Tick(words);
  } else if (command == "change") {
    output = Change(words);
  } else if (command == "deliver") {
    output = Deliver(words);
  } else if (command == "drop") {
    output = Drop(words);
  } else if (command == "state") {
    output = State();
  } else if (command == "wire") {
    for (const Message& m : cluster_->wire()) {
      output += Describe(m) + "\n";
    }
  } else if (command == "cut" || command == "mute" || command == "heal" || command == "isolate") {
    output = Links(command, words);
  } else {
    output = OnNode(command, words);
  }
  return output + News();
}

std::string Scenario::MakeCluster(std::istringstream& words) {
  uint64_t size = 0;
  words >> size;
  uint64_t joiners = 0;
  Configuration configuration;
  std::map<uint64_t, uint32_t> priorities;
  bool pre_vote = true;
  bool check_quorum = true;
  for (uint64_t id = 1; id <= size; ++id) {
    configuration.voters.push_back(NodeId(id));
  }
  for (std::string option; words >> option;) {
    std::size_t equal = option.find('=');
    PGQUORUM_CHECK(equal != std::string::npos);
    std::string name = option.substr(0, equal);
    std::string value = option.substr(equal + 1);
    if (name == "joiners") {
      joiners = std::stoull(value);
    } else if (name == "witness") {
      configuration.witnesses.push_back(NodeId(std::stoull(value)));
    } else if (name == "pre_vote") {
      pre_vote = value != "off";
    } else if (name == "check_quorum") {
      check_quorum = value != "off";
    } else if (name.starts_with("priority.")) {
      priorities[std::stoull(name.substr(9))] = static_cast<uint32_t>(std::stoul(value));
    } else {
      return "unknown option " + name + "\n";
    }
  }
  leaderships_seen_.clear();
  reads_seen_.clear();
  cluster_ = std::make_unique<Cluster>(configuration, size + joiners, [&](Options& options) {
    options.pre_vote = pre_vote;
    options.check_quorum = check_quorum;
    auto priority = priorities.find(options.id.value());
    if (priority != priorities.end()) {
      options.priority = priority->second;
      options.priority_transfer = true;
    }
  });
  return "";
}

std::string Scenario::Tick(std::istringstream& words) {
  std::string who;
  uint64_t count = 1;
  words >> who >> count;
  if (who == "all") {
    cluster_->TickAll(count);
  } else {
    cluster_->Tick(std::stoull(who), count);
  }
  return "";
}

std::string Scenario::Change(std::istringstream& words) {
  uint64_t id = 0;
  words >> id;
  std::vector<ConfigChange> changes;
  for (std::string word; words >> word;) {
    std::size_t colon = word.find(':');
    PGQUORUM_CHECK(colon != std::string::npos);
    std::string kind = word.substr(0, colon);
    ConfigChange change;
    change.node = NodeId(std::stoull(word.substr(colon + 1)));
    change.kind = kind == "add"       ? ChangeKind::kAddVoter
                  : kind == "learner" ? ChangeKind::kAddLearner
                  : kind == "witness" ? ChangeKind::kAddWitness
                                      : ChangeKind::kRemove;
    changes.push_back(change);
  }
  Status status = (*cluster_)[id].ProposeConfig(changes, "").status();
  cluster_->Pump(id);
  return Outcome(status);
}

std::string Scenario::Deliver(std::istringstream& words) {
  uint64_t limit = 10'000;
  words >> limit;
  std::string output;
  for (uint64_t i = 0; i < limit && !cluster_->wire().empty(); ++i) {
    output += Describe(cluster_->wire().front()) + "\n";
    cluster_->DeliverOne();
  }
  return output;
}

std::string Scenario::Drop(std::istringstream& words) {
  std::map<std::string, std::string> wanted;
  for (std::string word; words >> word;) {
    std::size_t equal = word.find('=');
    PGQUORUM_CHECK(equal != std::string::npos);
    wanted[word.substr(0, equal)] = word.substr(equal + 1);
  }
  std::string output;
  cluster_->Drop([&](const Message& m) {
    bool match = (!wanted.contains("from") || wanted["from"] == Text(m.from.value())) &&
                 (!wanted.contains("to") || wanted["to"] == Text(m.to.value())) &&
                 (!wanted.contains("kind") || wanted["kind"] == Name(m.kind));
    if (match) {
      output += "dropped " + Describe(m) + "\n";
    }
    return match;
  });
  return output;
}

std::string Scenario::Links(const std::string& command, std::istringstream& words) {
  uint64_t a = 0;
  uint64_t b = 0;
  words >> a >> b;
  if (command == "heal") {
    cluster_->Heal();
  } else if (command == "isolate") {
    cluster_->Isolate(a);
  } else {
    cluster_->CutLink(a, b);
    if (command == "cut") {
      cluster_->CutLink(b, a);
    }
  }
  return "";
}

std::string Scenario::OnNode(const std::string& command, std::istringstream& words) {
  uint64_t id = 0;
  words >> id;
  uint64_t other = 0;
  TestNode& node = cluster_->Node(id);
  Status status;
  std::string output;
  if (command == "elect") {
    cluster_->Elect(id);
  } else if (command == "campaign") {
    node.core->Campaign();
  } else if (command == "propose") {
    std::string text;
    words >> text;
    status = node.core->Propose(EntryType::kCommand, text).status();
  } else if (command == "transfer") {
    words >> other;
    status = node.core->TransferLeadership(NodeId(other));
  } else if (command == "read") {
    node.core->ReadIndex(1, ReadMode::kQuorum, node.now_ns);
  } else if (command == "dead") {
    words >> other;
    node.core->ReportPeerDead(NodeId(other));
  } else if (command == "stall") {
    node.core->NoteStall(1);
  } else if (command == "snapshot") {
    cluster_->Snapshot(id);
  } else if (command == "hold") {
    node.hold_disk = true;
  } else if (command == "sync") {
    cluster_->Sync(id);
  } else if (command == "crash") {
    cluster_->Crash(id);
  } else if (command == "restart" || command == "damage") {
    node.hold_disk = false;
    if (words >> other) {
      cluster_->Damage(id, other);
    } else {
      cluster_->Restart(id);
    }
    leaderships_seen_[NodeId(id)] = node.leaderships.size();
    reads_seen_[NodeId(id)] = 0;
  } else if (command == "log") {
    for (Index i = node.core->log().first(); i <= node.core->log().last(); ++i) {
      output += Text(i.value()) + "/" + Text(node.core->log().TermAt(i).value()) + " ";
    }
    output += node.core->log().first() > node.core->log().last() ? "(empty)\n" : "\n";
  } else if (command == "applied") {
    for (const Entry& entry : node.applied) {
      output += Describe(entry) + (entry.type == EntryType::kCommand ? "=" + entry.data : "") + " ";
    }
    output += "\n";
  } else {
    return "unknown command " + command + "\n";
  }
  if (output.ends_with(" \n")) {
    output.erase(output.size() - 2, 1);
  }
  if (node.core != nullptr) {
    cluster_->Pump(id);
  }
  return output + Outcome(status);
}

std::string Scenario::State() {
  std::string output;
  for (const auto& [id, node] : cluster_->nodes()) {
    if (node->core == nullptr) {
      output += Text(id.value()) + ": down\n";
      continue;
    }
    const Core& core = *node->core;
    output += Text(id.value()) + ": " + Name(core.role()) + " term=" + Text(core.term().value()) +
              " vote=" + Text(core.vote().value()) + " leader=" + Text(core.leader().value()) +
              " commit=" + Text(core.log().commit().value()) +
              " last=" + Text(core.log().last().value()) + "/" +
              Text(core.log().last_term().value()) + " " + ToString(core.configuration()) + "\n";
  }
  return output;
}

std::string Scenario::News() {
  std::string output;
  for (const auto& [id, node] : cluster_->nodes()) {
    std::size_t& seen = leaderships_seen_[id];
    for (; seen < node->leaderships.size(); ++seen) {
      const Leadership& now = node->leaderships[seen];
      output +=
          "  " + Text(id.value()) + " is " + Name(now.role) + " in term " + Text(now.term.value());
      output += now.leader ? ", leader " + Text(now.leader.value()) + "\n" : "\n";
    }
    std::size_t& reads = reads_seen_[id];
    for (; reads < node->reads.size(); ++reads) {
      const ReadResult& read = node->reads[reads];
      output += "  " + Text(id.value()) + " may read at " +
                (read.status.ok() ? Text(read.index.value()) : read.status.ToString()) + "\n";
    }
  }
  return output;
}

}  // namespace pgquorum::raft::test
