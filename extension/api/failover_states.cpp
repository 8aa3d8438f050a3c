// SQL area "failover states": the agent's state table as this library carries it out.
#include "bgworkers/failover/agent.h"
#include "extension/pg/pg.h"

#include "extension/api/rows.h"
#include "extension/pg/boundary.h"

namespace {

using pgquorum::failover::Transition;

// The table is a static of the library: nothing to destroy when a row raises.
void PutRow(ReturnSetInfo* rows, int32_t position, const Transition& transition) {
  pgquorum::api::Row row;
  row.Int(position);
  row.Text(pgquorum::failover::ToString(transition.from));
  row.Text(transition.condition);
  row.Text(pgquorum::failover::ToString(transition.to));
  row.Text(transition.why);
  row.PutInto(rows);
}

}  // namespace

PGQUORUM_FUNCTION(pgquorum_failover_states) {
  pgquorum::pg::Boundary([&] {
    ReturnSetInfo* rows = pgquorum::api::BeginRows(fcinfo);
    int32_t position = 0;
    for (const Transition& transition : pgquorum::failover::Agent::Transitions()) {
      PutRow(rows, ++position, transition);
    }
  });
  return 0;
}
