#include "raftlog/storage/log_recovery.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "raftlog/storage/errors.h"

#include "base/pure.h"

namespace pgquorum::raft {
namespace {

class Recovery {
 public:
  Recovery(FileSystem& fs, const std::string& directory, uint64_t cluster_id, NodeId node)
      : fs_(fs), directory_(directory), cluster_id_(cluster_id), node_(node) {}

  Result<LogImage> Run();

 private:
  struct Link {
    uint64_t sequence = 0;
    uint64_t limit = 0;  // the next link says that the log ends here; 0: the newest
  };

  Status ListSegments();
  Result<std::optional<SegmentHeader>> ReadHeader(uint64_t sequence);
  Status FindChain();
  Status FollowChain(uint64_t newest);
  Status Load(uint64_t sequence, std::string& content);
  Status Replay(const Link& link, bool oldest);
  bool ReplayHeader(const SegmentHeader& header, bool oldest);
  bool Apply(const Record& record, uint64_t offset);
  void JudgeTail(std::string_view content, uint64_t from, uint32_t seed);
  void Damaged(uint64_t sequence, uint64_t offset);
  void Collect(std::string_view content, uint64_t from, uint32_t seed);
  void Remember(const HardState& state);
  void Reached(Term term, Index index);
  void Marked(Index index, Term term);
  Status CollectFrom(uint64_t sequence);

  FileSystem& fs_;
  const std::string& directory_;
  uint64_t cluster_id_;
  NodeId node_;
  LogImage image_;
  std::vector<uint64_t> sequences_;  // ascending
  std::vector<Link> chain_;          // ascending
  std::vector<uint64_t> evidence_;   // segments behind a damaged one, ascending
  std::vector<uint64_t> in_chain_;
  bool any_header_ = false;  // among the evidence
};

Status Recovery::ListSegments() {
  Result<std::vector<std::string>> names = fs_.List(directory_);
  if (!names.ok()) {
    return names.status();
  }
  for (const std::string& name : names.value()) {
    if (std::optional<uint64_t> sequence = ParseSegmentName(name)) {
      sequences_.push_back(*sequence);
    }
  }
  std::sort(sequences_.begin(), sequences_.end());
  image_.last_sequence = sequences_.empty() ? 0 : sequences_.back();
  return Status::Ok();
}

Status Recovery::Load(uint64_t sequence, std::string& content) {
  Result<std::string> read =
      ReadWhole(fs_, JoinPath(directory_, SegmentName(sequence)), uint64_t{4} << 30);
  if (read.ok()) {
    content = std::move(read).value();
  }
  return read.status();
}

// Nothing when the file has no valid header.
Result<std::optional<SegmentHeader>> Recovery::ReadHeader(uint64_t sequence) {
  Result<std::unique_ptr<File>> file =
      fs_.Open(JoinPath(directory_, SegmentName(sequence)), OpenMode::kRead);
  if (!file.ok()) {
    return file.status();
  }
  std::string bytes(kSegmentHeaderBytes, '\0');
  Result<std::size_t> got = file.value()->Read(0, bytes.data(), bytes.size());
  if (!got.ok()) {
    return got.status();
  }
  bytes.resize(got.value());
  Result<SegmentHeader> header = DecodeSegmentHeader(bytes, cluster_id_, node_, sequence);
  if (header.ok()) {
    return std::optional(header.value());
  }
  if (header.status().sqlstate() == kErrDamaged) {
    return std::optional<SegmentHeader>();
  }
  return header.status();
}

// From the newest segment back. A header that does not verify is either one whose first write never
// finished, or damage: then the search goes on below it, and all above it is evidence.
Status Recovery::FindChain() {
  for (auto it = sequences_.rbegin(); it != sequences_.rend(); ++it) {
    Result<std::optional<SegmentHeader>> header = ReadHeader(*it);
    if (!header.ok()) {
      return header.status();
    }
    if (header.value()) {
      return FollowChain(*it);
    }
    std::string content;
    Status loaded = Load(*it, content);
    if (!loaded.ok()) {
      return loaded;
    }
    uint32_t seed = SegmentSeed(cluster_id_, node_, *it);
    bool proven = false;
    for (uint64_t at = kSegmentHeaderBytes; at < content.size(); at += kRecordAlignment) {
      std::optional<Record> record = ParseRecord(std::string_view(content).substr(at), seed);
      if (record && record->header.durable_back < at) {
        proven = true;
        break;
      }
    }
    if (proven) {
      image_.damage = "segment " + SegmentName(*it) + " has lost its header";
      evidence_.insert(evidence_.begin(), *it);
    }
  }
  return Status::Ok();
}

Status Recovery::FollowChain(uint64_t newest) {
  uint64_t sequence = newest;
  uint64_t limit = 0;
  while (std::binary_search(sequences_.begin(), sequences_.end(), sequence)) {
    Result<std::optional<SegmentHeader>> header = ReadHeader(sequence);
    if (!header.ok()) {
      return header.status();
    }
    if (!header.value()) {
      // A later header proves that this one was durable.
      image_.damage = "segment " + SegmentName(sequence) + " has lost its header";
      evidence_.insert(evidence_.begin(), sequence);
      for (const Link& link : chain_) {
        evidence_.push_back(link.sequence);
      }
      chain_.clear();
      auto below = std::lower_bound(sequences_.begin(), sequences_.end(), sequence);
      if (below == sequences_.begin()) {
        break;
      }
      sequence = *std::prev(below);
      limit = 0;
      continue;
    }
    chain_.insert(chain_.begin(), Link{sequence, limit});
    sequence = header.value()->previous_sequence;
    limit = header.value()->previous_end;
  }
  return Status::Ok();
}

bool Recovery::ReplayHeader(const SegmentHeader& header, bool oldest) {
  image_.hard_state = header.hard_state;
  image_.refill = header.refill;
  image_.snapshot = header.snapshot;
  image_.snapshot_term = header.snapshot_term;
  if (oldest) {
    image_.index.Reset(header.last, header.last_term);
    return true;
  }
  return header.last == image_.index.last();
}

bool Recovery::Apply(const Record& record, uint64_t offset) {
  const RecordHeader& h = record.header;
  switch (h.type) {
    case RecordType::kBatch: {
      std::optional<BatchHead> head = DecodeBatchHead(record.payload);
      if (!head || h.index != image_.index.last()) {
        return false;
      }
      image_.hard_state = head->hard_state;
      image_.refill = head->refill;
      return true;
    }
    case RecordType::kEntry:
      return image_.index.AddEntry(h.index, h.term, h.entry_type, offset);
    case RecordType::kSnapshot:
    case RecordType::kInstall:
      if (!DecodeSnapshotMarker(record.payload)) {
        return false;
      }
      image_.snapshot = h.index;
      image_.snapshot_term = h.term;
      if (h.type == RecordType::kInstall) {
        image_.index.Reset(h.index, h.term);
      }
      return true;
  }
  return false;
}

Status Recovery::Replay(const Link& link, bool oldest) {
  std::string path = JoinPath(directory_, SegmentName(link.sequence));
  std::string content;
  Status loaded = Load(link.sequence, content);
  if (!loaded.ok()) {
    return loaded;
  }
  Result<SegmentHeader> header = DecodeSegmentHeader(content, cluster_id_, node_, link.sequence);
  if (!header.ok()) {
    return header.status();  // it verified a moment ago: the disk answers differently each time
  }
  Result<std::unique_ptr<File>> file = fs_.Open(path, OpenMode::kReadWrite);
  if (!file.ok()) {
    return file.status();
  }
  image_.index.AddSegment(
      {link.sequence, std::move(file).value(), content.size(), kSegmentHeaderBytes, Index(), {}});
  LogSegment& segment = image_.index.segments().back();
  image_.synced = 0;
  uint32_t seed = SegmentSeed(cluster_id_, node_, link.sequence);
  uint64_t limit = link.limit == 0 ? content.size() : std::min(link.limit, content.size());
  std::string_view bytes = std::string_view(content).substr(0, limit);
  if (!ReplayHeader(header.value(), oldest)) {
    Damaged(link.sequence, segment.end);
    Collect(bytes, segment.end, seed);
    return Status::Ok();
  }
  while (segment.end < limit) {
    std::optional<Record> record = ParseRecord(bytes.substr(segment.end), seed);
    if (!record) {
      break;
    }
    if (!Apply(*record, segment.end)) {
      Damaged(link.sequence, segment.end);
      Collect(bytes, segment.end, seed);
      return Status::Ok();
    }
    uint64_t back = std::min<uint64_t>(record->header.durable_back, segment.end);
    image_.synced = std::max(image_.synced, segment.end - back);
    segment.end += record->bytes;
  }
  if (link.limit == 0) {
    JudgeTail(bytes, segment.end, seed);
  } else if (segment.end != link.limit) {
    Damaged(link.sequence, segment.end);
    Collect(bytes, segment.end, seed);
  }
  return Status::Ok();
}

// Records behind the end of the newest segment: leftovers of a write that never finished, or the
// proof that the bytes in between were durable.
void Recovery::JudgeTail(std::string_view content, uint64_t from, uint32_t seed) {
  LogTail tail = JudgeLogTail(content, from, seed, kMaxRecordPayloadBytes);
  if (tail.proven) {
    Damaged(image_.index.segments().back().sequence, from);
    Collect(content, from, seed);
    return;
  }
  // Leftovers would verify again once new records have filled the hole in front of them, so the
  // segment is closed; without any it is continued.
  image_.torn_bytes = tail.torn_bytes;
  image_.needs_segment = tail.torn_bytes > 0;
}

void Recovery::Damaged(uint64_t sequence, uint64_t offset) {
  if (image_.damage.empty()) {
    image_.damage =
        "segment " + SegmentName(sequence) + " is damaged at offset " + std::to_string(offset);
  }
}

void Recovery::Reached(Term term, Index index) {
  if (std::pair(term, index) > std::pair(image_.refill.term, image_.refill.index)) {
    image_.refill = {term, index};
  }
}

// What a snapshot holds is committed, so a later one is good whatever happened to the log.
void Recovery::Marked(Index index, Term term) {
  if (index > image_.snapshot) {
    image_.snapshot = index;
    image_.snapshot_term = term;
  }
}

void Recovery::Remember(const HardState& state) {
  HardState& known = image_.hard_state;
  if (state.term > known.term || (state.term == known.term && state.vote)) {
    known = state;
  }
}

// What is known of the part of the log that cannot be used: the term, the vote and the log's end
// that this node had promised.
void Recovery::Collect(std::string_view content, uint64_t from, uint32_t seed) {
  for (uint64_t at = std::max<uint64_t>(from, kSegmentHeaderBytes); at < content.size();
       at += kRecordAlignment) {
    std::optional<Record> record = ParseRecord(content.substr(at), seed);
    if (!record) {
      continue;
    }
    Reached(record->header.term, record->header.index);
    if (record->header.type == RecordType::kBatch) {
      if (std::optional<BatchHead> head = DecodeBatchHead(record->payload)) {
        Remember(head->hard_state);
        Reached(head->refill.term, head->refill.index);
      }
    } else if (record->header.type != RecordType::kEntry) {
      Marked(record->header.index, record->header.term);
    }
    at += record->bytes - kRecordAlignment;
  }
}

Status Recovery::CollectFrom(uint64_t sequence) {
  std::string content;
  Status loaded = Load(sequence, content);
  if (!loaded.ok()) {
    return loaded;
  }
  Result<SegmentHeader> header = DecodeSegmentHeader(content, cluster_id_, node_, sequence);
  if (header.ok()) {
    Remember(header.value().hard_state);
    Reached(header.value().last_term, header.value().last);
    Marked(header.value().snapshot, header.value().snapshot_term);
    any_header_ = true;
  }
  Collect(content, kSegmentHeaderBytes, SegmentSeed(cluster_id_, node_, sequence));
  return Status::Ok();
}

Result<LogImage> Recovery::Run() {
  Status status = ListSegments();
  if (status.ok()) {
    status = FindChain();
  }
  if (!status.ok()) {
    return status;
  }
  bool known_damage = !image_.damage.empty();
  std::size_t replayed = 0;
  for (; replayed < chain_.size(); ++replayed) {
    status = Replay(chain_[replayed], replayed == 0);
    if (!status.ok()) {
      return status;
    }
    in_chain_.push_back(chain_[replayed].sequence);
    if (!known_damage && !image_.damage.empty()) {
      break;
    }
  }
  for (std::size_t i = replayed + 1; i < chain_.size(); ++i) {
    evidence_.push_back(chain_[i].sequence);
  }
  std::sort(evidence_.begin(), evidence_.end());
  for (uint64_t sequence : evidence_) {
    status = CollectFrom(sequence);
    if (!status.ok()) {
      return status;
    }
  }
  if (chain_.empty() && !evidence_.empty() && !any_header_) {
    return Status::Error(kErrDamaged, "no segment of the Raft log is readable")
        .WithDetail(image_.damage)
        .WithHint("Remove this node from the cluster and let it join again under a new id.");
  }
  if (!image_.damage.empty()) {
    image_.needs_segment = true;
    Reached(image_.index.last_term(), image_.index.last());
    // The record that held a vote of this term may be among the lost: vote for nobody in it.
    if (!image_.hard_state.vote) {
      image_.hard_state.vote = node_;
    }
  }
  for (uint64_t sequence : sequences_) {
    if (!std::binary_search(in_chain_.begin(), in_chain_.end(), sequence)) {
      image_.unused.push_back(sequence);
    }
  }
  return std::move(image_);
}

}  // namespace

Result<LogImage> RecoverLog(FileSystem& fs, const std::string& directory, uint64_t cluster_id,
                            NodeId node) {
  return Recovery(fs, directory, cluster_id, node).Run();
}

}  // namespace pgquorum::raft
