// The side of the block service that decides: for the pages of the buckets that this instance
// masters, who gets them when. One conversion a page at a time, from the first message to kDone;
// everything else for the page waits in a queue.
//
//   Shared     somebody has it: kShip to the owner, else to a sharer; nobody: kGrant (disk)
//   Exclusive  the source of the bytes is chosen first; then kInvalidate to all other holders; when
//              all have answered: kUpgrade if the requester has a copy, kShip to the source, or
//              kGrant
//   write      kWrite to the owner; no owner: the disk is current (that is what no owner means)
//   recall     kRecall to all holders, then the entry is forgotten
//   recover    the newest past image of a survivor, or kGrant; then replay by the requester
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "cachefusion/grd/directory.h"
#include "cachefusion/grd/ring.h"
#include "cachefusion/output.h"
#include "cachefusion/types.h"

namespace pgquorum::fusion {

struct MasterCounters {
  uint64_t requests = 0;
  uint64_t granted_from_disk = 0;  // two-way
  uint64_t shipped = 0;            // three-way
  uint64_t upgraded = 0;
  uint64_t invalidations = 0;
  uint64_t restarted = 0;  // the source had dropped the page
  uint64_t recalled = 0;
  uint64_t waited_for_room = 0;
  uint64_t recovered = 0;
  uint64_t adopted_shared = 0;
  uint64_t adopted_past = 0;
};

class BlockMaster {
 public:
  // `capacity`: entries of the directory.
  BlockMaster(Outbox& out, std::size_t capacity) : out_(out), directory_(capacity) {}

  // --- messages ---
  void OnRequest(const Message& message);  // kRequest, kWriteRequest, kRecover
  void OnInvalidated(const Message& message);
  void OnRecalled(const Message& message);
  void OnNoPage(const Message& message);
  void OnDone(const Message& message);
  void OnWrote(const Message& message);

  // --- reconfiguration ---
  // Everything is forgotten; requests queue until Unfreeze.
  void Freeze();
  // One member's frames, or the coordinator's marks.
  void AddReports(InstanceId from, const std::vector<FrameReport>& frames);
  void AddMarks(const std::vector<PageMark>& marks);
  // All reports and marks are here: finds owners. rebuilt() turns true when all are found.
  void Rebuild();
  bool rebuilt() const { return built_ && adoptions_ == 0; }
  void OnAdopted(const Message& message);
  void VersionRead(PageId page, uint64_t id, Psn psn);
  void Unfreeze();
  bool frozen() const { return frozen_; }

  // --- remastering ---
  // No conversion of the bucket begins from now on.
  void Drain(Bucket bucket) { draining_.insert(bucket); }
  void StopDraining(Bucket bucket);
  bool Drained(Bucket bucket) const;
  // Everything about the bucket, which is gone here afterwards.
  std::vector<EntryState> Extract(Bucket bucket);
  void Install(const std::vector<EntryState>& entries);

  Directory& directory() { return directory_; }
  const MasterCounters& counters() const { return counters_; }

 private:
  void Enqueue(const QueuedRequest& request, PageId page);
  void Admit();
  void Reclaim();
  void Start(Entry& entry);
  void StartAll(const std::vector<PageId>& pages);
  void Begin(Entry& entry);
  void BeginBlock(Entry& entry, Conversion& conversion);
  void BeginWrite(Entry& entry, Conversion& conversion);
  void BeginRecall(Entry& entry, Conversion& conversion);
  void BeginRecover(Entry& entry, Conversion& conversion);
  // All acknowledgements are there.
  void MoveOn(Entry& entry);
  void Finish(Entry& entry);
  void SendTo(InstanceId to, MessageType type, const Entry& entry, BlockMode mode = {},
              Psn psn = {}, InstanceId peer = {});
  // The disk has version `psn` or a newer one.
  void TellPasts(Entry& entry, Psn psn, InstanceId but);
  void Adopt(Entry& entry, InstanceId holder, bool past);
  void RebuildEntry(Entry& entry);
  bool EraseIfEmpty(Entry& entry);
  Entry* Current(const Message& message);

  Outbox& out_;
  Directory directory_;
  std::deque<std::pair<PageId, QueuedRequest>> no_room_;
  std::set<Bucket> draining_;
  std::map<Bucket, uint32_t> active_;  // conversions under way
  bool frozen_ = true;
  bool built_ = false;
  uint64_t adoptions_ = 0;
  uint64_t next_conversion_ = 1;
  std::map<PageId, Psn> marks_;
  // While rebuilding: of each page the sharers whose copy the disk may lack.
  std::map<PageId, InstanceSet> unsaved_;
  MasterCounters counters_;
};

}  // namespace pgquorum::fusion

#include "base/pure.h"
