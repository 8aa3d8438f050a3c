#include "cachefusion/table/overflow_store.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/storage/errors.h"

#include "base/pure.h"

namespace pgquorum::fusion {
namespace {

// What the map says of a page without rows; see RoomFor.
constexpr std::size_t kEmptyRoom = (kPageBytes - kPageHeaderBytes - sizeof(uint32_t)) / 8 * 8;

constexpr std::size_t kAllPages = SIZE_MAX;

// Where the page begins that holds the last of the first `bytes` of a value.
std::size_t StartOfLastPage(std::size_t bytes) {
  return (bytes - 1) / kOverflowBytes * kOverflowBytes;
}

}  // namespace

Result<PageGuard> OverflowStore::TakeEmptyPage() {
  for (;;) {
    Result<std::optional<uint32_t>> found = space_.Find(kEmptyRoom, near_, rotating_);
    if (!found.ok()) {
      return found.status();
    }
    Result<uint32_t> block = found.value() ? Result<uint32_t>(*found.value()) : space_.Extend();
    if (!block.ok()) {
      return block.status();
    }
    near_ = block.value() + 1;
    std::size_t room = 0;
    {
      Result<PageGuard> guard =
          storage_.pages().Fetch({segment_, block.value()}, LatchMode::kExclusive);
      if (!guard.ok()) {
        return guard.status();
      }
      bool rows = guard.value().header().kind == PageKind::kTable;
      if (rows && HoldsNoVersion(guard.value().page())) {
        return guard;
      }
      room = rows ? RoomFor(guard.value().page()) : 0;
    }
    // The map was wrong. It is right before it is asked again, so this comes to an end.
    Status noted = space_.Note(block.value(), room);
    if (!noted.ok()) {
      return noted;
    }
  }
}

// `header.head` 0: the page becomes the head, and gets the serial.
Status OverflowStore::WritePage(const OverflowHeader& header, std::string_view data,
                                uint32_t& block) {
  {
    Result<PageGuard> guard = TakeEmptyPage();
    if (!guard.ok()) {
      return guard.status();
    }
    block = guard.value().id().block;
    OverflowHeader mine = header;
    mine.length = static_cast<uint32_t>(data.size());
    if (mine.head == 0) {
      mine.head = block;
      mine.serial = guard.value().header().psn;  // grows with every use of the page
    }
    Mutation mutation(storage_.pages(), header.creator);
    FormatOverflow(mutation.Change(guard.value()), mine, data);
    Status status = mutation.Commit().status();
    if (!status.ok()) {
      return status;
    }
  }
  return space_.Note(block, 0);
}

Status OverflowStore::WriteSome(ChainWriting& writing, std::string_view value, TxWord creator,
                                std::size_t max_pages) {
  PGQUORUM_CHECK(!value.empty() && value.size() <= UINT32_MAX && !writing.done);
  OverflowHeader header{};
  header.creator = creator.bits();
  header.total = static_cast<uint32_t>(value.size());
  if (writing.head == 0) {
    writing.left = value.size();
    bool single = value.size() <= kOverflowBytes;
    // The head of a longer one only takes its place for now.
    Status status = WritePage(header, single ? value : std::string_view(), writing.head);
    if (!status.ok()) {
      return status;
    }
    writing.done = single;
    Result<PageGuard> head = storage_.pages().Fetch({segment_, writing.head}, LatchMode::kShared);
    if (!head.ok()) {
      return head.status();
    }
    writing.serial = OverflowOn(head.value().page()).serial;
  }
  header.head = writing.head;
  header.serial = writing.serial;
  for (std::size_t i = 1; i < max_pages && !writing.done; ++i) {
    std::size_t start = StartOfLastPage(writing.left);
    std::string_view data = value.substr(start, writing.left - start);
    header.next = writing.next;
    if (start > 0) {
      Status status = WritePage(header, data, writing.next);
      if (!status.ok()) {
        return status;
      }
      writing.left = start;
      continue;
    }
    Result<PageGuard> head =
        storage_.pages().Fetch({segment_, writing.head}, LatchMode::kExclusive);
    if (!head.ok()) {
      return head.status();
    }
    PGQUORUM_CHECK(IsOfChain(head.value().page(), writing.head, writing.serial));
    header.length = static_cast<uint32_t>(data.size());
    Mutation mutation(storage_.pages(), header.creator);
    FormatOverflow(mutation.Change(head.value()), header, data);
    Status status = mutation.Commit().status();
    if (!status.ok()) {
      return status;
    }
    writing.done = true;
  }
  return Status::Ok();
}

Result<ChainLink> OverflowStore::Write(std::string_view value, TxWord creator) {
  ChainWriting writing;
  Status status = WriteSome(writing, value, creator, kAllPages);
  return status.ok() ? Result<ChainLink>(ChainLink{writing.serial, writing.head, 0, 0}) : status;
}

Result<bool> OverflowStore::ReadSome(ChainReading& reading, uint32_t from, uint32_t length,
                                     char* out, std::size_t max_pages) {
  auto damaged = [&](const char* what) {
    return Status::Error(kErrDamaged, "a large value of a fusion table is not whole")
        .WithDetail("Segment " + std::to_string(segment_ >> 32) + "/" +
                    std::to_string(segment_ & UINT32_MAX) + ", chain " +
                    std::to_string(reading.head) + ", block " + std::to_string(reading.block) +
                    ": " + what + ".");
  };
  uint64_t end = uint64_t{from} + length;
  if (end > reading.total) {
    return damaged("the value is shorter");
  }
  for (std::size_t i = 0; i < max_pages && reading.at < end; ++i) {
    bool first = reading.at == 0;
    reading.block = first ? reading.head : reading.block;
    if (reading.block == 0) {
      return damaged("the chain ends too early");
    }
    Result<PageGuard> guard = storage_.pages().Fetch({segment_, reading.block}, LatchMode::kShared);
    if (!guard.ok()) {
      return guard.status();
    }
    const char* page = guard.value().page();
    if (first && guard.value().formatted() && HeaderOf(page).kind == PageKind::kOverflow) {
      reading.serial = OverflowOn(page).serial;
    }
    if (!IsOfChain(page, reading.head, reading.serial)) {
      return damaged("the page is not of this chain");
    }
    OverflowHeader header = OverflowOn(page);
    if (!FindOverflowFault(page).empty() || header.total != reading.total || header.length == 0 ||
        header.length > reading.total - reading.at) {
      return damaged("the page is not what was expected");
    }
    uint64_t begin = std::max<uint64_t>(reading.at, from);
    uint64_t stop = std::min<uint64_t>(uint64_t{reading.at} + header.length, end);
    if (begin < stop) {
      std::memcpy(out + (begin - from), OverflowData(page).data() + (begin - reading.at),
                  stop - begin);
    }
    reading.at += header.length;
    reading.block = header.next;
  }
  return reading.at >= end;
}

Status OverflowStore::MakeEmpty(PageGuard guard) {
  uint32_t block = guard.id().block;
  Mutation mutation(storage_.pages(), 0);
  mutation.Change(guard).Format(PageKind::kTable);
  Status status = mutation.Commit().status();
  guard.Release();
  return status.ok() ? space_.Note(block, kEmptyRoom) : status;
}

Result<bool> OverflowStore::FreeSecond(const ChainLink& chain, uint32_t second) {
  PageGuard guards[2];
  const uint32_t blocks[2] = {std::min(chain.head, second), std::max(chain.head, second)};
  for (int i = 0; i < 2; ++i) {
    Result<PageGuard> guard = storage_.pages().Fetch({segment_, blocks[i]}, LatchMode::kExclusive);
    if (!guard.ok()) {
      return guard.status();
    }
    guards[i] = std::move(guard).value();
  }
  PageGuard& head = guards[chain.head < second ? 0 : 1];
  PageGuard& page = guards[chain.head < second ? 1 : 0];
  if (!IsOfChain(head.page(), chain.head, chain.serial)) {
    return false;  // the caller looks again
  }
  bool ours = IsOfChain(page.page(), chain.head, chain.serial);
  uint32_t third = ours ? OverflowOn(page.page()).next : 0;
  Mutation mutation(storage_.pages(), 0);
  SetOverflowNext(mutation.Change(head), third);
  if (ours) {
    mutation.Change(page).Format(PageKind::kTable);
  }
  Status status = mutation.Commit().status();
  return status.ok() ? Result<bool>(ours) : status;
}

Result<bool> OverflowStore::FreeSome(const ChainLink& chain, std::size_t max_pages) {
  for (std::size_t i = 0; i < max_pages; ++i) {
    Result<PageGuard> head = storage_.pages().Fetch({segment_, chain.head}, LatchMode::kExclusive);
    if (!head.ok()) {
      return head.status();
    }
    if (!IsOfChain(head.value().page(), chain.head, chain.serial)) {
      return true;  // freed before, and perhaps used again
    }
    uint32_t second = OverflowOn(head.value().page()).next;
    if (second == 0) {
      Status status = MakeEmpty(std::move(head).value());
      return status.ok() ? Result<bool>(true) : status;
    }
    head.value().Release();
    Result<bool> freed = FreeSecond(chain, second);
    if (!freed.ok()) {
      return freed;
    }
    if (freed.value()) {
      Status noted = space_.Note(second, kEmptyRoom);
      if (!noted.ok()) {
        return noted;
      }
    }
  }
  return false;
}

Status OverflowStore::Free(const ChainLink& chain) {
  return FreeSome(chain, kAllPages).status();
}

}  // namespace pgquorum::fusion
