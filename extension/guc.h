// All settings of pgquorum, generated from registry/settings.
#pragma once

#include "settings.h"  // IWYU pragma: export

namespace pgquorum::guc {

// Defines every setting and reserves the prefix. Called once, from _PG_init.
void Define();

}  // namespace pgquorum::guc
