#include "bgworkers/replication/core/change/record.h"

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "base/crc32c.h"

#include "base/pure.h"

namespace pgquorum::replication {
namespace {

enum class Kind : uint8_t {
  kBegin = 1,
  kRelation = 2,
  kInsert = 3,
  kUpdate = 4,
  kDelete = 5,
  kCommit = 6,
};

constexpr std::size_t kChecksumSize = 4;

void PutStamp(ByteWriter& out, const Stamp& stamp) {
  char bytes[kStampSize];
  EncodeStamp(stamp, bytes);
  out.Raw({bytes, kStampSize});
}

enum class Pending : bool { kRefused, kAllowed };

Stamp GetStamp(ByteReader& in, Pending pending = Pending::kRefused) {
  Stamp stamp;
  // Big endian, so that bytes compare like stamps; see EncodeStamp.
  char bytes[kStampSize];
  for (char& byte : bytes) {
    byte = static_cast<char>(in.U8());
  }
  stamp = DecodeStamp({bytes, kStampSize});
  bool is_time = stamp.hlc <= kHlcMax || (pending == Pending::kAllowed && IsPending(stamp));
  if (!stamp || !stamp.origin || !is_time) {
    in.Fail();
  }
  return stamp;
}

enum : uint8_t { kHasBase = 1, kHasLife = 2, kHasSeen = 4, kHasMarks = 8 };

void PutKnowledge(ByteWriter& out, const Knowledge& known) {
  out.U8(static_cast<uint8_t>((known.base ? kHasBase : 0) | (known.life ? kHasLife : 0) |
                              (known.seen.empty() ? 0 : kHasSeen) |
                              (known.marks.empty() ? 0 : kHasMarks)));
  if (known.base) {
    PutStamp(out, *known.base);
  }
  if (known.life) {
    PutStamp(out, known.life);
  }
  if (!known.seen.empty()) {
    known.seen.Encode(out);
  }
  if (!known.marks.empty()) {
    out.U32(static_cast<uint32_t>(known.marks.size()));
    for (const Stamp& mark : known.marks) {
      PutStamp(out, mark);
    }
  }
}

Knowledge GetKnowledge(ByteReader& in, Pending pending) {
  Knowledge known;
  uint8_t has = in.U8();
  if (has > (kHasBase | kHasLife | kHasSeen | kHasMarks)) {
    in.Fail();
  }
  if ((has & kHasBase) != 0) {
    known.base = GetStamp(in, pending);
  }
  if ((has & kHasLife) != 0) {
    known.life = GetStamp(in, pending);
  }
  if ((has & kHasSeen) != 0) {
    known.seen = VersionVector::Decode(in);
    if (known.seen.empty()) {
      in.Fail();
    }
  }
  if ((has & kHasMarks) != 0) {
    known.marks.resize(in.Count(kMaxColumns, kStampSize));
    for (Stamp& mark : known.marks) {
      mark = GetStamp(in, pending);
    }
    if (known.marks.empty()) {
      in.Fail();
    }
  }
  return known;
}

void Put(ByteWriter& out, const BeginRecord& begin) {
  out.U8(static_cast<uint8_t>(Kind::kBegin));
  PutStamp(out, begin.stamp);
  out.U64(begin.commit_lsn);
}

void Put(ByteWriter& out, const RelationRecord& relation) {
  out.U8(static_cast<uint8_t>(Kind::kRelation));
  out.U32(relation.id);
  out.Bytes(relation.schema);
  out.Bytes(relation.name);
  out.U32(static_cast<uint32_t>(relation.columns.size()));
  for (const RelationRecord::Column& column : relation.columns) {
    out.Bytes(column.name);
    out.Bool(column.key);
  }
}

void Put(ByteWriter& out, const RowRecord& row) {
  out.U8(static_cast<uint8_t>(static_cast<uint8_t>(Kind::kInsert) +
                              static_cast<uint8_t>(row.operation)));
  out.U32(row.relation);
  PutKnowledge(out, row.known);
  out.U32(static_cast<uint32_t>(row.image.size()));
  for (const Value& value : row.image) {
    out.U8(static_cast<uint8_t>(value.kind));
    if (value.kind == Value::Kind::kData) {
      out.Bytes(value.data);
    }
  }
}

void Put(ByteWriter& out, const CommitRecord& commit) {
  out.U8(static_cast<uint8_t>(Kind::kCommit));
  out.U64(commit.end_lsn);
  out.U32(commit.rows);
}

BeginRecord GetBegin(ByteReader& in) {
  BeginRecord begin;
  begin.stamp = GetStamp(in);
  begin.commit_lsn = in.U64();
  if (begin.commit_lsn == 0) {
    in.Fail();
  }
  return begin;
}

RelationRecord GetRelation(ByteReader& in) {
  RelationRecord relation;
  relation.id = in.U32();
  relation.schema = in.Bytes(kMaxName);
  relation.name = in.Bytes(kMaxName);
  std::size_t count = in.Count(kMaxColumns, 5);
  relation.columns.reserve(count);
  bool key = false;
  for (std::size_t i = 0; i < count && in.ok(); ++i) {
    RelationRecord::Column& column = relation.columns.emplace_back();
    column.name = in.Bytes(kMaxName);
    column.key = in.Bool();
    key = key || column.key;
  }
  if (!key || relation.schema.empty() || relation.name.empty()) {
    in.Fail();
  }
  return relation;
}

RowRecord GetRow(ByteReader& in, Operation operation) {
  RowRecord row;
  row.operation = operation;
  row.relation = in.U32();
  row.known = GetKnowledge(in, Pending::kRefused);
  std::size_t count = in.Count(kMaxColumns, 1);
  row.image.reserve(count);
  for (std::size_t i = 0; i < count && in.ok(); ++i) {
    switch (in.U8()) {
      case static_cast<uint8_t>(Value::Kind::kNull):
        row.image.push_back(Value::Null());
        break;
      case static_cast<uint8_t>(Value::Kind::kData):
        row.image.push_back(Value::Of(std::string(in.Bytes(kMaxValue))));
        break;
      case static_cast<uint8_t>(Value::Kind::kUnchanged):
        row.image.push_back(Value::Unchanged());
        break;
      default:
        in.Fail();
    }
  }
  if (count == 0) {
    in.Fail();
  }
  return row;
}

CommitRecord GetCommit(ByteReader& in) {
  CommitRecord commit;
  commit.end_lsn = in.U64();
  commit.rows = in.U32();
  if (commit.end_lsn == 0) {
    in.Fail();
  }
  return commit;
}

Record GetBody(ByteReader& in) {
  uint8_t kind = in.U8();
  switch (static_cast<Kind>(kind)) {
    case Kind::kBegin:
      return GetBegin(in);
    case Kind::kRelation:
      return GetRelation(in);
    case Kind::kInsert:
      return GetRow(in, Operation::kInsert);
    case Kind::kUpdate:
      return GetRow(in, Operation::kUpdate);
    case Kind::kDelete:
      return GetRow(in, Operation::kDelete);
    case Kind::kCommit:
      return GetCommit(in);
  }
  in.Fail();
  return Record();
}

Status Malformed(std::string detail) {
  return Status::Error(kErrMalformedChange, "malformed change record")
      .WithDetail(std::move(detail));
}

}  // namespace

void EncodeNote(const RowNote& note, std::string& out) {
  ByteWriter writer;
  writer.U8(kRecordVersion);
  writer.U32(note.relation);
  writer.U64(note.key);
  writer.Bool(note.insert);
  PutKnowledge(writer, note.known);
  out = std::move(writer).Take();
}

Result<RowNote> DecodeNote(std::string_view bytes) {
  ByteReader in(bytes);
  RowNote note;
  if (in.U8() != kRecordVersion) {
    return Malformed("It is a note of another version.");
  }
  note.relation = in.U32();
  note.key = in.U64();
  note.insert = in.Bool();
  note.known = GetKnowledge(in, Pending::kAllowed);
  return in.Finished() ? Result<RowNote>(std::move(note)) : Malformed("It is a damaged note.");
}

void Resolve(Knowledge& known, const Stamp& transaction) {
  if (known.base) {
    Resolve(*known.base, transaction);
  }
  Resolve(known.life, transaction);
  Resolve(known.seen, transaction);
  for (Stamp& mark : known.marks) {
    Resolve(mark, transaction);
  }
}

void EncodeRecord(const Record& record, std::string& out) {
  ByteWriter writer;
  writer.U8(kRecordVersion);
  std::visit([&](const auto& body) { Put(writer, body); }, record);
  writer.U32(Crc32c(writer.data()));
  out = std::move(writer).Take();
}

Result<Record> DecodeRecord(std::string_view bytes) {
  if (bytes.size() < kChecksumSize + 2) {
    return Malformed("It is shorter than any record.");
  }
  std::string_view body = bytes.substr(0, bytes.size() - kChecksumSize);
  ByteReader tail(bytes.substr(body.size()));
  if (tail.U32() != Crc32c(body)) {
    return Malformed("Its checksum does not match.");
  }
  ByteReader in(body);
  uint8_t version = in.U8();
  if (version != kRecordVersion) {
    return Malformed("It has version " + std::to_string(version) + ", this site reads version " +
                     std::to_string(kRecordVersion) + ".");
  }
  Record record = GetBody(in);
  if (!in.Finished()) {
    return Malformed("A field is out of bounds.");
  }
  return record;
}

}  // namespace pgquorum::replication
