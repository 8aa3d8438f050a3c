// What makes the worker library loadable.
#include "extension/pg/pg.h"

PGQUORUM_EXPORT const Pg_magic_struct* PG_MAGIC_FUNCTION_NAME(void);
const Pg_magic_struct* PG_MAGIC_FUNCTION_NAME(void) {
  static const Pg_magic_struct magic = PG_MODULE_MAGIC_DATA;
  return &magic;
}
