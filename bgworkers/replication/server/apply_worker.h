// See apply_worker.cpp. The database's id is in the worker's bgw_extra.
#pragma once

#include <cstdint>

namespace pgquorum::replication::server {

[[noreturn]] void RunApplyWorker(uint16_t site);

}  // namespace pgquorum::replication::server
