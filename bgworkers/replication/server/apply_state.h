// What a worker that applies remembers, shared by its parts (apply_worker.cpp, apply_connect.cpp).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "bgworkers/replication/core/change/record.h"

#include "bgworkers/replication/server/apply_log.h"
#include "extension/pg/pg.h"

extern "C" {
#include "access/xlogdefs.h"
#include "datatype/timestamp.h"
#include "replication/origin.h"
}

struct pg_conn;

namespace pgquorum::replication::server {

// All of it lives as long as the process: an error jumps over frames, never over these.
struct Worker {
  uint16_t own_site = 0;
  uint16_t site = 0;
  char* conninfo = nullptr;
  char* group = nullptr;
  bool has_slot = false;
  RepOriginId origin = InvalidRepOriginId;

  pg_conn* link = nullptr;
  char* message = nullptr;  // libpq's memory
  std::map<uint32_t, RelationRecord> relations;
  Record record;

  bool in_transaction = false;
  bool skipping = false;
  BeginRecord begin;
  uint32_t rows = 0;
  uint64_t careful_lsn = 0;          // the transaction whose rows are tried one by one
  std::vector<RowRecord> postponed;  // of it: rows that may do once the others are there
  std::size_t postponed_before = 0;  // when they were last tried

  XLogRecPtr received = 0;   // everything up to here has been seen to
  XLogRecPtr local_end = 0;  // of the newest commit here
  XLogRecPtr told = 0;       // last position that the peer was told
  TimestampTz told_at = 0;
  TimestampTz reported_at = 0;

  const char* state = "connecting";
  std::string last_error;
  Activity activity = {};
  bool activity_changed = true;
};

extern Worker* g;

// Words of system.replication_peers.state. Reports a change at once.
void SetState(const char* state);

// The site's place in the group, from the catalogue; sets up the origin. Once, at start.
void ReadConfiguration();

// Opens the link, makes sure that it is the right site and has our slot, and starts the stream
// where the last transaction ended.
void Connect();

}  // namespace pgquorum::replication::server
