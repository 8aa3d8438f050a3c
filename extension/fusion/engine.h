// The engine as one process of the server uses it: table and index access methods, functions, the
// worker.
//
//   Engine& engine = Use();                       may wait and may raise: no C++ object alive
//   pg::Boundary([&]() -> Status { … engine … });  engine calls; nothing of PostgreSQL in there
//
// Between two Boundary calls nothing is latched or pinned, so that is where waits, interrupts and
// PostgreSQL's calls belong.
//
// Pure headers first: include this before extension/pg/pg.h.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cachefusion/storage/storage.h"
#include "cachefusion/table/table_store.h"
#include "cachefusion/tx/transactions.h"
#include "cachefusion/tx/visibility.h"

#include "extension/fusion/latches.h"
#include "extension/fusion/memory.h"

namespace pgquorum::fusion::server {

// What belongs to the transaction that this process is in. transaction.cpp and segments.cpp change
// it.
struct OwnState {
  struct Word {
    int level;  // of the subtransaction
    TxWord word;
  };
  std::vector<Word> words;  // ascending; the first is the top level's
  bool prepared = false;    // PostgreSQL's commit record decides

  struct Segment {
    int level;
    uint64_t segment;
    bool created;  // goes at the abort; else at the commit
  };
  std::vector<Segment> segments;
  std::vector<uint32_t> databases;  // dropped: all their segments go at the commit
  bool snapshots = false;           // a commit number is in use
};

struct Engine {
  Engine();

  // The table's store. Not for segments of other kinds. An error when the storage lacks it.
  Result<TableStore*> Table(uint64_t segment);
  void ForgetTable(uint64_t segment) { tables.erase(segment); }

  ServerLatches latches;
  Storage storage;
  Transactions transactions;
  OwnTransactions own;
  Visibility visibility;
  OwnState mine;
  std::map<uint64_t, std::unique_ptr<TableStore>> tables;
  std::string scratch;  // a version read for a caller that copies it outside of C++ frames
  std::vector<ChainLink> chains;  // the same for chains
  // This process has made or dropped an index: files that a commit removes may stand for segments.
  // Not of one transaction: DROP INDEX CONCURRENTLY needs several.
  bool index_files = false;
  bool comparing = false;  // a comparison of an index runs, with pages latched
};

// The engine, attached on first use. Waits for the recovery; raises when fusion is not configured,
// the server is a standby, or the storage is not open. Every operation begins with it.
Engine& Use();
// The same for who only wants to know: null instead of waiting or raising.
Engine* UseIfOpen();
// The process has attached before; never raises.
Engine* Attached();

inline uint64_t SegmentOf(uint32_t database, uint32_t number) {
  return uint64_t{database} << 32 | number;
}

}  // namespace pgquorum::fusion::server
