// g_set, two_p_set, or_set; lww_register, mv_register.
#include <algorithm>

#include "bgworkers/replication/core/crdt/registry.h"
#include "bgworkers/replication/core/crdt/shown.h"
#include "extension/crdt/values.h"

namespace pgquorum::crdt_types {
namespace {

Datum SetOf(crdt::Type type, FunctionCallInfo fcinfo) {
  TextArray texts = TextsOf(PG_GETARG_ARRAYTYPE_P(0));
  AttachClock();
  return pg::Boundary(
      [&] { return NewChanged(crdt::AddElements(crdt::Empty(type), texts.Views(), Self())); });
}

// The second argument as a list: a text, or all of a text[].
TextArray OneText(FunctionCallInfo fcinfo, text** memory) {
  *memory = PG_GETARG_TEXT_PP(1);
  return {memory, 1};
}

Datum Add(const varlena* set, const TextArray& texts) {
  AttachClock();
  return pg::Boundary(
      [&] { return NewChanged(crdt::AddElements(BytesOf(set), texts.Views(), Self())); });
}

Datum Remove(const varlena* set, const TextArray& texts) {
  return pg::Boundary(
      [&] { return NewChanged(crdt::RemoveElements(BytesOf(set), texts.Views())); });
}

// How many of the texts the set contains.
int Contained(const varlena* set, const TextArray& texts) {
  return pg::Boundary([&]() -> Result<int> {
    Result<std::vector<crdt::OptionalText>> shown = crdt::ShownTexts(BytesOf(set));
    if (!shown.ok()) {
      return shown.status();
    }
    int found = 0;
    for (std::string_view text : texts.Views()) {
      // Elements are sorted and never null.
      found +=
          std::binary_search(shown.value().begin(), shown.value().end(), crdt::OptionalText(text))
              ? 1
              : 0;
    }
    return found;
  });
}

Datum RegisterOf(crdt::Type type, FunctionCallInfo fcinfo) {
  const text* value = PG_GETARG_TEXT_PP(0);
  AttachClock();
  return pg::Boundary(
      [&] { return NewChanged(crdt::AssignText(crdt::Empty(type), BytesOf(value), Self())); });
}

}  // namespace
}  // namespace pgquorum::crdt_types

using namespace pgquorum;  // lint: allow(using) C entry points

PGQUORUM_FUNCTION(pgquorum_g_set_of) {
  return crdt_types::SetOf(crdt::Type::kGSet, fcinfo);
}

PGQUORUM_FUNCTION(pgquorum_two_p_set_of) {
  return crdt_types::SetOf(crdt::Type::kTwoPSet, fcinfo);
}

PGQUORUM_FUNCTION(pgquorum_or_set_of) {
  return crdt_types::SetOf(crdt::Type::kOrSet, fcinfo);
}

PGQUORUM_FUNCTION(pgquorum_set_add) {
  text* one = nullptr;
  return crdt_types::Add(PG_GETARG_VARLENA_PP(0), crdt_types::OneText(fcinfo, &one));
}

PGQUORUM_FUNCTION(pgquorum_set_add_all) {
  return crdt_types::Add(PG_GETARG_VARLENA_PP(0), crdt_types::TextsOf(PG_GETARG_ARRAYTYPE_P(1)));
}

PGQUORUM_FUNCTION(pgquorum_set_remove) {
  text* one = nullptr;
  return crdt_types::Remove(PG_GETARG_VARLENA_PP(0), crdt_types::OneText(fcinfo, &one));
}

PGQUORUM_FUNCTION(pgquorum_set_remove_all) {
  return crdt_types::Remove(PG_GETARG_VARLENA_PP(0), crdt_types::TextsOf(PG_GETARG_ARRAYTYPE_P(1)));
}

PGQUORUM_FUNCTION(pgquorum_set_contains) {
  text* one = nullptr;
  return BoolGetDatum(
      crdt_types::Contained(PG_GETARG_VARLENA_PP(0), crdt_types::OneText(fcinfo, &one)) == 1);
}

PGQUORUM_FUNCTION(pgquorum_set_contains_all) {
  crdt_types::TextArray texts = crdt_types::TextsOf(PG_GETARG_ARRAYTYPE_P(1));
  return BoolGetDatum(crdt_types::Contained(PG_GETARG_VARLENA_PP(0), texts) == texts.count);
}

PGQUORUM_FUNCTION(pgquorum_set_overlaps) {
  crdt_types::TextArray texts = crdt_types::TextsOf(PG_GETARG_ARRAYTYPE_P(1));
  return BoolGetDatum(crdt_types::Contained(PG_GETARG_VARLENA_PP(0), texts) > 0);
}

// Elements of a set, values of an mv_register.
PGQUORUM_FUNCTION(pgquorum_crdt_texts) {
  const varlena* value = PG_GETARG_VARLENA_PP(0);
  return pg::Boundary([&]() -> Result<Datum> {
    Result<std::vector<crdt::OptionalText>> texts = crdt::ShownTexts(crdt_types::BytesOf(value));
    return texts.ok() ? crdt_types::NewTexts(texts.value()) : texts.status();
  });
}

PGQUORUM_FUNCTION(pgquorum_crdt_count) {
  const varlena* value = PG_GETARG_VARLENA_PP(0);
  int64_t count = pg::Boundary([&]() -> Result<int64_t> {
    Result<std::vector<crdt::OptionalText>> texts = crdt::ShownTexts(crdt_types::BytesOf(value));
    return texts.ok() ? Result<int64_t>(static_cast<int64_t>(texts.value().size()))
                      : texts.status();
  });
  return Int64GetDatum(count);
}

PGQUORUM_FUNCTION(pgquorum_lww_register_of) {
  return crdt_types::RegisterOf(crdt::Type::kLwwRegister, fcinfo);
}

PGQUORUM_FUNCTION(pgquorum_mv_register_of) {
  return crdt_types::RegisterOf(crdt::Type::kMvRegister, fcinfo);
}

// The value of a register whose text is the second argument, which may be null.
PGQUORUM_FUNCTION(pgquorum_register_set) {
  if (PG_ARGISNULL(0)) {
    PG_RETURN_NULL();
  }
  const varlena* value = PG_GETARG_VARLENA_PP(0);
  const text* assigned = PG_ARGISNULL(1) ? nullptr : PG_GETARG_TEXT_PP(1);
  crdt_types::AttachClock();
  return pg::Boundary([&] {
    crdt::OptionalText wanted;
    if (assigned != nullptr) {
      wanted = crdt_types::BytesOf(assigned);
    }
    return crdt_types::NewChanged(
        crdt::AssignText(crdt_types::BytesOf(value), wanted, crdt_types::Self()));
  });
}

// Null when null was assigned, or nothing.
PGQUORUM_FUNCTION(pgquorum_lww_register_text) {
  const varlena* value = PG_GETARG_VARLENA_PP(0);
  Datum result = pg::Boundary([&]() -> Result<Datum> {
    Result<std::vector<crdt::OptionalText>> texts = crdt::ShownTexts(crdt_types::BytesOf(value));
    if (!texts.ok()) {
      return texts.status();
    }
    const crdt::OptionalText& shown = texts.value().at(0);
    return shown ? crdt_types::NewDatum(*shown) : Result<Datum>(Datum{0});
  });
  if (result == 0) {
    PG_RETURN_NULL();
  }
  return result;
}
