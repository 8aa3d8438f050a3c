#include "bgworkers/replication/core/crdt/shown.h"

#include <algorithm>

#include "bgworkers/replication/core/crdt/counter.h"
#include "bgworkers/replication/core/crdt/json.h"
#include "bgworkers/replication/core/crdt/registry.h"
#include "bgworkers/replication/core/crdt/sets.h"
#include "bgworkers/replication/core/errors.h"

#include "base/pure.h"

namespace pgquorum::crdt {
namespace {

__extension__ using Wide = __int128;

bool IsCounter(Type type) {
  return type == Type::kGCounter || type == Type::kPnCounter;
}

Result<Type> TypeIn(std::string_view bytes) {
  std::optional<Type> type = TypeOf(bytes);
  return type ? Result<Type>(*type)
              : Status::Error(replication::kErrMalformedState, "not a replicated value");
}

// A null sorts behind every text; a list that is the beginning of another one before it.
bool Before(const OptionalText& a, const OptionalText& b) {
  return a && b ? *a < *b : a.has_value() && !b.has_value();
}

std::string WideKey(Wide value) {
  __extension__ using UnsignedWide = unsigned __int128;
  UnsignedWide bits = static_cast<UnsignedWide>(value) ^ (UnsignedWide{1} << 127);
  std::string key;
  for (int shift = 120; shift >= 0; shift -= 8) {
    key += static_cast<char>(static_cast<uint8_t>(bits >> shift));
  }
  return key;
}

// Zero bytes in a text are followed by 0xFF, its end is two zeroes.
void AppendTextKey(std::string_view text, std::string& key) {
  for (char c : text) {
    key += c;
    if (c == '\0') {
      key += '\xFF';
    }
  }
  key.append(2, '\0');
}

template <typename Set, typename Each>
Status ForElements(std::string_view bytes, Each each) {
  Result<Set> set = Set::Decode(bytes);
  if (set.ok()) {
    for (const auto& element : set.value().elements()) {
      each(element);
    }
  }
  return set.status();
}

// Calls `each` with every text and whether it is shown.
template <typename Each>
Status ForTexts(Type type, std::string_view bytes, Each each) {
  switch (type) {
    case Type::kGSet:
      return ForElements<GSet>(bytes, [&](std::string_view e) { each(OptionalText(e), true); });
    case Type::kTwoPSet:
      return ForElements<TwoPSet>(
          bytes, [&](const TwoPSet::Element& e) { each(OptionalText(e.value), !e.removed); });
    case Type::kOrSet:
      return ForElements<OrSet>(
          bytes, [&](const OrSet::Element& e) { each(OptionalText(e.value), true); });
    case Type::kLwwRegister: {
      Result<LwwRegister> value = LwwRegister::Decode(bytes);
      if (value.ok()) {
        each(value.value().value(), true);
      }
      return value.status();
    }
    case Type::kMvRegister: {
      Result<MvRegister> value = MvRegister::Decode(bytes);
      if (value.ok()) {
        for (const MvRegister::Version& version : value.value().versions()) {
          each(version.value, true);
        }
      }
      return value.status();
    }
    case Type::kGCounter:
    case Type::kPnCounter:
      return Validate(type, bytes);
  }
  return Status::Ok();
}

}  // namespace

Result<std::vector<OptionalText>> ShownTexts(std::string_view bytes) {
  Result<Type> type = TypeIn(bytes);
  if (!type.ok()) {
    return type.status();
  }
  std::vector<OptionalText> texts;
  Status status = ForTexts(type.value(), bytes, [&](const OptionalText& text, bool shown) {
    if (shown) {
      texts.push_back(text);
    }
  });
  if (!status.ok()) {
    return status;
  }
  std::sort(texts.begin(), texts.end(), Before);
  return texts;
}

Result<std::vector<std::string_view>> AllTexts(std::string_view bytes) {
  Result<Type> type = TypeIn(bytes);
  if (!type.ok()) {
    return type.status();
  }
  std::vector<std::string_view> texts;
  Status status = ForTexts(type.value(), bytes, [&](const OptionalText& text, bool) {
    if (text) {
      texts.push_back(*text);
    }
  });
  return status.ok() ? Result<std::vector<std::string_view>>(texts) : status;
}

std::string NumberKey(int64_t value) {
  return WideKey(value);
}

Result<std::string> ShownKey(std::string_view bytes) {
  Result<Type> type = TypeIn(bytes);
  if (!type.ok()) {
    return type.status();
  }
  if (IsCounter(type.value())) {
    Result<Counter> counter = Counter::Decode(type.value(), bytes);
    if (!counter.ok()) {
      return counter.status();
    }
    Wide sum = 0;
    for (const CounterEntry& entry : counter.value().entries()) {
      sum += Wide{entry.up - entry.reset_up} - Wide{entry.down - entry.reset_down};
    }
    return WideKey(sum);
  }
  Result<std::vector<OptionalText>> texts = ShownTexts(bytes);
  if (!texts.ok()) {
    return texts.status();
  }
  std::string key;
  for (const OptionalText& text : texts.value()) {
    key += text ? '\x01' : '\x02';
    if (text) {
      AppendTextKey(*text, key);
    }
  }
  return key;
}

Result<std::string> ShownJson(std::string_view bytes) {
  Result<Type> type = TypeIn(bytes);
  if (!type.ok()) {
    return type.status();
  }
  if (IsCounter(type.value())) {
    Result<Counter> counter = Counter::Decode(type.value(), bytes);
    if (!counter.ok()) {
      return counter.status();
    }
    Result<int64_t> value = counter.value().Value();
    return value.ok() ? std::to_string(value.value()) : std::string("null");
  }
  Result<std::vector<OptionalText>> texts = ShownTexts(bytes);
  if (!texts.ok()) {
    return texts.status();
  }
  bool list = type.value() != Type::kLwwRegister;
  std::string json = list ? "[" : "";
  for (const OptionalText& text : texts.value()) {
    json += json.size() > 1 ? ", " : "";
    if (text) {
      AppendQuoted(*text, json);
    } else {
      json += "null";
    }
  }
  return list ? json + ']' : json;
}

}  // namespace pgquorum::crdt
