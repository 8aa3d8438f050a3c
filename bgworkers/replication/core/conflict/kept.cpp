#include "bgworkers/replication/core/conflict/kept.h"

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "bgworkers/replication/core/errors.h"

#include "base/pure.h"

namespace pgquorum::replication {
namespace {

// 1 did not say whether replicated values are whole.
constexpr uint8_t kKeptVersion = 2;
constexpr std::size_t kMostVersions = 65'536;
// The server's own bounds.
constexpr std::size_t kMostColumns = 1600;
constexpr std::size_t kLongestValue = std::size_t{1} << 30;

// A value may be that of the table's row: it is not kept twice.
enum class Where : uint8_t { kNone, kHere, kInRow };

class Encoder {
 public:
  // `row`: what need not be repeated, or null.
  explicit Encoder(const TableRow* row) : row_(row) {}

  std::string State(const RowState& state) && {
    out_.U8(kKeptVersion);
    Optional(state.newest);
    Optional(state.deleted);
    Marks(state.marks);
    Values(state.columns);
    out_.U32(static_cast<uint32_t>(state.versions.size()));
    for (const Version& version : state.versions) {
      One(version);
    }
    state.seen.Encode(out_);
    At(state.merging.life);
    out_.Bool(state.merging.whole);
    Merged(state.merging.values);
    return std::move(out_).Take();
  }

 private:
  void At(const Stamp& stamp) {
    char bytes[kStampSize];
    EncodeStamp(stamp, bytes);
    out_.Raw({bytes, kStampSize});
  }
  void Optional(const std::optional<Version>& version) {
    out_.Bool(version.has_value());
    if (version) {
      One(*version);
    }
  }
  void One(const Version& version) {
    At(version.stamp);
    out_.Bool(version.deleted);
    Values(version.image);
    Marks(version.marks);
    version.seen.Encode(out_);
  }
  void Marks(const std::vector<Mark>& marks) {
    out_.U32(static_cast<uint32_t>(marks.size()));
    for (const Mark& mark : marks) {
      At(mark.stamp);
    }
  }
  void Place(Where where) { out_.U8(static_cast<uint8_t>(where)); }
  void Values(const Image& image) {
    if (image.empty() || (row_ != nullptr && image == row_->image)) {
      Place(image.empty() ? Where::kNone : Where::kInRow);
      return;
    }
    Place(Where::kHere);
    out_.U32(static_cast<uint32_t>(image.size()));
    for (const Value& value : image) {
      out_.U8(static_cast<uint8_t>(value.kind));
      out_.Bytes(value.data);
    }
  }
  void Merged(const std::vector<std::string>& values) {
    if (values.empty() || (row_ != nullptr && values == row_->merging)) {
      Place(values.empty() ? Where::kNone : Where::kInRow);
      return;
    }
    Place(Where::kHere);
    out_.U32(static_cast<uint32_t>(values.size()));
    for (const std::string& value : values) {
      out_.Bytes(value);
    }
  }

  const TableRow* row_;
  ByteWriter out_;
};

class Decoder {
 public:
  // `row`: the one that was there when it was written down, null when it has gone.
  Decoder(const Kept& kept, const TableRow* row)
      : in_(kept.state), writer_(kept.stamp), row_(row) {}

  std::optional<RowState> State() && {
    RowState state;
    uint8_t version = in_.U8();
    if (version == 0 || version > kKeptVersion) {
      return std::nullopt;
    }
    state.newest = Optional();
    state.deleted = Optional();
    state.marks = Marks();
    state.columns = Values();
    std::size_t count = in_.Count(kMostVersions, kStampSize);
    for (std::size_t i = 0; i < count && in_.ok(); ++i) {
      state.versions.push_back(One());
    }
    state.seen = Seen();
    state.merging.life = At();
    state.merging.whole = version == 1 ? HighestStamp(state) != state.merging.life : in_.Bool();
    state.merging.values = Merged();
    // Pending stamps are real ones now: the order that dots have may have changed.
    std::sort(state.versions.begin(), state.versions.end(),
              [](const Version& a, const Version& b) { return a.dot < b.dot; });
    return in_.Finished() ? std::optional(std::move(state)) : std::nullopt;
  }

 private:
  Stamp At() {
    char bytes[kStampSize];
    for (char& byte : bytes) {
      byte = static_cast<char>(in_.U8());
    }
    Stamp stamp = DecodeStamp({bytes, kStampSize});
    Resolve(stamp, writer_);
    return stamp;
  }
  VersionVector Seen() {
    VersionVector seen = VersionVector::Decode(in_);
    Resolve(seen, writer_);
    return seen;
  }
  std::optional<Version> Optional() { return in_.Bool() ? std::optional(One()) : std::nullopt; }
  Version One() {
    Version version;
    version.stamp = At();
    version.dot = DotOf(version.stamp);
    version.deleted = in_.Bool();
    version.image = Values();
    version.marks = Marks();
    version.seen = Seen();
    return version;
  }
  std::vector<Mark> Marks() {
    std::vector<Mark> marks(in_.Count(kMostColumns, kStampSize));
    for (Mark& mark : marks) {
      mark.stamp = At();
      mark.dot = DotOf(mark.stamp);
    }
    return marks;
  }
  Image Values() {
    switch (static_cast<Where>(in_.U8())) {
      case Where::kNone:
        return {};
      case Where::kInRow:
        return row_ == nullptr ? Image() : row_->image;
      case Where::kHere:
        break;
      default:
        in_.Fail();
    }
    Image image(in_.Count(kMostColumns, 5));
    for (Value& value : image) {
      uint8_t kind = in_.U8();
      if (kind > static_cast<uint8_t>(Value::Kind::kUnchanged)) {
        in_.Fail();
      }
      value = {static_cast<Value::Kind>(kind), std::string(in_.Bytes(kLongestValue))};
    }
    return image;
  }
  std::vector<std::string> Merged() {
    switch (static_cast<Where>(in_.U8())) {
      case Where::kNone:
        return {};
      case Where::kInRow:
        return row_ == nullptr ? std::vector<std::string>() : row_->merging;
      case Where::kHere:
        break;
      default:
        in_.Fail();
    }
    std::vector<std::string> values(in_.Count(kMostColumns, 4));
    for (std::string& value : values) {
      value = in_.Bytes(kLongestValue);
    }
    return values;
  }

  ByteReader in_;
  Stamp writer_;
  const TableRow* row_;
};

// A column that the table got since is null in what was written before.
void Widen(Version& version, const RowShape& shape) {
  if (!version.image.empty()) {
    version.image.resize(shape.columns);
  }
  if (!version.marks.empty()) {
    version.marks.resize(shape.columns);
  }
}

Result<RowState> Decoded(const Kept& kept, const TableRow* row, const RowShape& shape) {
  std::optional<RowState> decoded = Decoder(kept, row).State();
  if (!decoded) {
    return Status::Error(kErrMalformedState, "what is kept of a replicated row is damaged");
  }
  RowState state = std::move(*decoded);
  for (Version& version : state.versions) {
    Widen(version, shape);
  }
  if (state.newest) {
    Widen(*state.newest, shape);
  }
  if (!state.marks.empty()) {
    state.marks.resize(shape.columns);
    state.columns.resize(shape.columns);
  }
  if (!state.merging.values.empty()) {
    state.merging.values.resize(shape.merging_columns);
  }
  return state;
}

// What `row` is to somebody who knew `known` and wrote it.
Change WriteOf(const RowState& known, const TableRow& row, const Surroundings& around) {
  // Nobody knows when: from before anything was replicated.
  Stamp stamp = row.stamp ? row.stamp : Stamp{Hlc(1), Origin()};
  Operation operation = known.empty() ? Operation::kInsert : Operation::kUpdate;
  Change change = Write(operation, "", known, row.image, row.merging, DotOf(stamp), stamp, around);
  change.version.before.reset();
  return change;
}

// The table has lost the row behind our back: what is known of its deletions stays.
void Forget(RowState& state) {
  state.newest.reset();
  std::erase_if(state.versions, [](const Version& version) { return !version.deleted; });
  state.merging.values.clear();
}

// What no later change can meet.
void Trim(RowState& state, const TableRow* row, const RowShape& shape) {
  if (row == nullptr && !shape.column_level) {
    state.newest.reset();
  }
  for (Version& version : state.versions) {
    version.before.reset();
    if (version.deleted) {
      version.image.clear();
    }
  }
  if (state.newest) {
    state.newest->before.reset();
  }
  if (state.deleted) {
    state.deleted->image.clear();
    state.deleted->before.reset();
  }
}

}  // namespace

Result<RowState> Load(const Kept* kept, const TableRow* row, const Surroundings& around) {
  RowShape shape = around.policy.shape();
  RowState state;
  if (kept != nullptr) {
    bool same = row != nullptr && kept->writer == row->writer;
    Result<RowState> decoded = Decoded(*kept, same ? row : nullptr, shape);
    if (!decoded.ok()) {
      return decoded.status();
    }
    state = std::move(decoded).value();
    if (same) {
      return state;
    }
    if (row == nullptr) {
      if (kept->writer != 0) {
        Forget(state);
      }
      return state;
    }
  } else if (row == nullptr) {
    return state;
  }
  bool knew = kept != nullptr && kept->writer != 0;
  Change change = WriteOf(knew ? state : RowState(), *row, around);
  Status joined = Join(state, StateOf(change, shape), shape, around.folds);
  return joined.ok() ? Result<RowState>(std::move(state)) : joined;
}

Result<std::optional<std::string>> ToKeep(const Kept* kept, const RowState& after,
                                          const TableRow* row, const Surroundings& around) {
  RowShape shape = around.policy.shape();
  RowState wanted = after;
  Trim(wanted, row, shape);
  Result<RowState> found = Load(kept, row, around);
  if (!found.ok()) {
    return found.status();
  }
  Trim(found.value(), row, shape);
  if (found.value() == wanted && (row != nullptr || kept == nullptr || kept->writer == 0)) {
    return std::optional<std::string>();
  }
  // With columns that merge, what a column had before its newest value is compared to what is kept.
  return std::optional(Encoder(shape.column_level ? nullptr : row).State(wanted));
}

bool MustKeep(Operation operation, const Kept* kept, const RowShape& shape) {
  switch (operation) {
    case Operation::kDelete:
      return true;
    case Operation::kInsert:
      return kept != nullptr;
    case Operation::kUpdate:
      break;
  }
  return shape.column_level || (kept != nullptr && kept->writer == 0);
}

void Supersede(RowState& state, const Change& change, const RowShape& shape) {
  const Stamp& stamp = change.version.stamp;
  auto mine = [&](const Version& version) { return version.stamp == stamp; };
  if (state.merging.life == stamp && !state.merging.whole) {
    // A life that this transaction began, and to which nobody else has added yet: others may have,
    // and be heard first. The life stays known.
    state.merging.values.assign(state.merging.values.size(), {});
  }
  if (state.newest && mine(*state.newest)) {
    state.newest.reset();
  }
  if (state.deleted && mine(*state.deleted)) {
    state.deleted.reset();
  }
  const std::vector<Mark>& marks = change.version.marks;
  for (std::size_t i = 0; i < state.marks.size() && i < marks.size(); ++i) {
    if (state.marks[i].stamp == stamp && marks[i].stamp == stamp) {
      state.columns[i] = change.version.image[i];
    }
  }
  // Without a version of it here, somebody who had seen the transaction was heard first: that stays
  // seen, with all that he had seen of its site beside it.
  if (shape.by_causality && std::erase_if(state.versions, mine) > 0) {
    state.seen.Erase(stamp.origin);
    if (stamp.hlc.value() > 1) {
      state.seen.Raise(stamp.origin, stamp.hlc.value() - 1);
    }
  }
}

}  // namespace pgquorum::replication
