// SQL area "raft metrics": what the Raft library of this node counts and measures.
#include "extension/api/cluster.h"
#include "extension/api/rows.h"
#include "extension/raft_metrics.h"

namespace pgquorum::api {
namespace {

// What a worker published that does not answer any more says nothing about now.
void PutNumber(ReturnSetInfo* rows, const shared::RaftNumber& number,
               const shared::RaftMetricsView& view, bool fresh) {
  Row row;
  row.Text(number.name);
  row.Text(number.counter ? "counter" : "gauge");
  if (fresh) {
    row.Long(view.numbers.*number.field);
  } else {
    row.Null();
  }
  row.Text(number.meaning);
  row.PutInto(rows);
}

void PutHistogram(ReturnSetInfo* rows, const shared::RaftHistogramName& name,
                  const shared::RaftHistogram& h, bool fresh) {
  Row row;
  row.Text(name.name);
  row.Text(name.unit);
  if (fresh) {
    row.Long(h.count);
    row.Long(h.sum);
  } else {
    row.Null();
    row.Null();
  }
  for (uint64_t value : {h.p50, h.p90, h.p99, h.p999, h.max}) {
    if (fresh && h.count > 0) {
      row.Long(value);
    } else {
      row.Null();
    }
  }
  row.Text(name.meaning);
  row.PutInto(rows);
}

void PutBucket(ReturnSetInfo* rows, const shared::RaftHistogramName& name, uint64_t less_than,
               uint64_t count) {
  Row row;
  row.Text(name.name);
  row.Text(name.unit);
  row.LongOrNull(less_than);
  row.Long(count);
  row.PutInto(rows);
}

// Up to the first bound that is above all values, then the total.
void PutBuckets(ReturnSetInfo* rows, const shared::RaftHistogramName& name,
                const shared::RaftHistogram& h) {
  for (std::size_t i = 0; i < shared::kRaftBounds; ++i) {
    PutBucket(rows, name, uint64_t{1} << i, h.below[i]);
    if (h.below[i] == h.count) {
      break;
    }
  }
  PutBucket(rows, name, 0, h.count);
}

void PutPeer(ReturnSetInfo* rows, const shared::NodeView* node, const shared::RaftPeer& peer) {
  constexpr const char* kStates[] = {"probe", "replicate", "snapshot"};
  std::string_view name;
  for (uint32_t i = 0; node != nullptr && i < Min(node->member_count, shared::kMaxMembers); ++i) {
    if (node->members[i].raft_node_id == peer.raft_node_id) {
      name = node->members[i].name.view();
    }
  }
  Row row;
  row.Text(name);
  row.Long(peer.raft_node_id);
  row.Text(kStates[static_cast<uint32_t>(peer.state)]);
  row.Bool(peer.active != 0);
  row.Long(peer.match_index);
  row.Long(peer.next_index);
  row.Long(peer.inflight_messages);
  row.Long(peer.inflight_bytes);
  row.PutInto(rows);
}

}  // namespace
}  // namespace pgquorum::api

using namespace pgquorum;  // lint: allow(using) C entry points

PGQUORUM_FUNCTION(pgquorum_raft_metrics) {
  shared::Root& root = api::Memory();
  ReturnSetInfo* rows = api::BeginRows(fcinfo);
  if (const shared::RaftMetricsView* view = api::ReadRaft(root); view != nullptr) {
    bool fresh = api::WorkerAlive(root);
    for (const shared::RaftNumber& number : shared::kRaftNumbers) {
      api::PutNumber(rows, number, *view, fresh);
    }
  }
  return 0;
}

PGQUORUM_FUNCTION(pgquorum_raft_histograms) {
  shared::Root& root = api::Memory();
  ReturnSetInfo* rows = api::BeginRows(fcinfo);
  if (const shared::RaftMetricsView* view = api::ReadRaft(root); view != nullptr) {
    bool fresh = api::WorkerAlive(root);
    for (const shared::RaftHistogramName& name : shared::kRaftHistograms) {
      api::PutHistogram(rows, name, view->histograms.*name.field, fresh);
    }
  }
  return 0;
}

PGQUORUM_FUNCTION(pgquorum_raft_histogram_buckets) {
  shared::Root& root = api::Memory();
  ReturnSetInfo* rows = api::BeginRows(fcinfo);
  const shared::RaftMetricsView* view = api::ReadRaft(root);
  if (view != nullptr && api::WorkerAlive(root)) {
    for (const shared::RaftHistogramName& name : shared::kRaftHistograms) {
      api::PutBuckets(rows, name, view->histograms.*name.field);
    }
  }
  return 0;
}

PGQUORUM_FUNCTION(pgquorum_raft_peers) {
  shared::Root& root = api::Memory();
  ReturnSetInfo* rows = api::BeginRows(fcinfo);
  const shared::RaftMetricsView* view = api::ReadRaft(root);
  if (view != nullptr && api::WorkerAlive(root)) {
    const shared::NodeView* node = api::ReadNode(root);
    for (uint32_t i = 0; i < Min(view->peer_count, uint32_t{shared::kMaxRaftPeers}); ++i) {
      api::PutPeer(rows, node, view->peers[i]);
    }
  }
  return 0;
}
