#include "extension/crdt/values.h"

#include "bgworkers/replication/core/crdt/registry.h"
#include "bgworkers/replication/core/crdt/shown.h"
#include "bgworkers/replication/core/errors.h"
#include "extension/guc.h"

extern "C" {
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
}

namespace pgquorum::crdt_types {

Result<Datum> NewDatum(std::string_view bytes) {
  varlena* value = nullptr;
  Status status = pg::Try([&] {
    value = static_cast<varlena*>(palloc(VARHDRSZ + bytes.size()));
    SET_VARSIZE(value, VARHDRSZ + bytes.size());
    memcpy(VARDATA(value), bytes.data(), bytes.size());
  });
  return status.ok() ? Result<Datum>(PointerGetDatum(value)) : status;
}

Result<Datum> NewChanged(const Result<std::string>& bytes) {
  if (!bytes.ok()) {
    return bytes.status();
  }
  std::string_view value = bytes.value();
  auto limit = static_cast<std::size_t>(guc::crdt_max_bytes);
  Status fits = crdt::CheckSize(*crdt::TypeOf(value), value.size(), limit);
  if (!fits.ok()) {
    return std::move(fits).WithHint(
        "Keep elements in rows of a table of their own, or raise pgquorum.crdt_max_bytes.");
  }
  return NewDatum(value);
}

Result<Datum> NewTexts(const std::vector<crdt::OptionalText>& texts) {
  Datum result = 0;
  const crdt::OptionalText* all = texts.data();
  auto count = static_cast<int>(texts.size());
  Status status = pg::Try([&] {
    auto* values = static_cast<Datum*>(palloc0(sizeof(Datum) * static_cast<std::size_t>(count)));
    auto* nulls = static_cast<bool*>(palloc0(static_cast<std::size_t>(count)));
    for (int i = 0; i < count; ++i) {
      nulls[i] = !all[i];
      if (all[i]) {
        values[i] = PointerGetDatum(
            cstring_to_text_with_len(all[i]->data(), static_cast<int>(all[i]->size())));
      }
    }
    int dimensions[] = {count};
    int lower[] = {1};
    ArrayType* array = count == 0 ? construct_empty_array(TEXTOID)
                                  : construct_md_array(values, nulls, 1, dimensions, lower, TEXTOID,
                                                       -1, false, TYPALIGN_INT);
    result = PointerGetDatum(array);
  });
  return status.ok() ? Result<Datum>(result) : status;
}

std::vector<std::string_view> TextArray::Views() const {
  std::vector<std::string_view> views;
  for (int i = 0; i < count; ++i) {
    views.push_back(BytesOf(elements[i]));
  }
  return views;
}

TextArray TextsOf(ArrayType* array) {
  Datum* values = nullptr;
  bool* nulls = nullptr;
  TextArray texts;
  deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &texts.count);
  texts.elements =
      static_cast<text**>(palloc0(sizeof(text*) * static_cast<std::size_t>(texts.count)));
  for (int i = 0; i < texts.count; ++i) {
    if (nulls[i]) {
      ereport(ERROR,
              (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("elements of sets cannot be null")));
    }
    texts.elements[i] = DatumGetTextPP(values[i]);
  }
  return texts;
}

Status CheckForeign(crdt::Type type, std::string_view bytes) {
  Status status = crdt::Validate(type, bytes);
  if (!status.ok()) {
    return status;
  }
  Result<std::vector<std::string_view>> texts = crdt::AllTexts(bytes);
  if (!texts.ok()) {
    return texts.status();
  }
  for (std::string_view text : texts.value()) {
    if (!pg_verifymbstr(text.data(), static_cast<int>(text.size()), true)) {
      return Status::Error(replication::kErrMalformedState,
                           "replicated value holds text that is not valid in this database")
          .WithDetail("The encoding of the database is " + std::string(GetDatabaseEncodingName()) +
                      ", and a zero byte is no text.");
    }
  }
  return Status::Ok();
}

}  // namespace pgquorum::crdt_types
