#include "bgworkers/replication/spool/spool_recovery.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/storage/errors.h"

#include "base/pure.h"

namespace pgquorum::replication {
namespace {

constexpr uint64_t kMaxFileBytes = uint64_t{4} << 30;

// What could be read of one segment.
struct Content {
  std::vector<SpooledTransaction> transactions;
  std::vector<uint64_t> ends;  // offset behind each
  uint64_t proven = 0;         // a record says that everything before this offset was durable
  uint64_t end = kSpoolHeaderBytes;
  LogTail tail;  // behind `end`
  bool header = true;
};

// `limit`: the segment behind it begins with this sequence; 0: there is none.
Content Parse(std::string_view bytes, uint32_t seed, uint64_t first, uint64_t limit) {
  Content content;
  uint64_t next = first;
  while (limit == 0 || next < limit) {
    std::optional<SpoolRecord> record = ParseSpoolRecord(bytes.substr(content.end), seed);
    if (!record) {
      break;
    }
    uint64_t back = std::min<uint64_t>(record->durable_back, content.end);
    content.proven = std::max(content.proven, content.end - back);
    bool transaction = record->kind == SpoolRecordKind::kTransaction;
    if (record->sequence != (transaction ? next : next - 1)) {
      content.tail.proven = true;  // no writer of ours makes that
      return content;
    }
    content.end += record->bytes;
    if (transaction) {
      content.transactions.push_back({next, record->hlc, std::string(record->payload)});
      content.ends.push_back(content.end);
      ++next;
    }
  }
  content.tail = JudgeLogTail(bytes, content.end, seed, kMaxSpooledBytes);
  return content;
}

class Recovery {
 public:
  Recovery(FileSystem& fs, const std::string& directory, const SpoolIdentity& identity,
           Origin origin)
      : fs_(fs), directory_(directory), identity_(identity), origin_(origin) {}

  Result<SpoolImage> Run(const std::vector<uint64_t>& firsts);

 private:
  Result<Content> Load(uint64_t first, uint64_t limit);
  void Take(uint64_t first, const Content& content, uint64_t proven);
  void Damaged(uint64_t first, const Content& content);

  FileSystem& fs_;
  const std::string& directory_;
  SpoolIdentity identity_;
  Origin origin_;
  SpoolImage image_;
};

Result<Content> Recovery::Load(uint64_t first, uint64_t limit) {
  SpoolSegment segment{origin_, first};
  Result<std::string> bytes =
      ReadWhole(fs_, JoinPath(directory_, SpoolSegmentName(segment)), kMaxFileBytes);
  if (!bytes.ok()) {
    return bytes.status();
  }
  uint32_t seed = SpoolSeed(identity_, segment);
  Status header = CheckSpoolHeader(bytes.value(), identity_, segment);
  if (header.ok()) {
    return Parse(bytes.value(), seed, first, limit);
  }
  if (header.sqlstate() != kErrDamaged) {
    return header;
  }
  Content content;
  content.header = false;
  content.end = 0;
  // A header is durable before its segment has its name, so this is damage whatever follows it.
  content.tail.proven = true;
  return content;
}

// What is proven stays where it is, the rest becomes the tail.
void Recovery::Take(uint64_t first, const Content& content, uint64_t proven) {
  auto stays = static_cast<std::size_t>(
      std::upper_bound(content.ends.begin(), content.ends.end(), proven) - content.ends.begin());
  if (stays > 0) {
    Segment segment{first, first + stays - 1, 0};
    for (std::size_t i = 0; i < stays; ++i) {
      segment.bytes += LogRecordBytes(content.transactions[i].bytes.size());
    }
    image_.segments.push_back(segment);
  }
  image_.tail_begin = first + stays;
  auto rest = content.transactions.begin() + static_cast<std::ptrdiff_t>(stays);
  image_.tail.assign(rest, content.transactions.end());
}

void Recovery::Damaged(uint64_t first, const Content& content) {
  image_.damage = "segment " + SpoolSegmentName({origin_, first}) +
                  (content.header ? " is damaged at offset " + std::to_string(content.end)
                                  : " has lost its header");
}

Result<SpoolImage> Recovery::Run(const std::vector<uint64_t>& firsts) {
  for (std::size_t i = 0; i < firsts.size(); ++i) {
    bool newest = i + 1 == firsts.size();
    uint64_t limit = newest ? 0 : firsts[i + 1];
    Result<Content> loaded = Load(firsts[i], limit);
    if (!loaded.ok()) {
      return loaded.status();
    }
    const Content& content = loaded.value();
    bool complete = newest || firsts[i] + content.transactions.size() == limit;
    bool damaged = newest ? content.tail.proven : !complete || !content.header;
    // A segment that has one behind it, or that lies in front of damage, was durable as far as it
    // can be read.
    Take(firsts[i], content, newest && !damaged ? content.proven : content.end);
    if (damaged) {
      Damaged(firsts[i], content);
      bool empty = content.transactions.empty();
      image_.unusable.assign(firsts.begin() + static_cast<std::ptrdiff_t>(empty ? i : i + 1),
                             firsts.end());
      return std::move(image_);
    }
    if (newest) {
      image_.torn_bytes = content.tail.torn_bytes;
    }
  }
  return std::move(image_);
}

}  // namespace

Result<SpoolImage> RecoverSpoolOrigin(FileSystem& fs, const std::string& directory,
                                      const SpoolIdentity& identity, Origin origin,
                                      const std::vector<uint64_t>& firsts) {
  return Recovery(fs, directory, identity, origin).Run(firsts);
}

}  // namespace pgquorum::replication
