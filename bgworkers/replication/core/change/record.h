// Changes as bytes: the records in which a site's transactions travel and are stored.
//
// A transaction is a Begin, its rows, and a Commit that counts them; a Relation precedes the first
// row of its table in a stream. Each record stands alone (version, kind, body, checksum), so that a
// transaction of any size is produced and taken without being held in memory. FORMAT.md has the
// bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/status.h"
#include "bgworkers/replication/core/clock/hlc.h"
#include "bgworkers/replication/core/clock/origin.h"
#include "bgworkers/replication/core/conflict/decide.h"
#include "bgworkers/replication/core/conflict/pending.h"
#include "bgworkers/replication/core/conflict/row.h"

namespace pgquorum::replication {

inline constexpr uint8_t kRecordVersion = 2;
// The server's own bounds: columns of a table, bytes of a name, bytes of one value.
inline constexpr std::size_t kMaxColumns = 1600;
inline constexpr std::size_t kMaxName = 255;
inline constexpr std::size_t kMaxValue = std::size_t{1} << 30;

inline constexpr std::string_view kErrMalformedChange = "RX210";  // bytes that no version wrote

struct BeginRecord {
  Stamp stamp;              // of the transaction: its commit, and the site that committed it
  uint64_t commit_lsn = 0;  // place of the commit at its site; never zero
  bool operator==(const BeginRecord&) const = default;
};

struct RelationRecord {
  struct Column {
    std::string name;
    bool key = false;
    bool operator==(const Column&) const = default;
  };
  uint32_t id = 0;  // at the sender; names the table in the rows that follow
  std::string schema;
  std::string name;
  std::vector<Column> columns;  // at least one, and at least one of them key
  bool operator==(const RelationRecord&) const = default;
};

// What the writer of a row knew, as far as others cannot infer it.
struct Knowledge {
  // The newest write of the row that it knew, when somebody else had written it. Without it: the
  // writer's own site had, or it knew of none.
  std::optional<Stamp> base;
  Stamp life;                // of the replicated values (conflict/row.h); zero: the first
  VersionVector seen;        // strategies by causality: versions that it knew
  std::vector<Stamp> marks;  // column-level: when each column got its value, like the image
  bool operator==(const Knowledge&) const = default;

  bool empty() const { return !base && !life && seen.empty() && marks.empty(); }
};

struct RowRecord {
  Operation operation = Operation::kInsert;
  uint32_t relation = 0;
  Knowledge known;
  // One value a column, in text form. A deletion has those of the key, the others are null.
  Image image;
  bool operator==(const RowRecord&) const = default;
};

struct CommitRecord {
  uint64_t end_lsn = 0;  // progress of whoever has applied the transaction; never zero
  uint32_t rows = 0;
  bool operator==(const CommitRecord&) const = default;
};

using Record = std::variant<BeginRecord, RelationRecord, RowRecord, CommitRecord>;

// What a backend writes into the log just before a row, for whoever decodes it.
struct RowNote {
  uint32_t relation = 0;
  uint64_t key = 0;     // hash of the row's key
  bool insert = false;  // an INSERT … ON CONFLICT that ends as an update has left one that is void
  Knowledge known;      // stamps may be pending: those of the transaction itself
  bool operator==(const RowNote&) const = default;
};
void EncodeNote(const RowNote& note, std::string& out);
// kErrMalformedChange for anything that EncodeNote does not write.
Result<RowNote> DecodeNote(std::string_view bytes);
// Puts the stamp of the transaction in for what is pending.
void Resolve(Knowledge& known, const Stamp& transaction);

// Replaces what is in `out`, whose memory is used again.
void EncodeRecord(const Record& record, std::string& out);

// kErrMalformedChange for anything that EncodeRecord does not write.
Result<Record> DecodeRecord(std::string_view bytes);

}  // namespace pgquorum::replication

#include "base/pure.h"
