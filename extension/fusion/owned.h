// A C++ object that a memory context of PostgreSQL's owns: it is destroyed with the context's
// content, at the end of a scan or of a transaction that failed.
#pragma once

#include "extension/pg/pg.h"

#include "extension/pg/boundary.h"

namespace pgquorum::fusion::server {

// Arguments are taken by reference or by value of trivial types. Raises.
template <typename T, typename... Arguments>
T* NewIn(MemoryContext context, Arguments&... arguments) {
  struct Cell {
    MemoryContextCallback callback;
    T* object;
  };
  auto* cell = static_cast<Cell*>(MemoryContextAllocZero(context, sizeof(Cell)));
  pg::Boundary([&] { cell->object = new T(arguments...); });
  cell->callback.func = [](void* argument) { delete static_cast<Cell*>(argument)->object; };
  cell->callback.arg = cell;
  MemoryContextRegisterResetCallback(context, &cell->callback);
  return cell->object;
}

}  // namespace pgquorum::fusion::server
