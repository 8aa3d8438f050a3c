#include "bgworkers/replication/core/crdt/registers.h"

#include <algorithm>
#include <utility>

#include "bgworkers/replication/core/crdt/causal.h"
#include "bgworkers/replication/core/crdt/format.h"

#include "base/pure.h"

namespace pgquorum::crdt {

using replication::Hlc;
using replication::Stamp;

Result<LwwRegister> LwwRegister::Decode(std::string_view bytes) {
  FlatReader in(bytes);
  ReadHeader(Type::kLwwRegister, in);
  LwwRegister value;
  value.stamp_.hlc = Hlc(in.Number());
  value.stamp_.origin = in.ReadOrigin();
  value.value_ = ReadOptional(in);
  if (!in.Finished() || value.stamp_.hlc > replication::kHlcMax) {
    return Malformed(Type::kLwwRegister);
  }
  return value;
}

std::size_t LwwRegister::EncodedSize() const {
  return 2 + NumberSize(stamp_.hlc.value()) + kOriginSize + OptionalSize(value_);
}

void LwwRegister::EncodeTo(std::span<char> bytes) const {
  FlatWriter out(bytes);
  WriteHeader(Type::kLwwRegister, out);
  out.Number(stamp_.hlc.value());
  out.WriteOrigin(stamp_.origin);
  WriteOptional(value_, out);
}

void LwwRegister::Assign(const Stamp& stamp, OptionalText value) {
  bool newer = stamp > stamp_;
  Hlc after = stamp_.hlc < replication::kHlcMax ? stamp_.hlc + 1 : stamp_.hlc;
  stamp_ = newer ? stamp : Stamp{after, stamp.origin};
  value_ = value;
}

void LwwRegister::Join(const LwwRegister& other) {
  // No two assignments have one stamp; if a damaged site made it so, all sites still agree.
  if (std::pair(other.stamp_, other.value_) > std::pair(stamp_, value_)) {
    *this = other;
  }
}

Result<MvRegister> MvRegister::Decode(std::string_view bytes) {
  FlatReader in(bytes);
  ReadHeader(Type::kMvRegister, in);
  MvRegister value;
  value.generation_ = in.Number();
  value.seen_ = ReadVector(in);
  std::size_t count = in.Count(kOriginSize + 2);
  value.versions_.reserve(count);
  for (std::size_t i = 0; i < count && in.ok(); ++i) {
    Version version;
    version.dot = in.ReadDot();
    version.value = ReadOptional(in);
    bool sorted = i == 0 || value.versions_.back().dot < version.dot;
    if (!sorted || !Consistent(value.seen_, value.generation_, version.dot)) {
      in.Fail();
    }
    value.versions_.push_back(version);
  }
  if (!in.Finished()) {
    return Malformed(Type::kMvRegister);
  }
  return value;
}

std::size_t MvRegister::EncodedSize() const {
  std::size_t size = 2 + NumberSize(generation_) + VectorSize(seen_) + NumberSize(versions_.size());
  for (const Version& version : versions_) {
    size += DotSize(version.dot) + OptionalSize(version.value);
  }
  return size;
}

void MvRegister::EncodeTo(std::span<char> bytes) const {
  FlatWriter out(bytes);
  WriteHeader(Type::kMvRegister, out);
  out.Number(generation_);
  WriteVector(seen_, out);
  out.Number(versions_.size());
  for (const Version& version : versions_) {
    out.WriteDot(version.dot);
    WriteOptional(version.value, out);
  }
}

Status MvRegister::Assign(const Dot& dot, OptionalText value) {
  Status taken = TakeDot(seen_, dot);
  if (taken.ok()) {
    versions_ = {Version{dot, value}};
  }
  return taken;
}

Status MvRegister::Join(const MvRegister& other, const FoldTable& folds) {
  Status known = CheckGenerations(generation_, other.generation_, folds);
  if (!known.ok()) {
    return known;
  }
  Seen mine(seen_, generation_, folds);
  Seen theirs(other.seen_, other.generation_, folds);
  std::vector<Version> joined;
  auto a = versions_.begin();
  auto b = other.versions_.begin();
  while (a != versions_.end() || b != other.versions_.end()) {
    if (b == other.versions_.end() || (a != versions_.end() && a->dot < b->dot)) {
      if (!theirs.Covers(a->dot)) {
        joined.push_back(*a);
      }
      ++a;
    } else if (a == versions_.end() || b->dot < a->dot) {
      if (!mine.Covers(b->dot)) {
        joined.push_back(*b);
      }
      ++b;
    } else {
      joined.push_back(
          std::max(*a, *b, [](const Version& x, const Version& y) { return x.value < y.value; }));
      ++a;
      ++b;
    }
  }
  versions_ = std::move(joined);
  seen_.Merge(other.seen_);
  generation_ = std::max(generation_, other.generation_);
  EraseFolded(seen_, folds, generation_);
  return Status::Ok();
}

void MvRegister::Fold(const FoldTable& folds) {
  generation_ = std::max(generation_, folds.generation());
  EraseFolded(seen_, folds, folds.generation());
}

}  // namespace pgquorum::crdt
