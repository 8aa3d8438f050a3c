#include "bgworkers/failover/settings.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <optional>
#include <span>
#include <utility>

#include "base/pure.h"

namespace pgquorum::failover {
namespace {

enum class Unit { kNone, kMilliseconds, kBytes };

struct Knob {
  std::string_view name;
  Unit unit;
  int64_t low;
  int64_t high;
  std::function<void(Settings&, int64_t)> set;
  std::function<int64_t(const Settings&)> get;
};

template <TimeNs Settings::*Field>
Knob Time(std::string_view name, int64_t low_ms, int64_t high_ms) {
  return {name,
          Unit::kMilliseconds,
          low_ms,
          high_ms,
          [](Settings& s, int64_t v) { s.*Field = v * kMs; },
          [](const Settings& s) { return s.*Field / kMs; }};
}

template <auto Field>
Knob Number(std::string_view name, int64_t low, int64_t high, Unit unit = Unit::kNone) {
  return {name,
          unit,
          low,
          high,
          [](Settings& s, int64_t v) {
            s.*Field = static_cast<std::remove_reference_t<decltype(s.*Field)>>(v);
          },
          [](const Settings& s) { return static_cast<int64_t>(s.*Field); }};
}

// A setting whose values are words.
struct Choice {
  std::string_view name;
  std::string_view yes;
  std::string_view no;
  bool Settings::*field;
};
constexpr Choice kChoices[] = {
    {"pgquorum.replication_mode", "async", "quorum", &Settings::async},
    {"pgquorum.automatic_failover", "on", "off", &Settings::automatic_failover},
};

const Choice* FindChoice(std::string_view name) {
  for (const Choice& choice : kChoices) {
    if (choice.name == name) {
      return &choice;
    }
  }
  return nullptr;
}

std::span<const Knob> Knobs() {
  constexpr int64_t kTebibyte = int64_t{1} << 40;
  static const Knob kKnobs[] = {
      Time<&Settings::heartbeat_interval>("pgquorum.heartbeat_interval", 10, 60'000),
      Time<&Settings::failure_timeout>("pgquorum.failure_timeout", 150, 600'000),
      Time<&Settings::lease_duration>("pgquorum.lease_duration", 300, 600'000),
      Time<&Settings::clock_drift_margin>("pgquorum.clock_drift_margin", 1, 60'000),
      Time<&Settings::demote_timeout>("pgquorum.demote_timeout", 1000, 3'600'000),
      Time<&Settings::dead_voter_timeout>("pgquorum.dead_voter_timeout", 500, 3'600'000),
      Time<&Settings::switchover_timeout>("pgquorum.switchover_timeout", 500, 600'000),
      Time<&Settings::switchover_tail_timeout>("pgquorum.switchover_tail_timeout", 100, 60'000),
      Time<&Settings::appointment_timeout>("pgquorum.appointment_timeout", 500, 600'000),
      Time<&Settings::async_gather_time>("pgquorum.async_gather_time", 0, 60'000),
      Number<&Settings::max_switchover_lag>("pgquorum.max_switchover_lag", 0, kTebibyte,
                                            Unit::kBytes),
      Number<&Settings::max_failover_lag>("pgquorum.max_failover_lag", 0, kTebibyte, Unit::kBytes),
      Number<&Settings::max_join_lag>("pgquorum.max_join_lag", 0, kTebibyte, Unit::kBytes),
      Number<&Settings::wanted_acks>("pgquorum.synchronous_acks", 0, 63),
      Number<&Settings::min_acks>("pgquorum.minimum_acks", -1, 63),
      Number<&Settings::rewind_attempts>("pgquorum.rewind_attempts", 0, 100),
  };
  return kKnobs;
}

const Knob* FindKnob(std::string_view name) {
  for (const Knob& knob : Knobs()) {
    if (knob.name == name) {
      return &knob;
    }
  }
  return nullptr;
}

// The units of PostgreSQL's own settings, in the knob's.
std::optional<int64_t> Factor(Unit unit, std::string_view text) {
  using Pair = std::pair<std::string_view, int64_t>;
  static constexpr Pair kTimes[] = {{"", 1},         {"ms", 1},        {"s", 1000},
                                    {"min", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}};
  static constexpr Pair kSizes[] = {{"", 1},         {"B", 1},        {"kB", 1 << 10},
                                    {"MB", 1 << 20}, {"GB", 1 << 30}, {"TB", int64_t{1} << 40}};
  static constexpr Pair kPlain[] = {{"", 1}};
  std::span<const Pair> pairs = kPlain;
  if (unit == Unit::kMilliseconds) {
    pairs = kTimes;
  } else if (unit == Unit::kBytes) {
    pairs = kSizes;
  }
  for (const auto& [name, factor] : pairs) {
    if (name == text) {
      return factor;
    }
  }
  return std::nullopt;
}

// "1500", "1500ms", "2 s", "16MB".
std::optional<int64_t> ParseNumber(Unit unit, std::string_view text) {
  int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) {
    return std::nullopt;
  }
  std::string_view rest = text.substr(static_cast<std::size_t>(end - text.data()));
  while (!rest.empty() && rest.front() == ' ') {
    rest.remove_prefix(1);
  }
  std::optional<int64_t> factor = Factor(unit, rest);
  int64_t product = 0;
  if (!factor || __builtin_mul_overflow(value, *factor, &product)) {
    return std::nullopt;
  }
  return product;
}

std::string Range(const Knob& knob) {
  const char* unit = knob.unit == Unit::kMilliseconds ? " ms"
                     : knob.unit == Unit::kBytes      ? " bytes"
                                                      : "";
  return std::to_string(knob.low) + " to " + std::to_string(knob.high) + unit;
}

Status Invalid(std::string_view name, std::string_view value, const std::string& allowed) {
  return Status::Error("22023", "invalid value for \"" + std::string(name) + "\": \"" +
                                    std::string(value) + "\"")
      .WithDetail("allowed: " + allowed);
}

// One setting: validated, and stored when `settings` is given.
Status Handle(std::string_view name, std::string_view value, Settings* settings) {
  if (const Choice* choice = FindChoice(name)) {
    if (value != choice->yes && value != choice->no) {
      return Invalid(name, value, std::string(choice->yes) + ", " + std::string(choice->no));
    }
    if (settings != nullptr) {
      settings->*choice->field = value == choice->yes;
    }
    return Status::Ok();
  }
  if (const Knob* knob = FindKnob(name)) {
    std::optional<int64_t> number = ParseNumber(knob->unit, value);
    if (!number || *number < knob->low || *number > knob->high) {
      return Invalid(name, value, Range(*knob));
    }
    if (settings != nullptr) {
      knob->set(*settings, *number);
    }
  }
  return Status::Ok();
}

}  // namespace

Settings Settings::From(const std::map<std::string, std::string>& values) {
  Settings settings;
  for (const auto& [name, value] : values) {
    // A value that an older version accepted and this one does not keeps the default.
    [[maybe_unused]] Status ignored = Handle(name, value, &settings);
  }
  return settings;
}

Status Settings::Validate(std::string_view name, std::string_view value) {
  return Handle(name, value, nullptr);
}

bool Settings::IsKnown(std::string_view name) {
  return FindChoice(name) != nullptr || FindKnob(name) != nullptr;
}

std::vector<SettingText> Settings::List() const {
  const Settings defaults;
  std::vector<SettingText> list;
  for (const Knob& knob : Knobs()) {
    const char* unit = knob.unit == Unit::kMilliseconds ? "ms"
                       : knob.unit == Unit::kBytes      ? "B"
                                                        : "";
    list.push_back({std::string(knob.name), std::to_string(knob.get(*this)),
                    std::to_string(knob.get(defaults)), unit, Range(knob)});
  }
  for (const Choice& choice : kChoices) {
    auto text = [&choice](const Settings& s) {
      return std::string(s.*choice.field ? choice.yes : choice.no);
    };
    list.push_back({std::string(choice.name), text(*this), text(defaults), "",
                    std::string(choice.yes) + ", " + std::string(choice.no)});
  }
  std::sort(list.begin(), list.end(),
            [](const SettingText& a, const SettingText& b) { return a.name < b.name; });
  return list;
}

}  // namespace pgquorum::failover
