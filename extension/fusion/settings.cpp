#include "extension/fusion/settings.h"

#include "extension/guc.h"

namespace pgquorum::fusion::server {

bool Configured() {
  return guc::fusion_storage != nullptr && guc::fusion_storage[0] != '\0';
}

std::string Directory() {
  return guc::fusion_storage;
}

StorageSizes Sizes() {
  StorageSizes sizes;
  sizes.frames =
      static_cast<uint32_t>(static_cast<std::size_t>(guc::fusion_cache) * 1024 / kPageBytes);
  sizes.redo_ring_bytes = kRedoRingBytes;
  return sizes;
}

uint64_t MaxRedoBytes() {
  return static_cast<uint64_t>(guc::fusion_max_redo) << 20;
}

}  // namespace pgquorum::fusion::server
