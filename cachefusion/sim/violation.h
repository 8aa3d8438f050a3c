// A broken promise: ends the world it is found in.
#pragma once

#include <string>

namespace pgquorum::fusion::sim {

struct Violation {
  std::string text;
};

[[noreturn]] inline void Violated(std::string text) {
  throw Violation{std::move(text)};
}

}  // namespace pgquorum::fusion::sim

#include "base/pure.h"
