#include "raftlog/test/model_disk.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/crc32c.h"

#include "base/pure.h"

namespace pgquorum::raft::test {

ModelDisk::ModelDisk(const Bootstrap& bootstrap)
    : hard_state_(bootstrap.hard_state), entries_{bootstrap.entry} {}

Persist ModelDisk::CompleteOne() {
  PGQUORUM_CHECK(!pending_.empty());
  Persist batch = std::move(pending_.front());
  pending_.pop_front();
  if (batch.hard_state) {
    hard_state_ = *batch.hard_state;
  }
  if (batch.install_snapshot) {
    PGQUORUM_CHECK(batch.install_snapshot == partial_meta_ &&
                   partial_data_.size() == partial_meta_.size);
    snapshot_ = partial_meta_;
    snapshot_data_ = partial_data_;
    entries_.clear();
    first_ = snapshot_.index + 1;
  }
  if (!batch.entries.empty()) {
    Index from = batch.entries.front().index;
    PGQUORUM_CHECK(from >= first_ && from <= last() + 1);
    entries_.resize(from - first_);
    entries_.insert(entries_.end(), batch.entries.begin(), batch.entries.end());
  }
  return batch;
}

void ModelDisk::LoseFrom(Index from) {
  PGQUORUM_CHECK(from > snapshot_.index && from >= first_ && from <= last());
  refill_term_ = entries_.back().term;
  refill_index_ = last();
  entries_.resize(from - first_);
}

RecoveredState ModelDisk::Recover() const {
  RecoveredState state;
  state.hard_state = hard_state_;
  state.snapshot = snapshot_;
  state.first = first_;
  state.last = last();
  state.applied = snapshot_.index;
  state.refill_term = refill_term_;
  state.refill_index = refill_index_;
  for (const Entry& entry : entries_) {
    if (state.term_starts.empty() || state.term_starts.back().term != entry.term) {
      state.term_starts.push_back({entry.index, entry.term});
    }
    if (entry.type == EntryType::kConfig && entry.index > snapshot_.index) {
      state.config_entries.push_back(entry);
    }
  }
  return state;
}

uint64_t ModelDisk::WritePiece(const SnapshotWrite& piece) {
  if (piece.offset == 0) {
    partial_meta_ = piece.meta;
    partial_data_.clear();
  }
  if (partial_meta_ != piece.meta || partial_data_.size() != piece.offset) {
    return 0;
  }
  partial_data_ += piece.data;
  if (partial_data_.size() == partial_meta_.size &&
      Crc32c(partial_data_) != partial_meta_.checksum) {
    partial_data_.clear();
    return 0;
  }
  return partial_data_.size();
}

void ModelDisk::SaveSnapshot(const SnapshotMeta& meta, std::string data) {
  PGQUORUM_CHECK(data.size() == meta.size && meta.index <= last());
  snapshot_ = meta;
  snapshot_data_ = std::move(data);
}

void ModelDisk::Compact(Index through) {
  if (through < first_) {
    return;
  }
  PGQUORUM_CHECK(through <= snapshot_.index && through <= last());
  entries_.erase(entries_.begin(),
                 entries_.begin() + static_cast<std::ptrdiff_t>(through - first_ + 1));
  first_ = through + 1;
}

Result<std::vector<Entry>> ModelDisk::Read(Index first, Index last_wanted, uint64_t max_bytes) {
  PGQUORUM_CHECK(first >= first_ && last_wanted <= last());
  std::vector<Entry> out;
  uint64_t bytes = 0;
  for (Index i = first; i <= last_wanted; ++i) {
    const Entry& entry = entries_[i - first_];
    bytes += SizeOf(entry);
    if (bytes > max_bytes && !out.empty()) {
      break;
    }
    out.push_back(entry);
  }
  return out;
}

}  // namespace pgquorum::raft::test
