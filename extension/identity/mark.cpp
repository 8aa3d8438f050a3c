#include "extension/identity/mark.h"

#include <algorithm>
#include <utility>

#include "extension/identity/files.h"
#include "extension/identity/identity.h"
#include "extension/identity/text_record.h"

namespace pgquorum::identity {

namespace {

constexpr uint32_t kMarkVersion = 1;

// An absent file is an answer.
template <typename T>
Result<std::optional<T>> LoadIfThere(const std::string& path) {
  if (!FileExists(path)) {
    return std::optional<T>();
  }
  Result<T> loaded = Load<T>(path);
  if (!loaded.ok()) {
    return loaded.status();
  }
  return std::optional<T>(std::move(loaded).value());
}

}  // namespace

std::string Mark::Format() const {
  TextRecord record("mark", kMarkVersion);
  record.SetNumber("starts", starts);
  record.SetNumber("timeline", timeline);
  record.SetNumber("lsn", lsn);
  record.SetNumber("replaced", replaced ? 1 : 0);
  record.Set("restored", restored);
  return record.Format();
}

Result<Mark> Mark::Parse(std::string_view text) {
  Result<TextRecord> record = TextRecord::Parse(text, "mark", kMarkVersion);
  if (!record.ok()) {
    return record.status();
  }
  Result<uint64_t> starts = record.value().GetNumber("starts");
  Result<uint64_t> timeline = record.value().GetNumber("timeline");
  Result<uint64_t> lsn = record.value().GetNumber("lsn");
  Result<uint64_t> replaced = record.value().GetNumber("replaced");
  for (const Result<uint64_t>* number : {&starts, &timeline, &lsn, &replaced}) {
    if (!number->ok()) {
      return number->status();
    }
  }
  if (timeline.value() > UINT32_MAX) {
    return Status::Error("XX001", "timeline out of range");
  }
  return Mark{starts.value(), static_cast<uint32_t>(timeline.value()), lsn.value(),
              replaced.value() != 0, record.value().GetOr("restored", "")};
}

std::string Starts::Format() const {
  TextRecord record("starts", kMarkVersion);
  record.SetNumber("count", count);
  return record.Format();
}

Result<Starts> Starts::Parse(std::string_view text) {
  Result<TextRecord> record = TextRecord::Parse(text, "starts", kMarkVersion);
  Result<uint64_t> count =
      record.ok() ? record.value().GetNumber("count") : Result<uint64_t>(record.status());
  return count.ok() ? Result<Starts>(Starts{count.value()}) : Result<Starts>(count.status());
}

std::string WhyRestored(const std::optional<Mark>& mark, std::optional<uint64_t> starts,
                        bool backup_label) {
  if (mark && !mark->restored.empty()) {
    return mark->restored;
  }
  if (backup_label) {
    return "it has the backup_label of a base backup";
  }
  if (mark && !mark->replaced && (!starts || *starts < mark->starts)) {
    return "it is a copy from before the server's last start";
  }
  return "";
}

Result<Mark> CountStart(const std::string& data_directory, const std::string& state_directory,
                        bool backup_label) {
  const std::string mark_file = state_directory + "/" + kMarkFile;
  const std::string starts_file = data_directory + "/" + kStartsFile;
  Result<std::optional<Mark>> mark = LoadIfThere<Mark>(mark_file);
  if (!mark.ok() && mark.status().sqlstate() != "XX001") {
    return mark.status();
  }
  // One that cannot be read is as good as none: it is the mark that decides.
  Result<std::optional<Starts>> starts = LoadIfThere<Starts>(starts_file);
  std::optional<uint64_t> count;
  if (starts.ok() && starts.value()) {
    count = starts.value()->count;
  }
  Mark next;
  if (mark.ok()) {
    next = mark.value().value_or(Mark());
    next.restored = WhyRestored(mark.value(), count, backup_label);
  } else {
    next.restored = "the mark in the state directory is damaged";
  }
  next.replaced = false;
  next.starts = std::max(next.starts, count.value_or(0)) + 1;
  Status saved = Save(starts_file, Starts{next.starts});
  if (saved.ok()) {
    saved = Save(mark_file, next);
  }
  if (!saved.ok()) {
    return saved;
  }
  return next;
}

Status NoteReplaced(const std::string& state_directory) {
  const std::string mark_file = state_directory + "/" + kMarkFile;
  Result<std::optional<Mark>> mark = LoadIfThere<Mark>(mark_file);
  if (!mark.ok() && mark.status().sqlstate() != "XX001") {
    return mark.status();
  }
  Mark next;
  next.starts = mark.ok() && mark.value() ? mark.value()->starts : 0;
  next.replaced = true;
  return Save(mark_file, next);
}

}  // namespace pgquorum::identity

#include "base/pure.h"
