// Deliberate defects for the simulator: a checker that has never caught anything proves nothing.
//
// In the shipped libraries every PGQUORUM_REPLICATION_BUG(x) is the constant false and leaves no
// code. The same sources are compiled a second time with PGQUORUM_REPLICATION_BUGS for
// multimaster_sim_bugs, where sim/bug_switch.cpp turns one of them on.
#pragma once

namespace pgquorum::replication {

enum class Bug {
  kNone,
  kCounterIgnoresIncarnation,  // a restored site goes on with its old totals
  kDotReuseAccepted,           // an identity that was seen before is taken as new
};

#ifdef PGQUORUM_REPLICATION_BUGS
bool BugEnabled(Bug bug);
#define PGQUORUM_REPLICATION_BUG(name) \
  (::pgquorum::replication::BugEnabled(::pgquorum::replication::Bug::name))
#else
#define PGQUORUM_REPLICATION_BUG(name) false
#endif

}  // namespace pgquorum::replication

#include "base/pure.h"
