// One-line texts of Raft's values for logs, traces and scenario files.
#pragma once

#include <string>

#include "raftlog/output.h"
#include "raftlog/types.h"

namespace pgquorum::raft {

// "append 1->2 term=2 prev=5/1 commit=4 entries=[6/2 7/2]"
std::string Describe(const Message& message);
// "7/2" is index/term; a type other than command follows: "7/2:config".
std::string Describe(const Entry& entry);
std::string Describe(const SnapshotMeta& meta);
const char* Name(MessageKind kind);
const char* Name(Role role);
const char* Name(EntryType type);

}  // namespace pgquorum::raft

#include "base/pure.h"
