#include "extension/pg/pg.h"

extern "C" {
#include "utils/guc.h"
}

#include "extension/guc.h"

namespace pgquorum::guc {

#include "settings_definitions.inc"

void Define() {
#include "settings_calls.inc"
  MarkGUCPrefixReserved("pgquorum");
}

}  // namespace pgquorum::guc
