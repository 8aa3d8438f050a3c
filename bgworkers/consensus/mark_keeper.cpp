#include "bgworkers/consensus/mark_keeper.h"

#include <utility>

#include "extension/identity/identity.h"

#include "base/pure.h"

namespace pgquorum::consensus {

Status MarkKeeper::Open() {
  Result<identity::Mark> mark = identity::Load<identity::Mark>(path_);
  if (!mark.ok()) {
    return mark.status();
  }
  mark_ = std::move(mark).value();
  return Status::Ok();
}

void MarkKeeper::Note(failover::Position survives, failover::TimeNs now) {
  if (!survives || survives == position() || !mark_.restored.empty() ||
      (written_at_ != 0 && now - written_at_ < kMarkInterval)) {
    return;
  }
  {
    std::lock_guard lock(mutex_);
    if (writing_) {
      return;  // a slow disk: the next one will say more
    }
    writing_ = true;
  }
  if (!started_) {
    started_ = true;
    writer_.Start("pgquorum mark");
  }
  written_at_ = now;
  mark_.timeline = survives.timeline.value();
  mark_.lsn = survives.lsn.value();
  writer_.Submit([this, mark = mark_] {
    Status saved = identity::Save(path_, mark);
    std::lock_guard lock(mutex_);
    writing_ = false;
    if (!saved.ok()) {
      error_ = saved;
    }
  });
}

Status MarkKeeper::Accept() {
  mark_.restored.clear();
  mark_.timeline = 0;
  mark_.lsn = 0;
  return identity::Save(path_, mark_);
}

Status MarkKeeper::TakeError() {
  std::lock_guard lock(mutex_);
  return std::exchange(error_, Status::Ok());
}

}  // namespace pgquorum::consensus
