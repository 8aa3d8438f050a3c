#include "bgworkers/replication/core/crdt/format.h"

#include <string>

#include "bgworkers/replication/core/crdt/registry.h"
#include "bgworkers/replication/core/errors.h"

#include "base/pure.h"

namespace pgquorum::crdt {

replication::VersionVector ReadVector(FlatReader& in) {
  replication::VersionVector vector;
  std::size_t count = in.Count(kOriginSize + 1);
  Origin before;
  for (std::size_t i = 0; i < count; ++i) {
    Dot dot = in.ReadDot();
    if (!in.ok() || dot.origin <= before) {
      in.Fail();
      return {};
    }
    before = dot.origin;
    vector.Raise(dot);
  }
  return vector;
}

void WriteVector(const replication::VersionVector& vector, FlatWriter& out) {
  out.Number(vector.entries().size());
  for (const auto& entry : vector.entries()) {
    out.WriteDot({entry.origin, entry.sequence});
  }
}

std::size_t VectorSize(const replication::VersionVector& vector) {
  std::size_t size = NumberSize(vector.entries().size());
  for (const auto& entry : vector.entries()) {
    size += DotSize({entry.origin, entry.sequence});
  }
  return size;
}

Status Malformed(Type type) {
  return Status::Error(replication::kErrMalformedState,
                       "malformed value of type " + std::string(InfoOf(type).name));
}

}  // namespace pgquorum::crdt
