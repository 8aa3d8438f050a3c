// g_counter and pn_counter.
#include "bgworkers/replication/core/crdt/counter.h"
#include "bgworkers/replication/core/crdt/registry.h"
#include "extension/crdt/values.h"

namespace pgquorum::crdt_types {
namespace {

// Decodes, calls `change`, and encodes.
template <typename Change>
Result<Datum> Changed(std::string_view bytes, Change change) {
  Result<crdt::Counter> counter =
      crdt::Counter::Decode(crdt::TypeOf(bytes).value_or(crdt::Type::kPnCounter), bytes);
  if (!counter.ok()) {
    return counter.status();
  }
  Status status = change(counter.value());
  return status.ok() ? NewChanged(crdt::Encode(counter.value())) : status;
}

Datum Of(crdt::Type type, int64_t value) {
  AttachClock();
  return pg::Boundary([&] {
    return Changed(crdt::Empty(type),
                   [&](crdt::Counter& counter) { return counter.Add(Self().origin, value); });
  });
}

// `sign`: of the difference. The smallest bigint has no opposite.
Result<Datum> Add(std::string_view bytes, int64_t difference, int sign) {
  if (sign < 0 && difference == INT64_MIN) {
    return Status::Error("22003", "counter is out of range of bigint");
  }
  return Changed(
      bytes, [&](crdt::Counter& counter) { return counter.Add(Self().origin, sign * difference); });
}

Datum AddArguments(FunctionCallInfo fcinfo, int sign) {
  const varlena* value = PG_GETARG_VARLENA_PP(0);
  int64_t difference = PG_GETARG_INT64(1);
  AttachClock();
  return pg::Boundary([&] { return Add(BytesOf(value), difference, sign); });
}

}  // namespace
}  // namespace pgquorum::crdt_types

using namespace pgquorum;  // lint: allow(using) C entry points

PGQUORUM_FUNCTION(pgquorum_g_counter_of) {
  return crdt_types::Of(crdt::Type::kGCounter, PG_GETARG_INT64(0));
}

PGQUORUM_FUNCTION(pgquorum_pn_counter_of) {
  return crdt_types::Of(crdt::Type::kPnCounter, PG_GETARG_INT64(0));
}

PGQUORUM_FUNCTION(pgquorum_counter_add) {
  return crdt_types::AddArguments(fcinfo, 1);
}

PGQUORUM_FUNCTION(pgquorum_counter_subtract) {
  return crdt_types::AddArguments(fcinfo, -1);
}

PGQUORUM_FUNCTION(pgquorum_counter_reset) {
  const varlena* value = PG_GETARG_VARLENA_PP(0);
  return pg::Boundary([&] {
    return crdt_types::Changed(crdt_types::BytesOf(value),
                               [](crdt::Counter& counter) { return counter.Reset(); });
  });
}

PGQUORUM_FUNCTION(pgquorum_counter_value) {
  const varlena* argument = PG_GETARG_VARLENA_PP(0);
  int64_t value = pg::Boundary([&]() -> Result<int64_t> {
    std::string_view bytes = crdt_types::BytesOf(argument);
    Result<crdt::Counter> counter =
        crdt::Counter::Decode(crdt::TypeOf(bytes).value_or(crdt::Type::kPnCounter), bytes);
    return counter.ok() ? counter.value().Value() : counter.status();
  });
  return Int64GetDatum(value);
}
