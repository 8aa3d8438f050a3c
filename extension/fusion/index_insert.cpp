// Putting a row's entry into an index, and the check of uniqueness.
#include "extension/fusion/index_am.h"

#include "extension/fusion/table_am.h"

extern "C" {
#include "access/genam.h"
#include "miscadmin.h"
#include "utils/rel.h"
}

#include "extension/fusion/owned.h"
#include "extension/pg/boundary.h"

namespace pgquorum::fusion::server {
namespace {

// What the rows behind equal keys are. Own changes count as committed.
class TableJudge : public RowJudge {
 public:
  TableJudge(Engine& engine, uint64_t segment) : engine_(engine), segment_(segment) {}

  Result<RowVerdict> Judge(RowAddress at) override {
    Result<TableStore*> table = engine_.Table(segment_);
    if (!table.ok()) {
      return table.status();
    }
    Result<std::string> version = table.value()->ReadVersion(at);
    if (!version.ok()) {
      return version.status();
    }
    if (version.value().empty()) {
      return RowVerdict{RowState::kGone, 0};
    }
    VersionHeader header = HeaderOfVersion(version.value());
    if (header.remover == header.creator && !OnlyLocked(header)) {
      // Made and removed by one (sub)transaction: whatever becomes of that, nobody else sees it.
      return RowVerdict{RowState::kNoMatter, 0};
    }
    TxWord other;
    Result<VersionState> state = engine_.visibility.StateOf(header, other);
    if (!state.ok()) {
      return state.status();
    }
    return VerdictOf(header, state.value(), other);
  }

 private:
  Result<RowVerdict> VerdictOf(const VersionHeader& header, VersionState state, TxWord other) {
    switch (state) {
      case VersionState::kLive:
        return RowVerdict{RowState::kLive, 0};
      case VersionState::kNotYet:
      case VersionState::kRemoving:
        return RowVerdict{RowState::kUndecided, other.bits()};
      default:
        break;
    }
    Result<bool> dead = engine_.visibility.IsDead(header, engine_.transactions.Horizon());
    if (!dead.ok()) {
      return dead.status();
    }
    return RowVerdict{dead.value() ? RowState::kGone : RowState::kNoMatter, 0};
  }

  Engine& engine_;
  uint64_t segment_;
};

OpenIndex& Opened(Engine& engine, Relation index, IndexInfo* info) {
  if (info->ii_AmCache == nullptr) {
    FindComparisons(index);
    info->ii_AmCache = NewIn<OpenIndex>(info->ii_Context, engine, index);
  }
  return *static_cast<OpenIndex*>(info->ii_AmCache);
}

Uniqueness UniquenessOf(IndexUniqueCheck check) {
  switch (check) {
    case UNIQUE_CHECK_NO:
      return Uniqueness::kNone;
    case UNIQUE_CHECK_YES:
      return Uniqueness::kFull;
    case UNIQUE_CHECK_PARTIAL:
      return Uniqueness::kPartial;
    case UNIQUE_CHECK_EXISTING:
      return Uniqueness::kOnly;
  }
  pg_unreachable();
}

}  // namespace

bool NeverConflicts(Relation index, const bool* nulls) {
  if (index->rd_index->indnullsnotdistinct) {
    return false;
  }
  for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); ++i) {
    if (nulls[i]) {
      return true;
    }
  }
  return false;
}

void RaiseDuplicate(Relation table, Relation index, IndexTuple key, bool building) {
  Datum values[INDEX_MAX_KEYS];
  bool nulls[INDEX_MAX_KEYS];
  index_deform_tuple(key, RelationGetDescr(index), values, nulls);
  char* text = BuildIndexValueDescription(index, values, nulls);
  if (building) {
    ereport(ERROR, (errcode(ERRCODE_UNIQUE_VIOLATION),
                    errmsg("could not create unique index \"%s\"", RelationGetRelationName(index)),
                    text != nullptr ? errdetail("Key %s is duplicated.", text)
                                    : errdetail("Duplicate keys exist."),
                    errtableconstraint(table, RelationGetRelationName(index))));
  }
  ereport(ERROR, (errcode(ERRCODE_UNIQUE_VIOLATION),
                  errmsg("duplicate key value violates unique constraint \"%s\"",
                         RelationGetRelationName(index)),
                  text != nullptr ? errdetail("Key %s already exists.", text) : 0,
                  errtableconstraint(table, RelationGetRelationName(index))));
  pg_unreachable();
}

bool InsertIntoIndex(Relation index, Datum* values, bool* nulls, ItemPointer tid, Relation table,
                     IndexUniqueCheck check, bool, IndexInfo* info) {
  Engine& engine = Use();
  Announce(engine);
  OpenIndex& opened = Opened(engine, index, info);
  IndexTuple key = FormKey(index, values, nulls);
  Uniqueness uniqueness = UniquenessOf(check);
  if (uniqueness != Uniqueness::kNone && NeverConflicts(index, nulls)) {
    if (uniqueness == Uniqueness::kOnly) {
      return true;
    }
    uniqueness = Uniqueness::kNone;
  }
  uint64_t segment = SegmentOf(table);
  InsertOutcome outcome;
  for (;;) {
    outcome = pg::Boundary([&] {
      TableJudge judge(engine, segment);
      return opened.tree.Insert({KeyOf(key), AddressOf(tid), {}}, uniqueness, &judge);
    });
    if (outcome.conflict != RowState::kUndecided || uniqueness == Uniqueness::kPartial) {
      break;
    }
    AwaitEnd(TxWord(outcome.holder), Patience::kWait);
    CHECK_FOR_INTERRUPTS();
  }
  bool unique = outcome.conflict == RowState::kNoMatter;
  if (!unique && uniqueness != Uniqueness::kPartial) {
    RaiseDuplicate(table, index, key, false);
  }
  pfree(key);
  // True for non-unique indexes means nothing; for the others: certainly unique.
  return unique;
}

}  // namespace pgquorum::fusion::server
