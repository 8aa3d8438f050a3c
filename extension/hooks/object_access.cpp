// Dispatcher of object_access_hook: indexes that are made, and what is dropped.
#include "extension/fusion/index_am.h"
#include "extension/fusion/segments.h"
#include "extension/pg/pg.h"

extern "C" {
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
}

#include "extension/hooks/hooks.h"

namespace pgquorum::hooks {

namespace {

object_access_hook_type g_next = nullptr;

void OnAccess(ObjectAccessType access, Oid catalog, Oid object, int part, void* argument) {
  if (g_next != nullptr) {
    g_next(access, catalog, object, part, argument);
  }
  if (access == OAT_POST_CREATE && catalog == RelationRelationId && part == 0) {
    fusion::server::AdoptIndex(object);
  }
  if (access != OAT_DROP || part != 0) {
    return;
  }
  if (catalog == RelationRelationId) {
    fusion::server::RelationDropped(object);
  } else if (catalog == DatabaseRelationId) {
    fusion::server::DatabaseDropped(object);
  }
}

}  // namespace

void InstallObjectAccess() {
  g_next = object_access_hook;
  object_access_hook = OnAccess;
}

}  // namespace pgquorum::hooks
