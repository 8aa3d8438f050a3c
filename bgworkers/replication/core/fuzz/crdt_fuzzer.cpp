// The decoders of replicated values against hostile bytes and text: no crash, no unbounded memory;
// what is accepted is exactly what would be written again, as bytes and as JSON.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "bgworkers/replication/core/crdt/assign.h"
#include "bgworkers/replication/core/crdt/registry.h"
#include "bgworkers/replication/core/crdt/shown.h"

#include "base/pure.h"

namespace pgquorum::crdt {

using replication::SiteId;

namespace {

void FuzzBytes(std::string_view bytes) {
  std::optional<Type> type = TypeOf(bytes);
  if (!type || !Validate(*type, bytes).ok()) {
    return;
  }
  Result<std::string> json = ToJson(bytes);
  PGQUORUM_CHECK(json.ok());
  Result<std::string> back = FromJson(*type, json.value());
  PGQUORUM_CHECK(back.ok() && back.value() == bytes);
  PGQUORUM_CHECK(ShownKey(bytes).ok() && ShownJson(bytes).ok() && AllTexts(bytes).ok());
  // Generations above the table are refused; the others merge with themselves into themselves.
  Result<std::string> merged = Merge(bytes, bytes, FoldTable());
  PGQUORUM_CHECK(!merged.ok() || merged.value() == bytes);
  Result<std::string> joined = Merge(Empty(*type), bytes, FoldTable());
  PGQUORUM_CHECK(!joined.ok() || joined.value() == bytes);
}

void FuzzPair(std::string_view data) {
  if (data.empty()) {
    return;
  }
  std::size_t cut = static_cast<unsigned char>(data[0]) % data.size();
  std::string_view a = data.substr(1, cut);
  std::string_view b = data.substr(1 + a.size());
  FoldTable folds;
  Result<std::string> ab = Merge(a, b, folds);
  if (ab.ok()) {
    Result<std::string> ba = Merge(b, a, folds);
    PGQUORUM_CHECK(ba.ok() && ba.value() == ab.value());
    PGQUORUM_CHECK(Validate(*TypeOf(a), ab.value()).ok());
    Author author{{SiteId(1), 1}, [](uint64_t above) { return above + (above < UINT64_MAX); }};
    Result<std::string> assigned = AssignShown(a, b, author);
    PGQUORUM_CHECK(!assigned.ok() || ShownKey(assigned.value()).value() == ShownKey(b).value());
  }
}

void FuzzText(std::string_view text) {
  for (const TypeInfo& info : kTypes) {
    Result<std::string> bytes = FromJson(info.type, text);
    if (bytes.ok()) {
      PGQUORUM_CHECK(Validate(info.type, bytes.value()).ok());
      PGQUORUM_CHECK(ToJson(bytes.value()).ok());
    }
  }
}

}  // namespace
}  // namespace pgquorum::crdt

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  pgquorum::crdt::FuzzBytes(input);
  pgquorum::crdt::FuzzPair(input);
  pgquorum::crdt::FuzzText(input);
  return 0;
}
