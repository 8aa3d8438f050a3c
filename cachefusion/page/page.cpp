#include "cachefusion/page/page.h"

#include <algorithm>
#include <string_view>

#include "base/crc32c.h"

#include "base/pure.h"

namespace pgquorum::fusion {
namespace {

uint32_t Checksum(const char* page) {
  return Crc32c(std::string_view(page + sizeof(uint32_t), kPageBytes - sizeof(uint32_t)));
}

}  // namespace

void SealPage(char* page) {
  HeaderOf(page).crc = Checksum(page);
}

PageCheck CheckPage(const char* page, PageId id) {
  const PageHeader& header = HeaderOf(page);
  if (header.version == 0) {
    bool zero = std::all_of(page, page + kPageBytes, [](char c) { return c == 0; });
    return zero ? PageCheck::kEmpty : PageCheck::kDamaged;
  }
  bool right = header.version >= kOldestPageFormatVersion && header.version <= kPageFormatVersion &&
               header.segment == id.segment && header.block == id.block &&
               header.crc == Checksum(page);
  return right ? PageCheck::kValid : PageCheck::kDamaged;
}

}  // namespace pgquorum::fusion
