#include "bgworkers/replication/core/crdt/assign.h"

#include <algorithm>

#include "bgworkers/replication/core/crdt/counter.h"
#include "bgworkers/replication/core/crdt/registry.h"
#include "bgworkers/replication/core/crdt/sets.h"
#include "bgworkers/replication/core/crdt/shown.h"
#include "bgworkers/replication/core/errors.h"

#include "base/pure.h"

namespace pgquorum::crdt {
namespace {

using replication::Dot;
using replication::Hlc;

Dot NextDot(const replication::VersionVector& seen, const Author& author) {
  return {author.origin, author.tick(seen.Of(author.origin))};
}

// Decodes, calls `change`, and encodes.
template <typename Value, typename Change>
Result<std::string> Changed(Result<Value> value, Change change) {
  if (!value.ok()) {
    return value.status();
  }
  Status status = change(value.value());
  return status.ok() ? Result<std::string>(Encode(value.value())) : status;
}

Status NotOfThisType(std::string_view what) {
  return Status::Error(replication::kErrInvalidValue, std::string(what));
}

Result<std::string> AssignCounter(Type type, std::string_view old, std::string_view wanted,
                                  const Author& author) {
  Result<Counter> target = Counter::Decode(type, wanted);
  Result<int64_t> value = target.ok() ? target.value().Value() : target.status();
  if (!value.ok()) {
    return value.status();
  }
  return Changed(Counter::Decode(type, old),
                 [&](Counter& counter) { return counter.Assign(author.origin, value.value()); });
}

// What is in one list of sorted texts and not in the other.
std::vector<std::string_view> Difference(const std::vector<OptionalText>& from,
                                         const std::vector<OptionalText>& other) {
  std::vector<std::string_view> difference;
  for (const OptionalText& text : from) {
    if (text && std::find(other.begin(), other.end(), text) == other.end()) {
      difference.push_back(*text);
    }
  }
  return difference;
}

Result<std::string> AssignSet(Type type, std::string_view old, std::string_view wanted,
                              const Author& author) {
  Result<std::vector<OptionalText>> before = ShownTexts(old);
  Result<std::vector<OptionalText>> after = ShownTexts(wanted);
  if (!before.ok() || !after.ok()) {
    return before.ok() ? after.status() : before.status();
  }
  std::vector<std::string_view> gone = Difference(before.value(), after.value());
  if (type == Type::kGSet && !gone.empty()) {
    return Status::Error(replication::kErrInvalidValue, "a grow-only set cannot lose elements")
        .WithHint("Use crdt.or_set for sets whose elements come and go.");
  }
  std::string kept(old);
  if (!gone.empty()) {
    Result<std::string> removed = RemoveElements(old, gone);
    if (!removed.ok()) {
      return removed;
    }
    kept = removed.value();
  }
  return AddElements(kept, Difference(after.value(), before.value()), author);
}

}  // namespace

Result<std::string> AddElements(std::string_view set, const std::vector<std::string_view>& elements,
                                const Author& author) {
  switch (TypeOf(set).value_or(Type::kLwwRegister)) {
    case Type::kGSet:
      return Changed(GSet::Decode(set), [&](GSet& value) {
        for (std::string_view element : elements) {
          value.Add(element);
        }
        return Status::Ok();
      });
    case Type::kTwoPSet:
      return Changed(TwoPSet::Decode(set), [&](TwoPSet& value) {
        Status status;
        for (auto e = elements.begin(); e != elements.end() && status.ok(); ++e) {
          status = value.Add(*e);
        }
        return status;
      });
    case Type::kOrSet:
      return Changed(OrSet::Decode(set), [&](OrSet& value) {
        Status status;
        for (auto e = elements.begin(); e != elements.end() && status.ok(); ++e) {
          status = value.Add(*e, NextDot(value.seen(), author));
        }
        return status;
      });
    default:
      return NotOfThisType("elements can be added to sets only");
  }
}

Result<std::string> RemoveElements(std::string_view set,
                                   const std::vector<std::string_view>& elements) {
  auto remove = [&](auto& value) {
    for (std::string_view element : elements) {
      value.Remove(element);
    }
    return Status::Ok();
  };
  switch (TypeOf(set).value_or(Type::kLwwRegister)) {
    case Type::kTwoPSet:
      return Changed(TwoPSet::Decode(set), remove);
    case Type::kOrSet:
      return Changed(OrSet::Decode(set), remove);
    default:
      return NotOfThisType("elements can be removed from sets only, and not from grow-only ones");
  }
}

Result<std::string> AssignText(std::string_view value, OptionalText text, const Author& author) {
  switch (TypeOf(value).value_or(Type::kGSet)) {
    case Type::kLwwRegister:
      return Changed(LwwRegister::Decode(value), [&](LwwRegister& reg) {
        Hlc now(author.tick(std::min(reg.stamp().hlc, replication::kHlcMax - 1).value()));
        reg.Assign({std::min(now, replication::kHlcMax), author.origin}, text);
        return Status::Ok();
      });
    case Type::kMvRegister:
      return Changed(MvRegister::Decode(value), [&](MvRegister& reg) {
        return reg.Assign(NextDot(reg.seen(), author), text);
      });
    default:
      return NotOfThisType("texts can be assigned to registers only");
  }
}

Result<std::string> AssignShown(std::string_view old, std::string_view wanted,
                                const Author& author) {
  Result<std::string> merged = Merge(old, wanted, FoldTable());
  if (!merged.ok() || merged.value() == wanted) {
    return merged;
  }
  switch (Type type = *TypeOf(old)) {
    case Type::kGCounter:
    case Type::kPnCounter:
      return AssignCounter(type, old, wanted, author);
    case Type::kGSet:
    case Type::kTwoPSet:
    case Type::kOrSet:
      return AssignSet(type, old, wanted, author);
    case Type::kLwwRegister:
    case Type::kMvRegister: {
      Result<std::vector<OptionalText>> texts = ShownTexts(wanted);
      if (!texts.ok()) {
        return texts.status();
      }
      // Concurrent values are resolved by choosing one; that is what assigning means.
      if (texts.value().size() != 1) {
        return Status::Error(replication::kErrInvalidValue,
                             "a register can be assigned one value only");
      }
      return AssignText(old, texts.value()[0], author);
    }
  }
  CheckFailed(__FILE__, __LINE__, "a replicated type");
}

}  // namespace pgquorum::crdt
