#include "extension/fusion/segments.h"

#include <algorithm>

#include "extension/fusion/index_am.h"
#include "extension/fusion/table_am.h"

extern "C" {
#include "access/xact.h"
#include "catalog/storage.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/relcache.h"
#include "utils/relfilenodemap.h"
}

#include "extension/fusion/owned.h"
#include "extension/pg/boundary.h"

namespace pgquorum::fusion::server {
namespace {

// Beside transaction.cpp's class.
constexpr uint16_t kSegmentsClass = 18;

void Note(Engine& engine, uint64_t segment, bool created) {
  LockSegments(ShareLock);
  int level = GetCurrentTransactionNestLevel();
  pg::Boundary([&] { engine.mine.segments.push_back({level, segment, created}); });
}

void Remove(Engine& engine, uint64_t segment) {
  pg::ErrorText error = {};
  auto remove = [&]() -> Status {
    engine.ForgetTable(segment);
    return engine.storage.RemoveSegment(segment);
  };
  if (!pg::Attempt(remove, error)) {
    ereport(LOG, (errmsg("could not remove segment %u/%u of the fusion storage: %s",
                         static_cast<uint32_t>(segment >> 32), static_cast<uint32_t>(segment),
                         error.message)));
  }
}

void RemoveDatabase(Engine& engine, Oid database) {
  pg::ErrorText error = {};
  auto remove = [&]() -> Status {
    Result<std::vector<uint64_t>> segments = engine.storage.segments().List();
    if (!segments.ok()) {
      return segments.status();
    }
    for (uint64_t segment : segments.value()) {
      if (segment >> 32 == database) {
        Remove(engine, segment);
      }
    }
    return Status::Ok();
  };
  if (!pg::Attempt(remove, error)) {
    ereport(LOG, (errmsg("could not remove the fusion tables of database %u: %s", database,
                         error.message)));
  }
}

bool Exists(Engine& engine, uint64_t segment) {
  return pg::Boundary([&]() -> Result<bool> {
    Result<PageGuard> first = engine.storage.pages().Fetch({segment, 0}, LatchMode::kShared);
    return first.ok() ? Result<bool>(first.value().formatted()) : first.status();
  });
}

// A segment that exists where a new one is to be made.
void Clear(Engine& engine, uint64_t segment, Oid own) {
  if (!Exists(engine, segment)) {
    return;
  }
  Oid owner = RelidByRelfilenode(MyDatabaseTableSpace, static_cast<Oid>(segment));
  if (OidIsValid(owner) && owner != own) {
    ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
                    errmsg("the fusion segment of a new relation belongs to relation %u", owner)));
  }
  pg::Boundary([&]() -> Status { return engine.storage.RemoveSegment(segment); });
}

bool GoesAlready(const Engine& engine, uint64_t segment) {
  return std::any_of(
      engine.mine.segments.begin(), engine.mine.segments.end(),
      [&](const OwnState::Segment& entry) { return entry.segment == segment && !entry.created; });
}

}  // namespace

void LockSegments(int mode) {
  LOCKTAG tag;
  SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, 0, 0, kSegmentsClass);
  LockAcquire(&tag, mode, false, false);
}

const std::vector<uint64_t>& AllSegments(Engine& engine) {
  auto* found = NewIn<std::vector<uint64_t>>(CurrentMemoryContext);
  pg::Boundary([&]() -> Status {
    Result<std::vector<uint64_t>> all = engine.storage.segments().List();
    if (all.ok()) {
      *found = std::move(all).value();
    }
    return all.status();
  });
  return *found;
}

void MakeTableSegment(uint64_t segment) {
  Engine& engine = Use();
  Clear(engine, segment, InvalidOid);
  Note(engine, segment, true);
  pg::Boundary([&]() -> Status { return SegmentSpace(engine.storage, segment).Create(); });
}

void ClearIndexSegment(uint64_t segment, Oid index) {
  Engine& engine = Use();
  Clear(engine, segment, index);
  Note(engine, segment, true);
  engine.index_files = true;
}

void RemoveAtCommit(uint64_t segment) {
  Note(Use(), segment, false);
}

void EmptyTableSegment(uint64_t segment) {
  Engine& engine = Use();
  pg::Boundary([&]() -> Status {
    engine.ForgetTable(segment);
    Status removed = engine.storage.RemoveSegment(segment);
    return removed.ok() ? SegmentSpace(engine.storage, segment).Create() : removed;
  });
}

void RelationDropped(Oid relation) {
  if (Memory() == nullptr) {
    return;  // without a storage there is nothing to remove
  }
  Relation rel = RelationIdGetRelation(relation);
  if (!RelationIsValid(rel)) {
    return;
  }
  bool table = IsFusionTable(rel);
  bool index = IsFusionIndex(rel);
  uint64_t segment = SegmentOf(rel);
  RelationClose(rel);
  if (table) {
    RemoveAtCommit(segment);
  } else if (index) {
    Use().index_files = true;
  }
}

void NoteReplacedIndexes() {
  Engine* attached = Attached();
  if (attached == nullptr || !attached->index_files || UseIfOpen() == nullptr) {
    return;
  }
  Engine& engine = *attached;
  RelFileNode* files = nullptr;
  int count = smgrGetPendingDeletes(true, &files);
  for (int i = 0; i < count; ++i) {
    uint64_t segment = SegmentOf(files[i].dbNode, files[i].relNode);
    if (files[i].dbNode == MyDatabaseId && files[i].spcNode == MyDatabaseTableSpace &&
        !GoesAlready(engine, segment) && Exists(engine, segment)) {
      RemoveAtCommit(segment);
    }
  }
}

void DatabaseDropped(Oid database) {
  if (Memory() == nullptr) {
    return;
  }
  Engine& engine = Use();
  pg::Boundary([&] { engine.mine.databases.push_back(database); });
}

void EndSegments(Engine& engine, bool committed) {
  for (const OwnState::Segment& entry : engine.mine.segments) {
    if (entry.created != committed) {
      Remove(engine, entry.segment);
    }
  }
  for (uint32_t database : engine.mine.databases) {
    if (committed) {
      RemoveDatabase(engine, database);
    }
  }
  engine.mine.segments.clear();
  engine.mine.databases.clear();
}

void EndSegmentsOfSubtransaction(Engine& engine, int level, bool committed) {
  std::vector<OwnState::Segment>& segments = engine.mine.segments;
  for (OwnState::Segment& entry : segments) {
    if (entry.level < level) {
      continue;
    }
    if (committed) {
      entry.level = level - 1;
    } else if (entry.created) {
      Remove(engine, entry.segment);
    }
  }
  if (!committed) {
    std::erase_if(segments, [&](const OwnState::Segment& entry) { return entry.level >= level; });
  }
}

}  // namespace pgquorum::fusion::server
