// The JSON forms of the types. Reading builds the bytes and then validates them, so that JSON can
// bring in nothing that bytes could not.
#include <algorithm>
#include <charconv>
#include <utility>

#include "bgworkers/replication/core/crdt/counter.h"
#include "bgworkers/replication/core/crdt/json.h"
#include "bgworkers/replication/core/crdt/registers.h"
#include "bgworkers/replication/core/crdt/registry.h"
#include "bgworkers/replication/core/crdt/sets.h"
#include "bgworkers/replication/core/errors.h"

#include "base/pure.h"

namespace pgquorum::crdt {

using replication::Dot;
using replication::Hlc;
using replication::Origin;
using replication::SiteId;
using replication::Stamp;
using replication::VersionVector;

namespace {

std::string Number(uint64_t value) {
  return std::to_string(value);
}

void AppendOptional(const OptionalText& value, std::string& out) {
  if (value) {
    AppendQuoted(*value, out);
  } else {
    out += "null";
  }
}

// Appends `items` as a list in the given brackets; `one` appends an item.
template <typename Items, typename One>
void AppendList(const Items& items, std::string_view brackets, One one, std::string& out) {
  out += brackets[0];
  bool first = true;
  for (const auto& item : items) {
    if (!first) {
      out += ", ";
    }
    first = false;
    one(item);
  }
  out += brackets[1];
}

void AppendSeen(uint64_t generation, const VersionVector& seen, std::string& out) {
  out += "{\"generation\": " + Number(generation) + ", \"seen\": ";
  AppendList(
      seen.entries(), "{}",
      [&](const auto& entry) {
        out += '"' + entry.origin.ToString() + "\": " + Number(entry.sequence);
      },
      out);
}

std::string CounterToJson(const Counter& counter) {
  Result<int64_t> value = counter.Value();
  std::string out = "{\"value\": " + (value.ok() ? std::to_string(value.value()) : "null") +
                    ", \"generation\": " + Number(counter.generation()) + ", \"sites\": ";
  bool both = counter.type() == Type::kPnCounter;
  AppendList(
      counter.entries(), "{}",
      [&](const CounterEntry& entry) {
        out += '"' + entry.origin.ToString() + "\": ";
        out += both ? '[' + Number(entry.up) + ", " + Number(entry.down) + ", " +
                          Number(entry.reset_up) + ", " + Number(entry.reset_down) + ']'
                    : Number(entry.up);
      },
      out);
  return out + '}';
}

std::string GSetToJson(const GSet& set) {
  std::string out = "{\"elements\": ";
  AppendList(
      set.elements(), "[]", [&](std::string_view element) { AppendQuoted(element, out); }, out);
  return out + '}';
}

std::string TwoPSetToJson(const TwoPSet& set) {
  std::string out = "{\"elements\": ";
  AppendList(
      set.Live(), "[]", [&](std::string_view element) { AppendQuoted(element, out); }, out);
  std::vector<std::string_view> removed;
  for (const TwoPSet::Element& element : set.elements()) {
    if (element.removed) {
      removed.push_back(element.value);
    }
  }
  out += ", \"removed\": ";
  AppendList(
      removed, "[]", [&](std::string_view element) { AppendQuoted(element, out); }, out);
  return out + '}';
}

std::string OrSetToJson(const OrSet& set) {
  std::string out;
  AppendSeen(set.generation(), set.seen(), out);
  out += ", \"elements\": ";
  AppendList(
      set.elements(), "[]",
      [&](const OrSet::Element& element) {
        out += "{\"value\": ";
        AppendQuoted(element.value, out);
        out += ", \"dots\": ";
        AppendList(
            element.dots, "[]", [&](const Dot& dot) { out += '"' + dot.ToString() + '"'; }, out);
        out += '}';
      },
      out);
  return out + '}';
}

std::string MvRegisterToJson(const MvRegister& value) {
  std::string out;
  AppendSeen(value.generation(), value.seen(), out);
  out += ", \"values\": ";
  AppendList(
      value.versions(), "[]",
      [&](const MvRegister::Version& version) {
        out += "{\"value\": ";
        AppendOptional(version.value, out);
        out += ", \"dot\": \"" + version.dot.ToString() + "\"}";
      },
      out);
  return out + '}';
}

std::string LwwRegisterToJson(const LwwRegister& value) {
  std::string out = "{\"value\": ";
  AppendOptional(value.value(), out);
  return out + ", \"time\": " + Number(value.stamp().hlc.value()) + ", \"site\": \"" +
         value.stamp().origin.ToString() + "\"}";
}

template <typename Integer>
bool ParseNumber(std::string_view text, Integer& value) {
  const char* end = text.data() + text.size();
  auto [at, error] = std::from_chars(text.data(), end, value);
  // One spelling for each: no leading zeros.
  return error == std::errc() && at == end && (text.size() == 1 || text[0] != '0');
}

bool ParseOrigin(std::string_view text, Origin& origin) {
  std::size_t point = text.find('.');
  uint16_t site = 0;
  if (point == std::string_view::npos || !ParseNumber(text.substr(0, point), site) ||
      !ParseNumber(text.substr(point + 1), origin.incarnation)) {
    return false;
  }
  origin.site = SiteId(site);
  return true;
}

bool ParseDot(std::string_view text, Dot& dot) {
  std::size_t colon = text.find(':');
  return colon != std::string_view::npos && ParseOrigin(text.substr(0, colon), dot.origin) &&
         ParseNumber(text.substr(colon + 1), dot.sequence) && dot.origin && dot.sequence > 0;
}

}  // namespace

// Reads the members of one object; ok() says whether all of them were as expected.
class JsonForms {
 public:
  explicit JsonForms(const Json& json) : json_(json) { ok_ = json.kind == Json::Kind::kObject; }

  // The encoded value; meaningless unless ok().
  std::string Read(Type type) {
    switch (type) {
      case Type::kLwwRegister:
        return ReadLwwRegister();
      case Type::kGCounter:
      case Type::kPnCounter:
        return ReadCounter(type);
      case Type::kGSet:
        return ReadGSet();
      case Type::kTwoPSet:
        return ReadTwoPSet();
      case Type::kOrSet:
        return ReadOrSet();
      case Type::kMvRegister:
        return ReadMvRegister();
    }
    return Fail();
  }
  // Every member was known, there, and well formed.
  bool ok() const { return ok_ && taken_ == json_.names.size(); }

 private:
  std::string Fail() {
    ok_ = false;
    return {};
  }
  void Require(bool condition) { ok_ = ok_ && condition; }

  const Json& Take(std::string_view name, Json::Kind kind) {
    static const Json kNone;
    const Json* member = json_.Member(name);
    Require(member != nullptr && member->kind == kind);
    ++taken_;
    return member != nullptr ? *member : kNone;
  }
  uint64_t Unsigned(const Json& json) {
    Require(json.kind == Json::Kind::kNumber && !json.negative);
    return json.magnitude;
  }
  OptionalText Optional(const Json* json) {
    Require(json != nullptr &&
            (json->kind == Json::Kind::kNull || json->kind == Json::Kind::kString));
    bool text = json != nullptr && json->kind == Json::Kind::kString;
    return text ? OptionalText(json->text) : std::nullopt;
  }
  std::vector<std::string_view> Strings(std::string_view name) {
    std::vector<std::string_view> strings;
    for (const Json& item : Take(name, Json::Kind::kArray).items) {
      Require(item.kind == Json::Kind::kString);
      strings.push_back(item.text);
    }
    return strings;
  }
  void ReadSeen(uint64_t& generation, VersionVector& seen) {
    generation = Unsigned(Take("generation", Json::Kind::kNumber));
    const Json& origins = Take("seen", Json::Kind::kObject);
    for (std::size_t i = 0; i < origins.names.size(); ++i) {
      Dot dot;
      Require(ParseOrigin(origins.names[i], dot.origin) && static_cast<bool>(dot.origin));
      dot.sequence = Unsigned(origins.items[i]);
      Require(dot.sequence > 0);
      seen.Raise(dot);
    }
  }
  Dot ReadDot(const Json* json) {
    Dot dot;
    Require(json != nullptr && json->kind == Json::Kind::kString && ParseDot(json->text, dot));
    return dot;
  }

  std::string ReadLwwRegister() {
    const Json* value = json_.Member("value");
    ++taken_;
    Stamp stamp;
    stamp.hlc = Hlc(Unsigned(Take("time", Json::Kind::kNumber)));
    Require(ParseOrigin(Take("site", Json::Kind::kString).text, stamp.origin));
    return Encode(LwwRegister(stamp, Optional(value)));
  }

  std::string ReadCounter(Type type) {
    Counter counter(type);
    counter.generation_ = Unsigned(Take("generation", Json::Kind::kNumber));
    const Json& sites = Take("sites", Json::Kind::kObject);
    for (std::size_t i = 0; i < sites.names.size(); ++i) {
      const Json& totals = sites.items[i];
      CounterEntry entry;
      Require(ParseOrigin(sites.names[i], entry.origin));
      if (type == Type::kGCounter) {
        entry.up = Unsigned(totals);
      } else if (totals.kind != Json::Kind::kArray || totals.items.size() != 4) {
        return Fail();
      } else {
        entry.up = Unsigned(totals.items[0]);
        entry.down = Unsigned(totals.items[1]);
        entry.reset_up = Unsigned(totals.items[2]);
        entry.reset_down = Unsigned(totals.items[3]);
      }
      counter.entries_.push_back(entry);
    }
    std::sort(counter.entries_.begin(), counter.entries_.end(),
              [](const CounterEntry& a, const CounterEntry& b) { return a.origin < b.origin; });
    CheckValue(counter);
    return Encode(counter);
  }
  // The value may be left out, but not contradict the sites' totals.
  void CheckValue(const Counter& counter) {
    const Json* said = json_.Member("value");
    if (said == nullptr) {
      return;
    }
    ++taken_;
    Result<int64_t> value = counter.Value();
    bool absent = said->kind == Json::Kind::kNull;
    if (!value.ok() || absent) {
      Require(absent && !value.ok());
      return;
    }
    uint64_t bits = said->negative ? ~said->magnitude + 1 : said->magnitude;
    bool negative = value.value() < 0;
    Require(said->kind == Json::Kind::kNumber && bits == static_cast<uint64_t>(value.value()) &&
            (said->negative && said->magnitude > 0) == negative);
  }

  std::string ReadGSet() {
    GSet set;
    for (std::string_view element : Strings("elements")) {
      set.Add(element);
    }
    return Encode(set);
  }

  std::string ReadTwoPSet() {
    TwoPSet set;
    std::vector<std::string_view> live = Strings("elements");
    for (std::string_view element : Strings("removed")) {
      Require(set.Add(element).ok());
      set.Remove(element);
    }
    for (std::string_view element : live) {
      Require(set.Add(element).ok());
    }
    return Encode(set);
  }

  std::string ReadOrSet() {
    OrSet set;
    ReadSeen(set.generation_, set.seen_);
    for (const Json& item : Take("elements", Json::Kind::kArray).items) {
      const Json* value = item.Member("value");
      const Json* dots = item.Member("dots");
      Require(item.names.size() == 2 && value != nullptr && dots != nullptr &&
              value->kind == Json::Kind::kString && dots->kind == Json::Kind::kArray);
      if (!ok_) {
        return {};
      }
      OrSet::Element element{value->text, {}};
      for (const Json& dot : dots->items) {
        element.dots.push_back(ReadDot(&dot));
      }
      std::sort(element.dots.begin(), element.dots.end());
      set.elements_.push_back(std::move(element));
    }
    std::sort(set.elements_.begin(), set.elements_.end(),
              [](const OrSet::Element& a, const OrSet::Element& b) { return a.value < b.value; });
    return Encode(set);
  }

  std::string ReadMvRegister() {
    MvRegister value;
    ReadSeen(value.generation_, value.seen_);
    for (const Json& item : Take("values", Json::Kind::kArray).items) {
      Require(item.names.size() == 2);
      value.versions_.push_back({ReadDot(item.Member("dot")), Optional(item.Member("value"))});
    }
    std::sort(value.versions_.begin(), value.versions_.end(),
              [](const auto& a, const auto& b) { return a.dot < b.dot; });
    return Encode(value);
  }

  const Json& json_;
  std::size_t taken_ = 0;
  bool ok_ = true;
};

Result<std::string> ToJson(std::string_view bytes) {
  std::optional<Type> type = TypeOf(bytes);
  if (!type) {
    return Status::Error(replication::kErrMalformedState, "not a replicated value");
  }
  auto print = [](const auto& value, auto form) -> Result<std::string> {
    if (!value.ok()) {
      return value.status();
    }
    return form(value.value());
  };
  switch (*type) {
    case Type::kLwwRegister:
      return print(LwwRegister::Decode(bytes), LwwRegisterToJson);
    case Type::kGCounter:
    case Type::kPnCounter:
      return print(Counter::Decode(*type, bytes), CounterToJson);
    case Type::kGSet:
      return print(GSet::Decode(bytes), GSetToJson);
    case Type::kTwoPSet:
      return print(TwoPSet::Decode(bytes), TwoPSetToJson);
    case Type::kOrSet:
      return print(OrSet::Decode(bytes), OrSetToJson);
    case Type::kMvRegister:
      return print(MvRegister::Decode(bytes), MvRegisterToJson);
  }
  CheckFailed(__FILE__, __LINE__, "a replicated type");
}

Result<std::string> FromJson(Type type, std::string_view text) {
  std::optional<Json> json = ParseJson(text);
  if (json) {
    JsonForms form(*json);
    std::string bytes = form.Read(type);
    if (form.ok() && Validate(type, bytes).ok()) {
      return bytes;
    }
  }
  return Status::Error(replication::kErrMalformedState,
                       "text is no value of type " + std::string(InfoOf(type).name));
}

}  // namespace pgquorum::crdt
