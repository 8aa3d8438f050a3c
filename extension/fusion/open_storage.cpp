#include "extension/fusion/open_storage.h"

#include <cinttypes>
#include <cstdio>
#include <cstdlib>

#include "base/storage/errors.h"
#include "base/storage/file.h"
#include "extension/fusion/settings.h"
#include "extension/fusion/storage_lock.h"

extern "C" {
#include "access/transam.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "storage/lwlock.h"
#include "utils/timestamp.h"
}

#include "extension/pg/guard.h"
#include "extension/shmem.h"

namespace pgquorum::fusion::server {
namespace {

// In the data directory, so that the server knows its storage again: a mount that is missing shows
// an empty directory, which must not become a new storage.
constexpr char kMarker[] = "pgquorum_fusion";

struct Position {
  TimeLineID timeline = 0;
  XLogRecPtr lsn = InvalidXLogRecPtr;
};

Position Now() {
  Position now;
  now.lsn = GetFlushRecPtr(&now.timeline);
  return now;
}

// 0: no marker.
Result<uint64_t> ReadMarker() {
  Result<std::string> text = ReadWhole(PosixFileSystem(), JoinPath(DataDir, kMarker), 64);
  if (!text.ok()) {
    return text.status().sqlstate() == kErrFileMissing ? Result<uint64_t>(0) : text.status();
  }
  uint64_t id = std::strtoull(text.value().c_str(), nullptr, 16);
  return id != 0 ? Result<uint64_t>(id)
                 : Status::Error(kErrDamaged, std::string("file \"") + kMarker +
                                                  "\" of the data directory is damaged");
}

Status WriteMarker(uint64_t id) {
  char text[32];
  snprintf(text, sizeof(text), "%016" PRIx64 "\n", id);
  return WriteAtomically(PosixFileSystem(), DataDir, kMarker, text);
}

Status Foreign(std::string detail, std::string hint) {
  return Status::Error(kErrForeignStorage, "the fusion storage does not belong to this server")
      .WithDetail(std::move(detail))
      .WithHint(std::move(hint));
}

Status CheckIdentity(const StorageIdentity& identity) {
  if (identity.system_identifier != GetSystemIdentifier()) {
    return Foreign("It was made by a server with another system identifier.",
                   "Set pgquorum.fusion_storage to this server's own directory.");
  }
  Position now = Now();
  // On another timeline numbers of transactions may have been given out a second time, so the
  // commit log could not say what became of those that the storage prepared with it.
  if (identity.catalog_timeline != now.timeline) {
    return Foreign("It was used last on timeline " + std::to_string(identity.catalog_timeline) +
                       ", this server is on " + std::to_string(now.timeline) + ".",
                   "A promoted or recovered server cannot take a fusion storage over yet; open it "
                   "on the server "
                   "that used it last.");
  }
  if (now.lsn < identity.catalog_position) {
    return Foreign(
        "Its catalogs have been further than this server's: the server was restored or rewound.",
        "Open it on the server that used it last.");
  }
  return Status::Ok();
}

Result<StorageIdentity> MakeStorage() {
  std::string directory = Directory();
  Result<std::vector<std::string>> names = PosixFileSystem().List(directory);
  if (!names.ok()) {
    return names.status();
  }
  for (const std::string& name : names.value()) {
    if (name != kLockName && name != ControlName(kThisInstance) &&
        name != DoubleWriteName(kThisInstance)) {
      return Status::Error(kErrForeignStorage,
                           "pgquorum.fusion_storage is neither a fusion storage nor empty")
          .WithDetail("It holds \"" + name + "\".")
          .WithHint("Set it to an empty directory, which becomes a new storage.");
    }
  }
  StorageIdentity identity;
  Position now = Now();
  identity.system_identifier = GetSystemIdentifier();
  identity.catalog_position = now.lsn;
  identity.catalog_timeline = now.timeline;
  while (identity.storage_id == 0) {
    if (!pg_strong_random(&identity.storage_id, sizeof(identity.storage_id))) {
      return Status::Error("XX000", "could not draw a random number");
    }
  }
  Status made = CreateStorage(PosixFileSystem(), directory, identity, kThisInstance);
  return made.ok() ? Result<StorageIdentity>(identity) : made;
}

Status Identify() {
  Result<uint64_t> marker = ReadMarker();
  if (!marker.ok()) {
    return marker.status();
  }
  Result<StorageIdentity> identity = ReadIdentity(PosixFileSystem(), Directory());
  if (!identity.ok() && identity.status().sqlstate() == kErrFileMissing) {
    if (marker.value() != 0) {
      return Foreign("The directory holds no storage, but this server has had one.",
                     "Is it mounted? To begin with a new one, drop the fusion tables' data for "
                     "good by removing "
                     "the file pgquorum_fusion from the data directory.");
    }
    identity = MakeStorage();
  }
  if (!identity.ok()) {
    return identity.status();
  }
  if (marker.value() != 0 && marker.value() != identity.value().storage_id) {
    return Foreign("It is not the storage that this server used last.",
                   "Set pgquorum.fusion_storage to that one.");
  }
  Status status = CheckIdentity(identity.value());
  return status.ok() && marker.value() == 0 ? WriteMarker(identity.value().storage_id) : status;
}

// What PostgreSQL's commit log says about a transaction that was prepared with it.
Result<bool> Decided(uint64_t external) {
  FullTransactionId id = FullTransactionIdFromU64(external);
  FullTransactionId next = ReadNextFullTransactionId();
  TransactionId xid = XidFromFullTransactionId(id);
  if (!FullTransactionIdPrecedes(id, next) ||
      U64FromFullTransactionId(next) - external > UINT32_MAX / 2 ||
      TransactionIdPrecedes(xid, ShmemVariableCache->oldestClogXid)) {
    return Status::Error(kErrForeignStorage,
                         "the outcome of a fusion transaction cannot be told any more")
        .WithDetail("The server's commit log does not reach transaction " +
                    std::to_string(external) + ".")
        .WithHint(
            "The server's data directory is not the one that the storage was used with last.");
  }
  bool committed = false;
  Status status = pg::Try([&] { committed = TransactionIdDidCommit(xid); });
  return status.ok() ? Result<bool>(committed) : status;
}

void Report(const RecoveryReport& report, const Transactions::Resolution& resolution,
            int64_t begun) {
  SharedMemory& memory = *Memory();
  memory.opened_at = GetCurrentTimestamp();
  memory.recovery_us = memory.opened_at - begun;
  memory.recovery_records = report.records;
  memory.recovery_applied = report.applied;
  memory.recovery_bytes = report.redo_bytes;
  memory.recovery_torn_pages = report.torn_pages;
  memory.recovery_committed = resolution.committed;
  memory.recovery_aborted = resolution.aborted;
}

}  // namespace

Status OpenStorage(Engine& engine) {
  if (shmem::Attach()->boot.mode != shared::Mode::kStandalone) {
    return Status::Error("0A000", "a member of a cluster cannot use a fusion storage yet")
        .WithHint("Unset pgquorum.fusion_storage.");
  }
  Status status = LockAsServer(Directory(), false);
  if (status.ok()) {
    status = Identify();
  }
  if (!status.ok()) {
    return status;
  }
  int64_t begun = GetCurrentTimestamp();
  Result<RecoveryReport> report =
      Recover(PosixFileSystem(), Directory(), kThisInstance, RecoveryOptions{});
  if (!report.ok()) {
    return report.status();
  }
  status = engine.storage.Open(report.value().control);
  if (!status.ok()) {
    engine.storage.shared().redo.broken.store(1);
    return status;
  }
  // The gate is open, but nobody passes before the state says so.
  Result<Transactions::Resolution> resolution =
      engine.transactions.Resolve(report.value().control.oldest_unresolved, Decided);
  if (!resolution.ok()) {
    engine.storage.shared().redo.broken.store(1);
    return resolution.status();
  }
  Report(report.value(), resolution.value(), begun);
  return Status::Ok();
}

Status NoteCatalogPosition() {
  Result<StorageIdentity> identity = ReadIdentity(PosixFileSystem(), Directory());
  if (!identity.ok()) {
    return identity.status();
  }
  StorageIdentity noted = identity.value();
  Position now = Now();
  noted.catalog_position = now.lsn;
  noted.catalog_timeline = now.timeline;
  return WriteIdentity(PosixFileSystem(), Directory(), noted);
}

}  // namespace pgquorum::fusion::server
