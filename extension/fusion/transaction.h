// Fusion's part of PostgreSQL's transactions.
//
// With a transaction id of PostgreSQL (catalog changes, sequences, rows of other tables, locks of
// foreign keys) the fusion part is prepared before PostgreSQL's commit record and published after
// it; a recovery asks PostgreSQL's commit log. Without one the fusion part commits by itself, with
// one flush, after everything that could still fail has passed.
//
// Include after extension/fusion/engine.h.
#pragma once

#include "extension/fusion/engine.h"

extern "C" {
#include "utils/snapshot.h"
}

namespace pgquorum::fusion::server {

// Who writes for `command` in the current subtransaction, which gets a word of its own on first
// use. Raises.
Writer CurrentWriter(uint32_t command);
// What a snapshot of the server sees. It gets its commit number here, unless the executor's hook
// has given it one before.
Snapshot SeenBy(SnapshotData* snapshot);

// Who walks through an index: no page that is deleted from now on is used again before the end of
// the transaction.
void Announce(Engine& engine);

// How long to wait for a row that another transaction holds.
enum class Patience { kWait, kNone };
// Waits until the transaction `word` has ended. False: it has not, and patience is none.
bool AwaitEnd(TxWord word, Patience patience);

// ---- hooks ------------------------------------------------------------------------------------

// At the start of each statement: its snapshot, and the transaction's, get their commit number.
void NoteSnapshot(SnapshotData* snapshot);
// SET TRANSACTION SNAPSHOT: the number does not come along with it, so fusion tables cannot be
// read.
void NoteImportedSnapshot();
// This transaction has changed something of fusion.
bool HasChanges();
void BeforePrepare();  // PREPARE TRANSACTION: raises when there are changes
void BeforeCommit();
void AfterCommit();
void AfterAbort();
void EndSubtransaction(bool committed);

}  // namespace pgquorum::fusion::server
