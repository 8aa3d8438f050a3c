#include "base/crc32c.h"

#include <array>
#include <cstddef>
#include <cstring>

#include "base/pure.h"

namespace pgquorum {
namespace {

constexpr uint32_t kPolynomialReversed = 0x82F63B78;

constexpr std::array<uint32_t, 256> MakeTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) {
      crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomialReversed : 0);
    }
    table[i] = crc;
  }
  return table;
}

constexpr std::array<uint32_t, 256> kTable = MakeTable();

uint32_t Portable(const char* data, std::size_t size, uint32_t crc) {
  for (std::size_t i = 0; i < size; ++i) {
    crc = (crc >> 8) ^ kTable[(crc ^ static_cast<unsigned char>(data[i])) & 0xFF];
  }
  return crc;
}

#if defined(__x86_64__)
// Compiled for SSE 4.2 and chosen at run time, so that one binary runs on every x86-64.
__attribute__((target("sse4.2"))) uint32_t Hardware(const char* data, std::size_t size,
                                                    uint32_t crc) {
  uint64_t wide = crc;
  while (size >= sizeof(uint64_t)) {
    uint64_t word;
    std::memcpy(&word, data, sizeof(word));
    wide = __builtin_ia32_crc32di(wide, word);
    data += sizeof(word);
    size -= sizeof(word);
  }
  crc = static_cast<uint32_t>(wide);
  for (; size > 0; --size, ++data) {
    crc = __builtin_ia32_crc32qi(crc, static_cast<unsigned char>(*data));
  }
  return crc;
}
#endif

}  // namespace

uint32_t Crc32c(std::string_view data, uint32_t seed) {
  uint32_t crc = ~seed;
#if defined(__x86_64__)
  static const bool has_sse42 = __builtin_cpu_supports("sse4.2") != 0;
  if (has_sse42) {
    return ~Hardware(data.data(), data.size(), crc);
  }
#endif
  return ~Portable(data.data(), data.size(), crc);
}

}  // namespace pgquorum
