#include "bgworkers/failover/settings.h"

#include <charconv>
#include <functional>
#include <span>

#include "base/pure.h"

namespace pgquorum::failover {
namespace {

struct Knob {
  std::string_view name;
  int64_t low;
  int64_t high;
  std::function<void(Settings&, int64_t)> set;
};

template <TimeNs Settings::*Field>
Knob Time(std::string_view name, int64_t low_ms, int64_t high_ms) {
  return {name, low_ms, high_ms, [](Settings& s, int64_t v) { s.*Field = v * kMs; }};
}

template <auto Field>
Knob Number(std::string_view name, int64_t low, int64_t high) {
  return {name, low, high, [](Settings& s, int64_t v) {
            s.*Field = static_cast<std::remove_reference_t<decltype(s.*Field)>>(v);
          }};
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
      Number<&Settings::max_switchover_lag>("pgquorum.max_switchover_lag", 0, kTebibyte),
      Number<&Settings::max_failover_lag>("pgquorum.max_failover_lag", 0, kTebibyte),
      Number<&Settings::max_join_lag>("pgquorum.max_join_lag", 0, kTebibyte),
      Number<&Settings::wanted_acks>("pgquorum.synchronous_acks", 0, 63),
      Number<&Settings::min_acks>("pgquorum.minimum_acks", -1, 63),
      Number<&Settings::rewind_attempts>("pgquorum.rewind_attempts", 0, 100),
  };
  return kKnobs;
}

bool ParseInt(std::string_view text, int64_t& value) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

Status Invalid(std::string_view name, std::string_view value, const std::string& allowed) {
  return Status::Error("22023", "invalid value for \"" + std::string(name) + "\": \"" +
                                    std::string(value) + "\"")
      .WithDetail("allowed: " + allowed);
}

// One setting: validated, and stored when `settings` is given.
Status Handle(std::string_view name, std::string_view value, Settings* settings) {
  if (name == "pgquorum.replication_mode") {
    if (value != "quorum" && value != "async") {
      return Invalid(name, value, "quorum, async");
    }
    if (settings != nullptr) {
      settings->async = value == "async";
    }
    return Status::Ok();
  }
  if (name == "pgquorum.automatic_failover") {
    if (value != "on" && value != "off") {
      return Invalid(name, value, "on, off");
    }
    if (settings != nullptr) {
      settings->automatic_failover = value == "on";
    }
    return Status::Ok();
  }
  for (const Knob& knob : Knobs()) {
    if (knob.name != name) {
      continue;
    }
    int64_t number = 0;
    if (!ParseInt(value, number) || number < knob.low || number > knob.high) {
      return Invalid(name, value, std::to_string(knob.low) + " to " + std::to_string(knob.high));
    }
    if (settings != nullptr) {
      knob.set(*settings, number);
    }
    return Status::Ok();
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

}  // namespace pgquorum::failover
