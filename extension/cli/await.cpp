#include "extension/cli/await.h"

#include <thread>

namespace pgquorum::cli {

void Pause(std::chrono::milliseconds time) {
  std::this_thread::sleep_for(time);
}

}  // namespace pgquorum::cli
