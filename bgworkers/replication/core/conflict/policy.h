// What the administrator has declared about conflicts, per group, table and kind of conflict.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "bgworkers/replication/core/conflict/row.h"

namespace pgquorum::replication {

enum class Strategy : uint8_t {
  kLastWriterWins,  // highest stamp
  kFirstWriteWins,  // lowest stamp among concurrent versions
  kPrimary,         // the designated site's version, else the highest stamp
  kCustom,          // the user's function
  kVectorClock,     // causality decides; what is concurrent goes to the highest stamp and is logged
  kMultiValue,      // the highest stamp is shown, the others are kept beside it until resolved
  kError,           // a conflict goes to the dead letters; the row stays as it is here
  kSkip,            // the same without a dead letter. Both leave sites different until mended
};

inline constexpr std::array<std::string_view, 8> kStrategyNames = {
    "last_writer_wins", "first_write_wins", "primary", "custom",
    "vector_clock",     "multi_value",      "error",   "skip"};

std::string_view NameOf(Strategy strategy);
std::optional<Strategy> StrategyNamed(std::string_view name);

enum class ConflictKind : uint8_t {
  kNone,
  kInsertInsert,   // one key, two inserts
  kUpdateUpdate,   // the row was changed meanwhile
  kUpdateDeleted,  // the change meets a deletion that it has not seen
  kDeleteUpdated,  // the deletion meets a change that it has not seen
  kTruncated,      // the change meets a TRUNCATE that it has not seen
};
inline constexpr std::size_t kConflictKinds = 6;
inline constexpr std::array<std::string_view, kConflictKinds> kConflictNames = {
    "none",           "insert_insert",  "update_update",
    "update_deleted", "delete_updated", "update_truncated"};

// What happens to the row that loses another unique key than the one it is addressed by.
enum class UniqueRule : uint8_t {
  kDisplace,  // it leaves the table, is kept, and returns when the key is free again
  kSetNull,   // the column becomes null
  kRename,    // the value gets a suffix made of the row's stamp
};

// What happens to a row whose parent was deleted at another site meanwhile.
enum class OrphanRule : uint8_t {
  kSetNull,       // the reference becomes null
  kCascade,       // the row goes as well
  kReviveParent,  // the parent comes back, as long as the reference stands
};

enum class KeyUpdateRule : uint8_t {
  kForbid,  // the statement fails at its site (default)
  kSplit,   // deletion of the old key and insert of the new one, with one stamp
};

struct CustomInput {
  const Image* base = nullptr;  // what both replaced, when it is one and known
  const Image* a = nullptr;     // null: deleted
  const Image* b = nullptr;
  Stamp a_stamp;  // below b_stamp
  Stamp b_stamp;
};
// Must be a pure function: it runs at every site. Nothing means: delete.
using CustomFunction = std::function<std::optional<Image>(const CustomInput&)>;
// Whether an image satisfies the table's CHECK constraints.
using CheckFunction = std::function<bool(const Image&)>;

struct TablePolicy {
  Strategy strategy = Strategy::kLastWriterWins;
  SiteId primary;
  bool column_level = false;
  std::size_t columns = 0;
  std::size_t merging_columns = 0;
  // Other treatment of single kinds: only kError and kSkip, the rest would make sites differ.
  std::array<std::optional<Strategy>, kConflictKinds> overrides;
  CustomFunction custom;
  CheckFunction check;  // may be empty
  UniqueRule unique_rule = UniqueRule::kDisplace;
  OrphanRule orphan_rule = OrphanRule::kSetNull;
  KeyUpdateRule key_update_rule = KeyUpdateRule::kForbid;

  RowShape shape() const {
    bool by_stamp = strategy == Strategy::kLastWriterWins || strategy == Strategy::kError ||
                    strategy == Strategy::kSkip;
    return {columns, merging_columns, !by_stamp, column_level};
  }
  // kErrInvalidValue with a hint for what does not fit together.
  Status Validate() const;
};

// A table's own strategy, or its group's.
Strategy EffectiveStrategy(Strategy group, std::optional<Strategy> table);

}  // namespace pgquorum::replication

#include "base/pure.h"
