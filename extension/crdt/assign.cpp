// Assignment to a column that has a value: crdt.assign(old, new) and the trigger of that name.
#include "extension/crdt/values.h"
#include "bgworkers/replication/core/crdt/registry.h"

extern "C" {
#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
}

namespace pgquorum::crdt_types {
namespace {

// Both of one type, not null.
Datum Assigned(Datum old, Datum wanted) {
  const varlena* before = PG_DETOAST_DATUM_PACKED(old);
  const varlena* after = PG_DETOAST_DATUM_PACKED(wanted);
  AttachClock();
  return pg::Boundary(
      [&] { return NewChanged(crdt::AssignShown(BytesOf(before), BytesOf(after), Self())); });
}

// Whether the column is of a replicated type, or of a domain over one. Raises.
bool IsReplicated(Oid type, Oid schema) {
  Oid base = getBaseType(type);
  HeapTuple tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(base));
  if (!HeapTupleIsValid(tuple)) {
    return false;
  }
  auto* form = reinterpret_cast<Form_pg_type>(GETSTRUCT(tuple));
  bool replicated = form->typnamespace == schema && form->typtype == TYPTYPE_BASE &&
                    crdt::TypeNamed(NameStr(form->typname)).has_value();
  ReleaseSysCache(tuple);
  return replicated;
}

HeapTuple AssignColumns(const TriggerData* data) {
  Oid schema = get_namespace_oid("crdt", true);
  TupleDesc columns = RelationGetDescr(data->tg_relation);
  HeapTuple result = data->tg_newtuple;
  for (int i = 0; i < columns->natts; ++i) {
    const FormData_pg_attribute* column = TupleDescAttr(columns, i);
    if (column->attisdropped || !IsReplicated(column->atttypid, schema)) {
      continue;
    }
    bool old_null = false;
    bool new_null = false;
    Datum before = heap_getattr(data->tg_trigtuple, i + 1, columns, &old_null);
    Datum after = heap_getattr(result, i + 1, columns, &new_null);
    if (old_null || new_null) {
      continue;
    }
    int number[] = {i + 1};
    Datum values[] = {Assigned(before, after)};
    bool nulls[] = {false};
    result = heap_modify_tuple_by_cols(result, columns, 1, number, values, nulls);
  }
  return result;
}

}  // namespace
}  // namespace pgquorum::crdt_types

using namespace pgquorum;  // lint: allow(using) C entry points

PGQUORUM_FUNCTION(pgquorum_crdt_assign) {
  return crdt_types::Assigned(PG_GETARG_DATUM(0), PG_GETARG_DATUM(1));
}

PGQUORUM_FUNCTION(pgquorum_crdt_assign_trigger) {
  auto* data = reinterpret_cast<TriggerData*>(fcinfo->context);
  if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(data->tg_event) ||
      !TRIGGER_FIRED_FOR_ROW(data->tg_event) || !TRIGGER_FIRED_BY_UPDATE(data->tg_event)) {
    ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                    errmsg("crdt.assign() must be a trigger BEFORE UPDATE FOR EACH ROW")));
  }
  return PointerGetDatum(crdt_types::AssignColumns(data));
}
