// What the views of the cluster are made from, with the age of it.
#pragma once

#include "extension/pg/pg.h"
#include "extension/shared_state.h"

namespace pgquorum::api {

// Longest silence of the consensus worker's main loop after which what it published counts as old.
inline constexpr uint64_t kStaleAfterNs = 5'000'000'000;

// This node's shared memory; raises when there is none (the library was not preloaded).
shared::Root& Memory();

// The worker runs and has been heard of lately.
bool WorkerAlive(const shared::Root& root);

// Copies what the worker published last; false when it never did. Static memory: valid until the
// next call.
const shared::NodeView* ReadNode(const shared::Root& root);
const shared::RaftMetricsView* ReadRaft(const shared::Root& root);

}  // namespace pgquorum::api
