// Segments come and go with PostgreSQL's transactions.
//
// The catalogs are the truth: a segment is a table's if a row of pg_class names it. A new segment
// is made at once and removed when its transaction aborts; a dropped one is removed when its
// transaction has committed. What a crash leaves in between is named by no catalog; its number may
// be given out again, and then what lies there is removed first.
//
// Include after extension/fusion/engine.h.
#pragma once

#include <vector>

#include "extension/fusion/engine.h"

extern "C" {
#include "utils/rel.h"
}

namespace pgquorum::fusion::server {

// Each raises.
// To the end of the transaction: shared by who makes or drops segments, exclusively by who compares
// them with the catalogs.
void LockSegments(int mode);
// Of all databases; in the current memory context.
const std::vector<uint64_t>& AllSegments(Engine& engine);
void MakeTableSegment(uint64_t segment);
// An index's, to be filled by its build: what lies there already is of an earlier build in this
// transaction, or of a crash. `index`: the relation.
void ClearIndexSegment(uint64_t segment, Oid index);
void RemoveAtCommit(uint64_t segment);
void EmptyTableSegment(uint64_t segment);  // of this very transaction: nobody else sees it

// Files of indexes come and go without the access method being told (REINDEX, TRUNCATE, ALTER TABLE
// that keeps one for a new index). What the commit removes of PostgreSQL's own empty files says
// which segments go.
void NoteReplacedIndexes();

// Object access: a relation or a database is about to be dropped.
void RelationDropped(Oid relation);
void DatabaseDropped(Oid database);

// Nothing is raised: what cannot be removed is left over, and logged.
void EndSegments(Engine& engine, bool committed);
void EndSegmentsOfSubtransaction(Engine& engine, int level, bool committed);

}  // namespace pgquorum::fusion::server
