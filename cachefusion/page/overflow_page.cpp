#include "cachefusion/page/overflow_page.h"

#include <cstring>

#include "base/check.h"

#include "base/pure.h"

namespace pgquorum::fusion {

OverflowHeader OverflowOn(const char* page) {
  OverflowHeader header{};
  std::memcpy(&header, page + kPageHeaderBytes, sizeof(header));
  return header;
}

std::string_view OverflowData(const char* page) {
  return {page + kOverflowDataOffset, OverflowOn(page).length};
}

bool IsOfChain(const char* page, uint32_t head, uint64_t serial) {
  if (HeaderOf(page).version == 0 || HeaderOf(page).kind != PageKind::kOverflow) {
    return false;
  }
  OverflowHeader header = OverflowOn(page);
  return header.head == head && header.serial == serial;
}

void FormatOverflow(PageChange& change, const OverflowHeader& header, std::string_view data) {
  PGQUORUM_CHECK(data.size() == header.length && data.size() <= kOverflowBytes);
  change.Format(PageKind::kOverflow);
  change.Put(kPageHeaderBytes, header);
  if (!data.empty()) {
    change.Write(kOverflowDataOffset, data);
  }
  change.SetLower(kOverflowDataOffset + data.size());
}

void SetOverflowNext(PageChange& change, uint32_t next) {
  change.Put(kPageHeaderBytes + offsetof(OverflowHeader, next), next);
}

std::string_view FindOverflowFault(const char* page) {
  const PageHeader& header = HeaderOf(page);
  if (header.kind != PageKind::kOverflow) {
    return "not an overflow page";
  }
  OverflowHeader overflow = OverflowOn(page);
  if (overflow.length > kOverflowBytes || header.lower != kOverflowDataOffset + overflow.length) {
    return "overflow bytes out of bounds";
  }
  if (overflow.head == 0 || overflow.creator == 0 || overflow.total < overflow.length) {
    return "wrong overflow header";
  }
  return {};
}

}  // namespace pgquorum::fusion
