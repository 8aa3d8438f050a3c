// Input, output, merge, order and hash of all replicated types.
//
// The text form is the whole state, so that a dump restores what was dumped; what users mean is had
// by casts. Bytes that have come in are a value, whoever sent them.
#include <algorithm>

#include "bgworkers/replication/core/crdt/registry.h"
#include "bgworkers/replication/core/crdt/shown.h"
#include "extension/crdt/values.h"

extern "C" {
#include "common/hashfn.h"
#include "libpq/pqformat.h"
#include "utils/builtins.h"
}

namespace pgquorum::crdt_types {
namespace {

Result<Datum> In(crdt::Type type, const char* text) {
  Result<std::string> bytes = crdt::FromJson(type, text);
  if (!bytes.ok()) {
    return bytes.status().WithHint(
        "The text form is the whole state, as the output shows it. Write plain values with their "
        "type, such as 42::bigint or 'x'::text, and cast those.");
  }
  Status valid = CheckForeign(type, bytes.value());
  return valid.ok() ? NewDatum(bytes.value()) : valid;
}

Result<Datum> Receive(crdt::Type type, std::string_view bytes) {
  Status valid = CheckForeign(type, bytes);
  return valid.ok() ? NewDatum(bytes) : valid;
}

Datum InOf(crdt::Type type, FunctionCallInfo fcinfo) {
  const char* text = PG_GETARG_CSTRING(0);
  return pg::Boundary([&] { return In(type, text); });
}

Datum ReceiveOf(crdt::Type type, FunctionCallInfo fcinfo) {
  auto* buffer = reinterpret_cast<StringInfo>(PG_GETARG_POINTER(0));
  int size = buffer->len - buffer->cursor;
  const char* bytes = pq_getmsgbytes(buffer, size);
  return pg::Boundary([&] { return Receive(type, {bytes, static_cast<std::size_t>(size)}); });
}

// -1, 0 or 1.
int32_t Compare(std::string_view a, std::string_view b) {
  int order = a.compare(b);
  return (order > 0) - (order < 0);
}

int32_t CompareArguments(FunctionCallInfo fcinfo) {
  const varlena* a = PG_GETARG_VARLENA_PP(0);
  const varlena* b = PG_GETARG_VARLENA_PP(1);
  return pg::Boundary([&]() -> Result<int32_t> {
    Result<std::string> left = crdt::ShownKey(BytesOf(a));
    Result<std::string> right = crdt::ShownKey(BytesOf(b));
    if (!left.ok() || !right.ok()) {
      return left.ok() ? right.status() : left.status();
    }
    return Compare(left.value(), right.value());
  });
}

int32_t CompareWithNumber(FunctionCallInfo fcinfo) {
  const varlena* a = PG_GETARG_VARLENA_PP(0);
  int64_t number = PG_GETARG_INT64(1);
  return pg::Boundary([&]() -> Result<int32_t> {
    Result<std::string> left = crdt::ShownKey(BytesOf(a));
    return left.ok() ? Result<int32_t>(Compare(left.value(), crdt::NumberKey(number)))
                     : left.status();
  });
}

uint64_t Hash(FunctionCallInfo fcinfo, uint64_t seed) {
  const varlena* value = PG_GETARG_VARLENA_PP(0);
  return pg::Boundary([&]() -> Result<uint64_t> {
    Result<std::string> key = crdt::ShownKey(BytesOf(value));
    if (!key.ok()) {
      return key.status();
    }
    return hash_bytes_extended(reinterpret_cast<const unsigned char*>(key.value().data()),
                               static_cast<int>(key.value().size()), seed);
  });
}

}  // namespace
}  // namespace pgquorum::crdt_types

using namespace pgquorum;  // lint: allow(using) C entry points

#define PGQUORUM_CRDT_TYPE(name, type)                      \
  PGQUORUM_FUNCTION(pgquorum_##name##_in) {                 \
    return crdt_types::InOf(crdt::Type::type, fcinfo);      \
  }                                                         \
  PGQUORUM_FUNCTION(pgquorum_##name##_recv) {               \
    return crdt_types::ReceiveOf(crdt::Type::type, fcinfo); \
  }

PGQUORUM_CRDT_TYPE(lww_register, kLwwRegister)
PGQUORUM_CRDT_TYPE(g_counter, kGCounter)
PGQUORUM_CRDT_TYPE(pn_counter, kPnCounter)
PGQUORUM_CRDT_TYPE(g_set, kGSet)
PGQUORUM_CRDT_TYPE(two_p_set, kTwoPSet)
PGQUORUM_CRDT_TYPE(or_set, kOrSet)
PGQUORUM_CRDT_TYPE(mv_register, kMvRegister)

#define PGQUORUM_CRDT_ORDER(name, compare)                 \
  PGQUORUM_FUNCTION(pgquorum_##name##_eq) {                \
    return BoolGetDatum(crdt_types::compare(fcinfo) == 0); \
  }                                                        \
  PGQUORUM_FUNCTION(pgquorum_##name##_ne) {                \
    return BoolGetDatum(crdt_types::compare(fcinfo) != 0); \
  }                                                        \
  PGQUORUM_FUNCTION(pgquorum_##name##_lt) {                \
    return BoolGetDatum(crdt_types::compare(fcinfo) < 0);  \
  }                                                        \
  PGQUORUM_FUNCTION(pgquorum_##name##_le) {                \
    return BoolGetDatum(crdt_types::compare(fcinfo) <= 0); \
  }                                                        \
  PGQUORUM_FUNCTION(pgquorum_##name##_gt) {                \
    return BoolGetDatum(crdt_types::compare(fcinfo) > 0);  \
  }                                                        \
  PGQUORUM_FUNCTION(pgquorum_##name##_ge) {                \
    return BoolGetDatum(crdt_types::compare(fcinfo) >= 0); \
  }                                                        \
  PGQUORUM_FUNCTION(pgquorum_##name##_cmp) {               \
    return Int32GetDatum(crdt_types::compare(fcinfo));     \
  }

PGQUORUM_CRDT_ORDER(crdt, CompareArguments)
PGQUORUM_CRDT_ORDER(counter_number, CompareWithNumber)

PGQUORUM_FUNCTION(pgquorum_crdt_out) {
  const varlena* value = PG_GETARG_VARLENA_PP(0);
  return pg::Boundary([&]() -> Result<Datum> {
    Result<std::string> json = crdt::ToJson(crdt_types::BytesOf(value));
    if (!json.ok()) {
      return json.status();
    }
    const char* form = json.value().c_str();
    char* copy = nullptr;
    Status status = pg::Try([&] { copy = pstrdup(form); });
    return status.ok() ? Result<Datum>(CStringGetDatum(copy)) : status;
  });
}

PGQUORUM_FUNCTION(pgquorum_crdt_send) {
  // The bytes themselves; a copy, because the argument may be compressed or packed.
  return PointerGetDatum(PG_GETARG_BYTEA_P_COPY(0));
}

// The value as users see it, as json.
PGQUORUM_FUNCTION(pgquorum_crdt_json) {
  const varlena* value = PG_GETARG_VARLENA_PP(0);
  return pg::Boundary([&]() -> Result<Datum> {
    Result<std::string> json = crdt::ShownJson(crdt_types::BytesOf(value));
    return json.ok() ? crdt_types::NewDatum(json.value()) : json.status();
  });
}

PGQUORUM_FUNCTION(pgquorum_crdt_merge) {
  const varlena* a = PG_GETARG_VARLENA_PP(0);
  const varlena* b = PG_GETARG_VARLENA_PP(1);
  return pg::Boundary([&]() -> Result<Datum> {
    Result<std::string> merged =
        crdt::Merge(crdt_types::BytesOf(a), crdt_types::BytesOf(b), crdt::FoldTable());
    return merged.ok() ? crdt_types::NewDatum(merged.value()) : merged.status();
  });
}

PGQUORUM_FUNCTION(pgquorum_crdt_hash) {
  return Int32GetDatum(static_cast<int32_t>(crdt_types::Hash(fcinfo, 0)));
}

PGQUORUM_FUNCTION(pgquorum_crdt_hash_extended) {
  auto seed = static_cast<uint64_t>(PG_GETARG_INT64(1));
  return Int64GetDatum(static_cast<int64_t>(crdt_types::Hash(fcinfo, seed)));
}
