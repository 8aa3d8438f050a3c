// SQL area "version".
#include "extension/pg/pg.h"

extern "C" {
#include "utils/builtins.h"
}

#include "extension/version.h"

PGQUORUM_FUNCTION(pgquorum_version) {
  (void)fcinfo;
  PG_RETURN_TEXT_P(cstring_to_text(pgquorum::kVersion));
}
