#include "raftlog/sim/node_disk.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/storage/errors.h"
#include "raftlog/storage/errors.h"
#include "raftlog/storage/log_format.h"

#include "base/pure.h"

namespace pgquorum::raft::sim {
namespace {

constexpr uint64_t kClusterId = 0x51;
constexpr uint64_t kSectorBytes = 512;

std::string Describe(const HardState& state) {
  return "term " + std::to_string(state.term.value()) + " vote " +
         std::to_string(state.vote.value());
}

std::pair<Term, Index> Position(const LogTerms& terms) {
  return {terms.last_term(), terms.last()};
}

}  // namespace

NodeDisk::NodeDisk(NodeId id, const Bootstrap* founding, const DiskBugs& bugs,
                   uint32_t spare_segments)
    : id_(id),
      founding_(founding),
      bugs_(bugs),
      spare_segments_(spare_segments),
      path_("node" + std::to_string(id.value())) {}

Status NodeDisk::OpenStores() {
  fs_.LoseSyncs(bugs_.forget_synced_tail);
  Result<std::unique_ptr<StateDirectory>> directory =
      StateDirectory::Open(fs_, path_, {kClusterId, id_}, false);
  if (!directory.ok()) {
    return directory.status();
  }
  directory_ = std::move(directory).value();
  Result<std::unique_ptr<SnapshotStore>> snapshots = SnapshotStore::Open(fs_, path_, kClusterId);
  if (!snapshots.ok()) {
    return snapshots.status();
  }
  snapshots_ = std::move(snapshots).value();
  LogStoreOptions options;
  options.segment_bytes = 65'536;
  options.spare_segments = spare_segments_;
  Result<std::unique_ptr<LogStore>> log = LogStore::Open(*directory_, *snapshots_, options);
  if (!log.ok()) {
    return log.status();
  }
  log_ = std::move(log).value();
  return founding_ != nullptr && log_->pristine() ? log_->WriteBootstrap(*founding_) : Status::Ok();
}

std::string NodeDisk::Open() {
  Status status = OpenStores();
  if (!status.ok()) {
    return "node " + std::to_string(id_.value()) + " cannot start: " + status.ToString();
  }
  std::string broken = CheckPromises();
  const RecoveredState& found = recovered();
  terms_ = LogTerms(found.first, found.last, found.snapshot.index, found.snapshot.term,
                    found.term_starts);
  snapshot_index_ = found.snapshot.index;
  hard_state_ = found.hard_state;
  refill_ = {found.refill_term, found.refill_index};
  unsure_ = false;
  spoiled_ = false;
  return broken;
}

std::string NodeDisk::CheckPromises() {
  const RecoveredState& found = recovered();
  std::string node = "disk of node " + std::to_string(id_.value());
  if (found_damage() && !spoiled_) {
    return node + " reports damage where there is none: " + log_->damage();
  }
  bool vote_kept = found.hard_state.vote == hard_state_.vote || !hard_state_.vote ||
                   (found.refill_term && found.hard_state.vote);
  if (found.hard_state.term < hard_state_.term ||
      (found.hard_state.term == hard_state_.term && !vote_kept)) {
    return node + " forgot a term or vote that was durable: has " + Describe(found.hard_state) +
           ", had " + Describe(hard_state_) + "; " + log_->damage();
  }
  if (unsure_) {
    return "";  // an unacknowledged write may have replaced a tail of the log
  }
  std::pair<Term, Index> before =
      std::max(Position(terms_), std::pair(refill_.term, refill_.index));
  LogTerms terms(found.first, found.last, found.snapshot.index, found.snapshot.term,
                 found.term_starts);
  std::pair<Term, Index> now =
      std::max(Position(terms), std::pair(found.refill_term, found.refill_index));
  return now < before ? node + " lost entries that were durable, and does not know" : "";
}

bool NodeDisk::Crash(Random& random, MemoryLoss loss) {
  bool torn = false;
  if (!group_.empty() && random.Chance(3, 4)) {
    fs_.FailAt(fs_.operations() + 1 + random.Below(6), MemoryFault::kCrash);
    uint64_t before = fs_.operations();
    (void)Carry();
    torn = fs_.operations() > before;
  }
  unsure_ = !idle() || unnoted_ > 0;
  unnoted_ = 0;
  queue_.clear();
  group_.clear();
  log_.reset();
  snapshots_.reset();
  directory_.reset();
  fs_.PowerCycle(random, loss);
  planned_ = DiskFault::kNone;
  failed_with_ = DiskFault::kNone;
  // A start may be interrupted as well.
  if (random.Chance(1, 8)) {
    fs_.FailAt(fs_.operations() + 1 + random.Below(8), MemoryFault::kCrash);
    (void)OpenStores();
    log_.reset();
    snapshots_.reset();
    directory_.reset();
    fs_.PowerCycle(random, loss);
  }
  return torn;
}

void NodeDisk::BeginGroup() {
  PGQUORUM_CHECK(group_.empty());
  while (!queue_.empty()) {
    bool alone = !queue_.front().persist;
    if (alone && !group_.empty()) {
      return;
    }
    group_.push_back(std::move(queue_.front()));
    queue_.pop_front();
    if (alone) {
      return;
    }
  }
}

Status NodeDisk::CarryBatches() {
  std::vector<const Persist*> batches;
  for (DiskJob& job : group_) {
    if (job.refill_done) {
      log_->RefillDone();
    }
    if (job.persist->install_snapshot && !bugs_.half_installed_snapshot) {
      Status published = snapshots_->Publish(*job.persist->install_snapshot);
      if (!published.ok()) {
        return published;
      }
    }
    if (bugs_.forget_vote) {
      job.persist->hard_state.reset();
    }
    batches.push_back(&*job.persist);
  }
  Status status = log_->Write(batches);
  for (DiskJob& job : group_) {
    if (status.ok() && job.persist->install_snapshot && bugs_.half_installed_snapshot) {
      status = snapshots_->Publish(*job.persist->install_snapshot);
    }
  }
  return status;
}

Status NodeDisk::Carry() {
  const DiskJob& job = group_.front();
  if (job.persist) {
    return CarryBatches();
  }
  if (job.mark) {
    bool older = job.mark->index <= log_->marked_snapshot();
    return older ? Status::Ok() : log_->MarkSnapshot(*job.mark);
  }
  Status status = log_->Release(std::min(job.release, log_->marked_snapshot()));
  if (status.ok() && job.keep.index == log_->marked_snapshot()) {
    status = snapshots_->RemoveOlder(job.keep.index);
  }
  return status;
}

void NodeDisk::NoteDurable(const DiskJob& job) {
  --unnoted_;
  if (job.refill_done) {
    refill_ = {};
  }
  if (job.mark) {
    snapshot_index_ = std::max(snapshot_index_, job.mark->index);
  }
  if (!job.persist) {
    return;
  }
  if (job.persist->hard_state) {
    hard_state_ = *job.persist->hard_state;
  }
  if (job.persist->install_snapshot) {
    snapshot_index_ = job.persist->install_snapshot->index;
    terms_.Reset(snapshot_index_, job.persist->install_snapshot->term);
  }
  if (!job.persist->entries.empty()) {
    terms_.TruncateFrom(job.persist->entries.front().index);
    for (const Entry& entry : job.persist->entries) {
      terms_.Append(entry.term);
    }
  }
}

Status NodeDisk::FinishGroup(std::vector<DiskJob>& done) {
  uint64_t now = fs_.operations();
  DiskFault fault = group_.front().persist ? planned_ : DiskFault::kNone;
  switch (fault) {
    case DiskFault::kNone:
      break;
    case DiskFault::kWriteError:
      fs_.FailAt(now + 1, MemoryFault::kIoError);
      break;
    case DiskFault::kNoSpace:
      fs_.FailAt(now + 1, MemoryFault::kNoSpace);
      break;
    case DiskFault::kShortWrite:
      fs_.FailAt(now + 1, MemoryFault::kShortWrite);
      break;
    case DiskFault::kSyncError:
      fs_.FailAt(now + 2, MemoryFault::kIoError);
      break;
    case DiskFault::kLaterError:
      fs_.FailAt(now + 3, MemoryFault::kIoError);
      break;
  }
  Status status = Carry();
  unnoted_ = group_.size();
  if (!status.ok()) {
    failed_with_ = fault;
    group_.clear();  // never tried again
    return status;
  }
  fs_.FailAt(0, MemoryFault::kIoError);
  done = std::exchange(group_, {});
  return status;
}

Status NodeDisk::Prove() {
  return log_->Prove();
}

Status NodeDisk::Save(const SnapshotMeta& meta, std::string_view data, bool no_space) {
  if (no_space) {
    fs_.FailAt(fs_.operations() + 2, MemoryFault::kNoSpace);  // after its creation
  }
  return snapshots_->Save(meta, data);
}

Result<uint64_t> NodeDisk::WritePiece(const SnapshotWrite& piece) {
  return snapshots_->WritePiece(piece.meta, piece.offset, piece.data);
}

Result<std::string> NodeDisk::ReadPiece(const SnapshotMeta& meta, uint64_t offset,
                                        uint64_t max_bytes) {
  if (offset == 0) {
    // A transfer begins: what has rotted must not be sent for ever.
    Result<SnapshotMeta> intact = snapshots_->Verify(meta.index, meta.term);
    if (!intact.ok()) {
      return intact.status();
    }
  }
  return snapshots_->ReadPiece(meta, offset, max_bytes);
}

bool NodeDisk::Vouches(Index index, Term term) const {
  return index <= snapshot_index_ || terms_.At(index) == term ||
         std::pair(term, index) <= std::pair(refill_.term, refill_.index);
}

// Parts of the segments of which a later, synced record says that they were durable. The last write
// may be a proof, which nothing has synced yet: then the one before it has the say.
std::vector<NodeDisk::Range> NodeDisk::ProvenRanges() {
  std::vector<Range> ranges;
  std::vector<uint64_t> segments;
  Result<std::vector<std::string>> names = fs_.List(path_);
  PGQUORUM_CHECK(names.ok());
  for (const std::string& name : names.value()) {
    if (std::optional<uint64_t> sequence = ParseSegmentName(name)) {
      segments.push_back(*sequence);
    }
  }
  for (uint64_t sequence : segments) {
    std::string path = JoinPath(path_, SegmentName(sequence));
    std::string content = fs_.Content(path);
    if (!DecodeSegmentHeader(content, kClusterId, id_, sequence).ok()) {
      continue;
    }
    uint32_t seed = SegmentSeed(kClusterId, id_, sequence);
    std::vector<uint64_t> watermarks;  // of each write: how far it says that all was durable
    uint64_t end = kSegmentHeaderBytes;
    bool ends_with_head = false;
    while (std::optional<Record> record =
               ParseRecord(std::string_view(content).substr(end), seed)) {
      ends_with_head = record->header.type == RecordType::kBatch;
      if (ends_with_head) {
        watermarks.push_back(end - std::min<uint64_t>(record->header.durable_back, end));
      }
      end += record->bytes;
    }
    if (sequence == segments.back()) {
      std::size_t open = ends_with_head ? 2 : 1;
      end = watermarks.size() >= open ? watermarks[watermarks.size() - open] : 0;
    }
    // Its header too, as long as there is another segment to go on from.
    uint64_t begin = segments.size() > 1 ? 0 : kSegmentHeaderBytes;
    if (end > begin) {
      ranges.push_back({path, begin, end, sequence == segments.back()});
    }
  }
  return ranges;
}

Damage NodeDisk::Spoil(Random& random, bool& dies) {
  Damage damage = random.Chance(1, 2) ? Damage::kBitFlip : Damage::kLostWrite;
  if (snapshot_index_ && random.Chance(1, 4)) {
    std::string name = SnapshotStore::Name(snapshot_index_, terms_.At(snapshot_index_));
    Result<std::vector<std::string>> names = fs_.List(path_);
    if (std::find(names.value().begin(), names.value().end(), name) == names.value().end()) {
      return Damage::kNone;
    }
    std::string path = JoinPath(path_, name);
    fs_.FlipBit(path, random.Below(fs_.Content(path).size() * 8));
    dies = random.Chance(2, 3);
    spoiled_ = true;
    return Damage::kSnapshot;
  }
  std::vector<Range> ranges = ProvenRanges();
  if (ranges.empty()) {
    return Damage::kNone;
  }
  const Range& range = ranges[random.Below(ranges.size())];
  uint64_t at = random.Between(range.begin, range.end - 1);
  uint64_t how = damage == Damage::kBitFlip ? random.Below(8) : random.Between(1, 4);
  uint64_t begin = std::max(at / kSectorBytes * kSectorBytes, range.begin);
  dies = random.Chance(2, 3);
  if (range.newest && begin < kSegmentHeaderBytes && !(dies && idle())) {
    // The others may be released before that is found, and no header would be left to start from.
    dies = false;
    return Damage::kNone;
  }
  if (damage == Damage::kBitFlip) {
    fs_.FlipBit(range.path, at * 8 + how);
  } else {
    uint64_t end = std::min(begin + kSectorBytes * how, range.end);
    fs_.Overwrite(range.path, begin, std::string(end - begin, '\0'));
  }
  spoiled_ = true;
  return damage;
}

}  // namespace pgquorum::raft::sim
