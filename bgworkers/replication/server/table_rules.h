// What is declared about a replicated table. It stands in the arguments of its guard trigger, so
// that the decoder reads in the log's past what was in force then, and nobody asks a catalogue.
#pragma once

#include "bgworkers/replication/core/conflict/policy.h"

#include "extension/pg/pg.h"

extern "C" {
#include "catalog/pg_attribute.h"
#include "nodes/bitmapset.h"
#include "utils/rel.h"
}

namespace pgquorum::replication::server {

struct TableRules {
  uint16_t own_site;  // zero where nothing needs it: last_writer_wins of plain columns
  uint16_t primary_site;
  Oid root;  // the table that was added to the group: this one, or the one it is a partition of
  Strategy strategy;
  bool column_level;
  Bitmapset* merging;  // numbers of the columns of replicated types
  // Whether rows have more state than two stamps (core/conflict/kept.h).
  bool keeps_state;

  bool Merges(AttrNumber column) const { return bms_is_member(column, merging); }
};

// Valid until the next call; null when the table has no guard. A disabled one still says what
// applies to changes that come. Raises.
const TableRules* RulesOf(Relation relation);

// As the cores want them. `columns`: as many places as the table ever had columns.
TablePolicy PolicyOf(const TableRules& rules, int columns);

// Whether values of the column are sent: not those that each site computes from the others.
bool Travels(Form_pg_attribute column);

// Whether the type is one of schema crdt.
bool IsMergingType(Oid type);

}  // namespace pgquorum::replication::server
