#include "bgworkers/replication/server/table_rules.h"

#include "bgworkers/replication/core/crdt/registry.h"

extern "C" {
#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "commands/trigger.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/reltrigger.h"
#include "utils/syscache.h"
}

#include "bgworkers/replication/server/row_facts.h"
#include "extension/pg/boundary.h"

namespace pgquorum::replication::server {

namespace {

// The tables that this process has to do with at a time are few.
constexpr int kRemembered = 64;
struct Remembered {
  Oid relation;
  TableRules rules;
};
Remembered g_remembered[kRemembered];

void ForgetRules(Datum, Oid relation) {
  for (Remembered& one : g_remembered) {
    if (!OidIsValid(relation) || one.relation == relation) {
      one.relation = InvalidOid;
    }
  }
}

const Trigger* GuardOf(Relation relation) {
  const TriggerDesc* triggers = relation->trigdesc;
  for (int i = 0; triggers != nullptr && i < triggers->numtriggers; ++i) {
    const Trigger& trigger = triggers->triggers[i];
    if (strcmp(trigger.tgname, kGuardTrigger) == 0) {
      return &trigger;
    }
  }
  return nullptr;
}

void TakeArgument(TableRules& rules, const char* argument) {
  if (strncmp(argument, "site=", 5) == 0) {
    rules.own_site = static_cast<uint16_t>(pg_strtoint32(argument + 5));
  } else if (strncmp(argument, "primary=", 8) == 0) {
    rules.primary_site = static_cast<uint16_t>(pg_strtoint32(argument + 8));
  } else if (strcmp(argument, "column_level") == 0) {
    rules.column_level = true;
  } else if (strncmp(argument, "strategy=", 9) == 0 && StrategyNamed(argument + 9)) {
    rules.strategy = *StrategyNamed(argument + 9);
  } else {
    ereport(ERROR,
            (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
             errmsg("the guard of a replicated table has an unknown argument \"%s\"", argument),
             errhint("Only system.add_replicated_table() makes this trigger.")));
  }
}

// A partition has the guard of the table above it.
Oid RootOf(Relation relation, const Trigger* guard) {
  Oid root = RelationGetRelid(relation);
  if (!guard->tgisclone) {
    return root;
  }
  List* ancestors = get_partition_ancestors(root);
  ListCell* cell = nullptr;
  foreach (cell, ancestors) {
    if (!OidIsValid(get_trigger_oid(lfirst_oid(cell), kGuardTrigger, true))) {
      break;
    }
    root = lfirst_oid(cell);
  }
  list_free(ancestors);
  return root;
}

TableRules Read(Relation relation, const Trigger* guard) {
  TableRules rules = {};
  rules.root = RootOf(relation, guard);
  rules.strategy = Strategy::kLastWriterWins;
  for (int i = 0; i < guard->tgnargs; ++i) {
    TakeArgument(rules, guard->tgargs[i]);
  }
  TupleDesc descriptor = RelationGetDescr(relation);
  for (int i = 0; i < descriptor->natts; ++i) {
    Form_pg_attribute column = TupleDescAttr(descriptor, i);
    if (!column->attisdropped && IsMergingType(column->atttypid)) {
      MemoryContext before = MemoryContextSwitchTo(TopMemoryContext);
      rules.merging = bms_add_member(rules.merging, column->attnum);
      MemoryContextSwitchTo(before);
    }
  }
  bool by_stamp = rules.strategy == Strategy::kLastWriterWins ||
                  rules.strategy == Strategy::kError || rules.strategy == Strategy::kSkip;
  rules.keeps_state = !by_stamp || rules.column_level || rules.merging != nullptr;
  return rules;
}

}  // namespace

bool Travels(Form_pg_attribute column) {
  return !column->attisdropped && column->attgenerated == '\0';
}

bool IsMergingType(Oid type) {
  HeapTuple tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
  if (!HeapTupleIsValid(tuple)) {
    return false;
  }
  auto* form = reinterpret_cast<Form_pg_type>(GETSTRUCT(tuple));
  bool merging = form->typtype == TYPTYPE_BASE &&
                 form->typnamespace == get_namespace_oid("crdt", true) &&
                 crdt::TypeNamed(NameStr(form->typname)).has_value();
  ReleaseSysCache(tuple);
  return merging;
}

bool IsReplicated(Relation relation) {
  const Trigger* guard = GuardOf(relation);
  return guard != nullptr && guard->tgenabled != TRIGGER_DISABLED;
}

const TableRules* RulesOf(Relation relation) {
  static bool listening = false;
  if (!listening) {
    CacheRegisterRelcacheCallback(ForgetRules, 0);
    listening = true;
  }
  const Trigger* guard = GuardOf(relation);
  if (guard == nullptr) {
    return nullptr;
  }
  Oid id = RelationGetRelid(relation);
  Remembered& place = g_remembered[id % kRemembered];
  if (place.relation != id) {
    place.relation = InvalidOid;
    bms_free(place.rules.merging);
    place.rules.merging = nullptr;
    place.rules = Read(relation, guard);
    place.relation = id;
  }
  return &place.rules;
}

TablePolicy PolicyOf(const TableRules& rules, int columns) {
  TablePolicy policy;
  policy.strategy = rules.strategy;
  policy.primary = SiteId(rules.primary_site);
  policy.column_level = rules.column_level;
  policy.columns = static_cast<std::size_t>(columns);
  policy.merging_columns = rules.merging == nullptr ? 0 : static_cast<std::size_t>(columns);
  return policy;
}

}  // namespace pgquorum::replication::server
