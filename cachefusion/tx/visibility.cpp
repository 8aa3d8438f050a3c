#include "cachefusion/tx/visibility.h"

#include "base/pure.h"

namespace pgquorum::fusion {

bool Conflict(RowLock a, RowLock b) {
  // Key share meets update only; share meets the two exclusive ones; those meet each other.
  constexpr bool kConflicts[4][4] = {{false, false, false, true},
                                     {false, false, true, true},
                                     {false, true, true, true},
                                     {true, true, true, true}};
  return kConflicts[static_cast<int>(a)][static_cast<int>(b)];
}

Result<bool> Visibility::IsVisible(const VersionHeader& version, const Snapshot& snapshot) {
  TxWord creator = CreatorOf(version);
  if (own_.Has(creator)) {
    if (version.creator_command >= snapshot.command) {
      return false;
    }
  } else {
    Result<Outcome> outcome = transactions_.Lookup(creator);
    if (!outcome.ok()) {
      return outcome.status();
    }
    if (outcome.value().state != TxState::kCommitted || outcome.value().scn > snapshot.scn) {
      return false;
    }
  }
  TxWord remover = RemoverOf(version);
  if (remover.none() || OnlyLocked(version)) {
    return true;
  }
  if (own_.Has(remover)) {
    return version.remover_command >= snapshot.command;
  }
  Result<Outcome> outcome = transactions_.Lookup(remover);
  if (!outcome.ok()) {
    return outcome.status();
  }
  return outcome.value().state != TxState::kCommitted || outcome.value().scn > snapshot.scn;
}

Result<Touch> Visibility::MayTouch(const VersionHeader& version, RowAddress self, RowLock lock,
                                   uint32_t command) {
  TxWord creator = CreatorOf(version);
  if (own_.Has(creator)) {
    if (version.creator_command >= command) {
      return Touch{TouchResult::kInvisible, {}, {}, 0};
    }
  } else {
    Result<Outcome> outcome = transactions_.Lookup(creator);
    if (!outcome.ok()) {
      return outcome.status();
    }
    if (outcome.value().state != TxState::kCommitted) {
      return Touch{TouchResult::kInvisible, {}, {}, 0};
    }
  }
  TxWord remover = RemoverOf(version);
  if (remover.none()) {
    return Touch{};
  }
  if (own_.Has(remover)) {
    if (OnlyLocked(version)) {
      return Touch{};
    }
    // Removed by an earlier command: not there any more. By this one or a later: the caller's
    // error.
    return version.remover_command >= command
               ? Touch{TouchResult::kOwnCommand, {}, {}, version.remover_command}
               : Touch{TouchResult::kInvisible, {}, {}, 0};
  }
  Result<Outcome> outcome = transactions_.Lookup(remover);
  if (!outcome.ok()) {
    return outcome.status();
  }
  switch (outcome.value().state) {
    case TxState::kActive:
      return Conflict(LockOf(version), lock) ? Touch{TouchResult::kWait, remover, {}, 0} : Touch{};
    case TxState::kCommitted:
      if (OnlyLocked(version)) {
        return Touch{};
      }
      return Touch{version.next == self ? TouchResult::kRemoved : TouchResult::kReplaced,
                   {},
                   outcome.value().scn,
                   0};
    default:
      return Touch{};
  }
}

Result<VersionState> Visibility::StateOf(const VersionHeader& version, TxWord& other) {
  TxWord creator = CreatorOf(version);
  if (!own_.Has(creator)) {
    Result<Outcome> outcome = transactions_.Lookup(creator);
    if (!outcome.ok()) {
      return outcome.status();
    }
    if (outcome.value().state != TxState::kCommitted) {
      other = creator;
      return outcome.value().state == TxState::kActive ? VersionState::kNotYet
                                                       : VersionState::kNever;
    }
  }
  TxWord remover = RemoverOf(version);
  if (remover.none() || OnlyLocked(version)) {
    return VersionState::kLive;
  }
  if (own_.Has(remover)) {
    return VersionState::kRemoved;
  }
  Result<Outcome> outcome = transactions_.Lookup(remover);
  if (!outcome.ok()) {
    return outcome.status();
  }
  switch (outcome.value().state) {
    case TxState::kActive:
      other = remover;
      return VersionState::kRemoving;
    case TxState::kCommitted:
      return VersionState::kRemoved;
    default:
      return VersionState::kLive;
  }
}

Result<bool> Visibility::IsDead(const VersionHeader& version, Scn horizon) {
  if (own_.Has(CreatorOf(version))) {
    return false;  // older commands of this transaction may still look
  }
  Result<Outcome> creator = transactions_.Lookup(CreatorOf(version));
  if (!creator.ok()) {
    return creator.status();
  }
  if (creator.value().state == TxState::kAborted) {
    return true;
  }
  TxWord remover = RemoverOf(version);
  if (creator.value().state != TxState::kCommitted || remover.none() || OnlyLocked(version) ||
      own_.Has(remover)) {
    return false;
  }
  Result<Outcome> removed = transactions_.Lookup(remover);
  if (!removed.ok()) {
    return removed.status();
  }
  return removed.value().state == TxState::kCommitted && removed.value().scn <= horizon;
}

Result<bool> Visibility::Follows(const VersionHeader& version, const VersionHeader& next) {
  TxWord remover = RemoverOf(version);
  TxWord creator = CreatorOf(next);
  if (remover == creator) {
    return !remover.never();
  }
  if (remover.none() || own_.Has(remover) || own_.Has(creator)) {
    return false;  // both words were written together and would still be equal
  }
  Result<Outcome> removed = transactions_.Lookup(remover);
  if (!removed.ok()) {
    return removed.status();
  }
  Result<Outcome> created = transactions_.Lookup(creator);
  if (!created.ok()) {
    return created.status();
  }
  return removed.value().state == TxState::kCommitted &&
         created.value().state == TxState::kCommitted && removed.value().scn == created.value().scn;
}

Result<Visibility::Stamps> Visibility::StampsOf(const VersionHeader& version) {
  Stamps stamps{CreatorOf(version), RemoverOf(version)};
  if (!stamps.creator.stamped() && !own_.Has(stamps.creator)) {
    Result<Outcome> outcome = transactions_.Lookup(stamps.creator);
    if (!outcome.ok()) {
      return outcome.status();
    }
    if (outcome.value().state == TxState::kCommitted) {
      stamps.creator = TxWord::Committed(outcome.value().scn);
    } else if (outcome.value().state == TxState::kAborted) {
      stamps.creator = TxWord::Never();
    }
  }
  if (!stamps.remover.none() && !stamps.remover.stamped() && !own_.Has(stamps.remover)) {
    Result<Outcome> outcome = transactions_.Lookup(stamps.remover);
    if (!outcome.ok()) {
      return outcome.status();
    }
    if (outcome.value().state == TxState::kCommitted) {
      stamps.remover = OnlyLocked(version) ? TxWord() : TxWord::Committed(outcome.value().scn);
    } else if (outcome.value().state == TxState::kAborted) {
      stamps.remover = TxWord();
    }
  }
  return stamps;
}

}  // namespace pgquorum::fusion
