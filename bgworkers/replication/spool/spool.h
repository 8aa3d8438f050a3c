// The spool of one site: every origin's transactions, encoded, on disk until this site has applied
// them and every member has them on its own disk. README.md states the rules, FORMAT.md the bytes.
//
// One process owns a spool, one thread calls it. Others read the files with a SpoolReader, up to
// the watermark that the owner publishes. What is appended is buffered; Sync makes it durable, with
// one fsync for each origin that has something new. An error of the disk is final: every later call
// returns it, nothing is retried, and nothing that was not synced may be acknowledged.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/storage/file.h"
#include "bgworkers/replication/core/stream/spool_index.h"
#include "bgworkers/replication/spool/spool_format.h"
#include "bgworkers/replication/spool/spool_reader.h"

namespace pgquorum::replication {

struct SpoolImage;

// Bytes that were durable and are not, found by Open. What lay in front of them is kept.
struct SpoolDamage {
  Origin origin;
  uint64_t first_lost = 0;  // Watermarks::received of the origin is below it now
  std::string what;
};

// kErrInvalidValue when one of the bounds is not sensible.
Status ValidateSpoolOptions(const SpoolOptions& options);

class Spool {
 public:
  // `own`: this site as it is now. `applied`: how far the tables have each origin, which is what a
  // new origin of a copied database begins behind; the own origin needs no entry. The directory is
  // made when it is missing; its parent must exist.
  //
  // kErrInUse; kErrForeignSpool, kErrSpoolFormat; kErrSequenceGap: the tables are older than the
  // spool (they were restored), so what is missing in between cannot be had here. Damage is no
  // error: see damage().
  static Result<std::unique_ptr<Spool>> Open(FileSystem& fs, std::string directory,
                                             uint64_t group_id, Origin own,
                                             const SpoolOptions& options,
                                             const std::map<Origin, uint64_t>& applied);

  // Damage to the own origin's log means that sequences which others may have seen would be given
  // out again: the site needs a new incarnation before it writes.
  const std::vector<SpoolDamage>& damage() const { return damage_; }
  // Bytes of batches that were never finished, dropped by Open.
  uint64_t torn_bytes() const { return torn_bytes_; }

  // Takes the origin's next transaction; see SpoolIndex::Appended for what it says. `hlc` is that
  // of its commit. kErrLimitExceeded above kMaxSpooledBytes.
  Result<SpoolIndex::Appended> Append(Origin origin, uint64_t sequence, Hlc hlc,
                                      std::string_view transaction);
  // Everything appended is durable on return, and marked so (the own origin's as applied, too).
  Status Sync();
  // Says, unsynced, that all before is durable, so that damage to the last batch is told from a
  // torn one: call when idle. Does nothing twice.
  Status Prove();

  // A position in the origin's stream, for this process.
  SpoolReader Read(Origin origin, uint64_t next) const {
    return {fs_, directory_, identity(), origin, next};
  }

  // What SpoolIndex says of them.
  Status MarkApplied(Origin origin, uint64_t sequence) {
    return index_.MarkApplied(origin, sequence);
  }
  Status Acknowledge(SiteId peer, Origin origin, const Watermarks& marks) {
    return index_.Acknowledge(peer, origin, marks);
  }
  void AddPeer(SiteId peer) { index_.AddPeer(peer); }
  void RemovePeer(SiteId peer) { index_.RemovePeer(peer); }
  void Reconnected(SiteId peer) { index_.Reconnected(peer); }
  void Park(SiteId peer) { index_.Park(peer); }
  const SpoolIndex& index() const { return index_; }

  // Removes the segments that nobody needs any more.
  Status Trim();
  // A copy of the data brought everything of the origin up to `sequence` along.
  Status StartAt(Origin origin, uint64_t sequence);

  // How many bytes were written, and how many files synced; since Open.
  uint64_t bytes_written() const { return bytes_written_; }
  uint64_t syncs() const { return syncs_; }

 private:
  // The origin's newest segment.
  struct Writer {
    SpoolSegment segment;
    std::unique_ptr<File> file;
    uint32_t seed = 0;
    uint64_t last = 0;     // sequence
    uint64_t written = 0;  // bytes of the file
    uint64_t durable = 0;
    std::string buffer;  // goes behind `written`
    bool proven = true;  // no durable transaction that a later record does not vouch for

    uint64_t end() const { return written + buffer.size(); }
  };
  // First sequences of each origin's segments, ascending.
  using Origins = std::map<Origin, std::vector<uint64_t>>;

  Spool(FileSystem& fs, std::string directory, uint64_t group_id, Origin own,
        const SpoolOptions& options);

  SpoolIdentity identity() const { return {group_id_, own_.site}; }
  Status Fail(Status status);

  Status Recover(const std::map<Origin, uint64_t>& applied);
  Result<Origins> ListSegments() const;
  Status RecoverOrigin(Origin origin, const std::vector<uint64_t>& firsts, uint64_t applied);
  Status Adopt(Origin origin, const SpoolImage& image, uint64_t applied);
  Status SetAside(Origin origin, const std::vector<uint64_t>& firsts);
  Status Drop(Origin origin, const std::vector<uint64_t>& firsts);

  Status Begin(const SpoolSegment& segment, const std::vector<SpooledTransaction>& tail);
  Status AppendRecord(Origin origin, Writer& writer, SpoolRecord record);
  Status WriteOut(Writer& writer);
  Status SyncOrigin(Origin origin, Writer& writer);
  Result<bool> TrimOrigin(Origin origin);

  FileSystem& fs_;
  const std::string directory_;
  const uint64_t group_id_;
  const Origin own_;
  const SpoolOptions options_;
  std::unique_ptr<FileLock> lock_;
  SpoolIndex index_;
  std::map<Origin, Writer> writers_;
  std::vector<SpoolDamage> damage_;
  uint64_t torn_bytes_ = 0;
  uint64_t bytes_written_ = 0;
  uint64_t syncs_ = 0;
  Status fatal_;
};

}  // namespace pgquorum::replication

#include "base/pure.h"
