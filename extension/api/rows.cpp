#include "extension/api/rows.h"

#include <cinttypes>

namespace pgquorum::api {

void Row::Id(uint64_t value) {
  if (value == 0) {
    Null();
    return;
  }
  char text[17];
  snprintf(text, sizeof(text), "%016" PRIx64, value);
  Text(text);
}

}  // namespace pgquorum::api
