#pragma once

#include "extension/pg/pg.h"

namespace pgquorum::replication::server {

// Tries dead letters of the worker's site again that an administrator has asked for, each in a
// transaction of its own with the stamp that it came with. At most once a second, and outside of
// transactions only. What fails again stays, with the new reason.
void RetryDeadLetters();

}  // namespace pgquorum::replication::server
