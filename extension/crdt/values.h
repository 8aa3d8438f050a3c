// What the SQL functions of the replicated types share: arguments, results, and who writes.
//
// Arguments are detoasted before the boundary: PostgreSQL's calls raise there over nothing that
// owns memory. Inside it, memory for results comes through pg::Try.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "bgworkers/replication/core/crdt/assign.h"
#include "bgworkers/replication/core/crdt/types.h"
#include "extension/pg/boundary.h"
#include "extension/pg/guard.h"

extern "C" {
#include "utils/array.h"
}

namespace pgquorum::crdt_types {

// The bytes of an argument, valid as long as the call.
inline std::string_view BytesOf(const varlena* value) {
  return {VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)};
}

// A datum with these bytes, a replicated value or a text.
Result<Datum> NewDatum(std::string_view bytes);
// The same for a value that a user has changed: refused above pgquorum.crdt_max_bytes.
Result<Datum> NewChanged(const Result<std::string>& bytes);
// text[]; nulls stay nulls.
Result<Datum> NewTexts(const std::vector<crdt::OptionalText>& texts);

// A plain list of the texts of a text[] argument, in palloc'ed memory; raises. Nulls are refused.
struct TextArray {
  text** elements = nullptr;
  int count = 0;

  std::vector<std::string_view> Views() const;
};
TextArray TextsOf(ArrayType* array);

// Bytes from outside: kErrMalformedState for what no writer makes, and for texts that are not valid
// in the database's encoding.
Status CheckForeign(crdt::Type type, std::string_view bytes);

// This site as the settings name it, and the server's clock. AttachClock raises: call it before the
// boundary.
void AttachClock();
crdt::Author Self();

// Shared memory: the clock that sequences of operations come from.
std::size_t SharedMemorySize();

}  // namespace pgquorum::crdt_types
