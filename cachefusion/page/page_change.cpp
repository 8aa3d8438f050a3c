#include "cachefusion/page/page_change.h"

#include <cstring>

#include "base/bytes.h"
#include "base/check.h"
#include "base/storage/errors.h"

#include "base/pure.h"

namespace pgquorum::fusion {
namespace {

// Flags, or the free-space fields and everything behind them.
bool MayChange(std::size_t offset, std::size_t length) {
  constexpr std::size_t kFlags = offsetof(PageHeader, flags);
  constexpr std::size_t kBounds = offsetof(PageHeader, lower);
  if (offset == kFlags) {
    return length <= sizeof(uint16_t);
  }
  return offset >= kBounds && offset <= kPageBytes && length <= kPageBytes - offset;
}

void FormatPage(char* page, PageKind kind, std::size_t special_bytes) {
  PageHeader& header = HeaderOf(page);
  header.kind = kind;
  header.flags = 0;
  std::memset(page + offsetof(PageHeader, lower), 0, kPageBytes - offsetof(PageHeader, lower));
  header.lower = static_cast<uint16_t>(kPageHeaderBytes);
  header.upper = static_cast<uint16_t>(kPageBytes - special_bytes);
  header.special = header.upper;
}

void Append(std::string& delta, PageOperation operation, const uint16_t* numbers, int count) {
  delta.push_back(static_cast<char>(operation));
  delta.append(reinterpret_cast<const char*>(numbers), sizeof(uint16_t) * unsigned(count));
}

}  // namespace

void PageChange::Write(std::size_t offset, std::string_view bytes) {
  PGQUORUM_CHECK(MayChange(offset, bytes.size()));
  uint16_t numbers[] = {static_cast<uint16_t>(offset), static_cast<uint16_t>(bytes.size())};
  Append(delta_, PageOperation::kWrite, numbers, 2);
  delta_.append(bytes);
  std::memmove(page_ + offset, bytes.data(), bytes.size());
}

void PageChange::Move(std::size_t to, std::size_t from, std::size_t length) {
  PGQUORUM_CHECK(MayChange(to, length) && MayChange(from, length));
  uint16_t numbers[] = {static_cast<uint16_t>(to), static_cast<uint16_t>(from),
                        static_cast<uint16_t>(length)};
  Append(delta_, PageOperation::kMove, numbers, 3);
  std::memmove(page_ + to, page_ + from, length);
}

void PageChange::Zero(std::size_t offset, std::size_t length) {
  PGQUORUM_CHECK(MayChange(offset, length));
  uint16_t numbers[] = {static_cast<uint16_t>(offset), static_cast<uint16_t>(length)};
  Append(delta_, PageOperation::kZero, numbers, 2);
  std::memset(page_ + offset, 0, length);
}

void PageChange::Format(PageKind kind, std::size_t special_bytes) {
  PGQUORUM_CHECK(special_bytes <= kPageBytes - kPageHeaderBytes);
  delta_.push_back(static_cast<char>(PageOperation::kFormat));
  delta_.push_back(static_cast<char>(kind));
  auto special = static_cast<uint16_t>(special_bytes);
  delta_.append(reinterpret_cast<const char*>(&special), sizeof(special));
  FormatPage(page_, kind, special_bytes);
}

void PageChange::SetBound(std::size_t field, std::size_t value) {
  PGQUORUM_CHECK(value >= kPageHeaderBytes && value <= kPageBytes);
  Put(field, static_cast<uint16_t>(value));
}

Status ApplyDelta(char* page, std::string_view delta) {
  ByteReader in(delta);
  auto take = [&](std::size_t length) {
    std::string_view bytes = delta.substr(delta.size() - in.remaining(), length);
    for (std::size_t i = 0; i < length; ++i) {
      in.U8();
    }
    return bytes;
  };
  while (in.ok() && in.remaining() > 0) {
    auto operation = static_cast<PageOperation>(in.U8());
    if (operation == PageOperation::kFormat) {
      auto kind = static_cast<PageKind>(in.U8());
      std::size_t special = in.U16();
      if (in.ok() && special <= kPageBytes - kPageHeaderBytes) {
        FormatPage(page, kind, special);
        continue;
      }
      in.Fail();
      break;
    }
    std::size_t first = in.U16();
    std::size_t second = operation == PageOperation::kMove ? in.U16() : first;
    std::size_t length = in.U16();
    bool fits = in.ok() && MayChange(first, length) && MayChange(second, length);
    if (fits && operation == PageOperation::kWrite && length <= in.remaining()) {
      std::memcpy(page + first, take(length).data(), length);
    } else if (fits && operation == PageOperation::kMove) {
      std::memmove(page + first, page + second, length);
    } else if (fits && operation == PageOperation::kZero) {
      std::memset(page + first, 0, length);
    } else {
      in.Fail();
    }
  }
  return in.ok() ? Status::Ok() : Status::Error(kErrDamaged, "malformed page delta in the redo");
}

}  // namespace pgquorum::fusion
