// What the settings of fusion mean in the engine's terms.
#pragma once

#include <cstdint>
#include <string>

#include "cachefusion/storage/storage.h"

namespace pgquorum::fusion::server {

// A server's own instance. Storages with several instances give others other numbers.
inline constexpr InstanceId kThisInstance{1};
inline constexpr std::size_t kRedoRingBytes = std::size_t{16} << 20;

// Whether pgquorum.fusion_storage is set.
bool Configured();
std::string Directory();
StorageSizes Sizes();
uint64_t MaxRedoBytes();

}  // namespace pgquorum::fusion::server
