#pragma once

#include "extension/pg/pg.h"

namespace pgquorum::replication::server {

// Main loop of the process; the database is in bgw_extra.
[[noreturn]] void RunHousekeeper();

}  // namespace pgquorum::replication::server
