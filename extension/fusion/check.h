// What is wrong with the fusion tables of this database: their pages and large values, the pages of
// indexes, indexes against their tables, segments that no catalog names.
//
// Include after extension/fusion/engine.h.
#pragma once

#include "extension/fusion/engine.h"

extern "C" {
#include "utils/rel.h"
}

namespace pgquorum::fusion::server {

struct Problems {
  void (*tell)(void* argument, const char* relation, const char* problem);
  void* argument;
};

// One table after the other, each while nobody changes it. Raises.
void CheckTables(const Problems& problems);
// While no transaction is making or dropping segments. `remove`: they go at once. Raises.
void CheckSegments(const Problems& problems, bool remove);

}  // namespace pgquorum::fusion::server
