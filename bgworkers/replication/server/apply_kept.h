// One row of another site for a table whose rows have more state than two stamps.
#pragma once

#include "bgworkers/replication/core/change/record.h"

#include "bgworkers/replication/server/apply_row.h"
#include "bgworkers/replication/server/row_facts.h"
#include "bgworkers/replication/server/table_rules.h"
#include "extension/pg/pg.h"

namespace pgquorum::replication::server {

RowOutcome ApplyKeptRow(const ApplyContext& context, const TableRules& rules, const Key& key,
                        Relation relation, const RelationRecord& remote, const RowRecord& row);

}  // namespace pgquorum::replication::server
