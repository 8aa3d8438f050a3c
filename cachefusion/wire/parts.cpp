#include "cachefusion/wire/parts.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "cachefusion/wire/codec.h"

#include "base/pure.h"

namespace pgquorum::fusion {
namespace {

template <typename List, typename Write>
void WriteItems(const List& list, ByteWriter& out, Write write) {
  PGQUORUM_CHECK(list.size() <= kMaxListed);
  out.U32(static_cast<uint32_t>(list.size()));
  for (const auto& item : list) {
    write(item);
  }
}

void WriteWaiters(const std::vector<LockWaiter>& waiters, ByteWriter& out) {
  WriteItems(waiters, out, [&out](const LockWaiter& waiter) {
    out.U64(waiter.owner.value());
    out.U8(static_cast<uint8_t>(waiter.mode));
    out.U64(waiter.wait.value());
  });
}

std::vector<LockWaiter> ReadWaiters(ByteReader& in) {
  std::vector<LockWaiter> waiters(in.Count(kMaxListed, 17));
  for (LockWaiter& waiter : waiters) {
    waiter.owner = LockOwner(in.U64());
    waiter.mode = ReadPart<LockMode>(in);
    waiter.wait = WaitId(in.U64());
  }
  return waiters;
}

template <typename Enum>
Enum ReadEnum(ByteReader& in, uint8_t highest) {
  uint8_t value = in.U8();
  if (value > highest) {
    in.Fail();
  }
  return static_cast<Enum>(value);
}

}  // namespace

template <>
InstanceId ReadPart(ByteReader& in) {
  return ReadEnum<InstanceId>(in, kMaxInstances);
}
template <>
BlockMode ReadPart(ByteReader& in) {
  return ReadEnum<BlockMode>(in, static_cast<uint8_t>(BlockMode::kExclusive));
}
template <>
LockMode ReadPart(ByteReader& in) {
  return ReadEnum<LockMode>(in, static_cast<uint8_t>(LockMode::kEx));
}

void WritePart(PageId page, ByteWriter& out) {
  out.U64(page.segment);
  out.U32(page.block);
}
template <>
PageId ReadPart(ByteReader& in) {
  PageId page;
  page.segment = in.U64();
  page.block = in.U32();
  return page;
}

void WritePart(ResourceId resource, ByteWriter& out) {
  out.U64(resource.space);
  out.U64(resource.key);
}
template <>
ResourceId ReadPart(ByteReader& in) {
  ResourceId resource;
  resource.space = in.U64();
  resource.key = in.U64();
  return resource;
}

void WritePart(const LockValue& value, ByteWriter& out) {
  out.U64(value.version);
  out.Bool(value.valid);
  out.Raw(std::string_view(value.bytes.data(), value.bytes.size()));
}
template <>
LockValue ReadPart(ByteReader& in) {
  LockValue value;
  value.version = in.U64();
  value.valid = in.Bool();
  for (char& byte : value.bytes) {
    byte = static_cast<char>(in.U8());
  }
  return value;
}

void WritePart(const LockPart& lock, ByteWriter& out) {
  WritePart(lock.resource, out);
  out.U64(lock.owner.value());
  out.U64(lock.wait.value());
  out.U8(static_cast<uint8_t>(lock.mode));
  out.Bool(lock.release);
  out.Bool(lock.no_wait);
  out.Bool(lock.with_value);
  WritePart(lock.value, out);
}
template <>
LockPart ReadPart(ByteReader& in) {
  LockPart lock;
  lock.resource = ReadPart<ResourceId>(in);
  lock.owner = LockOwner(in.U64());
  lock.wait = WaitId(in.U64());
  lock.mode = ReadPart<LockMode>(in);
  lock.release = in.Bool();
  lock.no_wait = in.Bool();
  lock.with_value = in.Bool();
  lock.value = ReadPart<LockValue>(in);
  return lock;
}

void WritePart(const FrameReport& report, ByteWriter& out) {
  WritePart(report.page, out);
  out.U8(static_cast<uint8_t>(report.mode));
  out.U64(report.psn.value());
  out.Bool(report.dirty);
  out.Bool(report.unsaved);
  out.U64(report.past.value());
}
template <>
FrameReport ReadPart(ByteReader& in) {
  FrameReport report;
  report.page = ReadPart<PageId>(in);
  report.mode = ReadPart<BlockMode>(in);
  report.psn = Psn(in.U64());
  report.dirty = in.Bool();
  report.unsaved = in.Bool();
  report.past = Psn(in.U64());
  return report;
}

void WritePart(const LockReport& report, ByteWriter& out) {
  out.U8(report.kind);
  WritePart(report.resource, out);
  out.U64(report.owner.value());
  out.U8(static_cast<uint8_t>(report.mode));
  WritePart(report.value, out);
}
template <>
LockReport ReadPart(ByteReader& in) {
  LockReport report;
  report.kind = ReadEnum<LockReport::Kind>(in, LockReport::kValue);
  report.resource = ReadPart<ResourceId>(in);
  report.owner = LockOwner(in.U64());
  report.mode = ReadPart<LockMode>(in);
  report.value = ReadPart<LockValue>(in);
  return report;
}

void WritePart(const PageMark& mark, ByteWriter& out) {
  WritePart(mark.page, out);
  out.U64(mark.psn.value());
}
template <>
PageMark ReadPart(ByteReader& in) {
  PageMark mark;
  mark.page = ReadPart<PageId>(in);
  mark.psn = Psn(in.U64());
  return mark;
}

void WritePart(const WaitEdge& edge, ByteWriter& out) {
  out.U64(edge.waiter.value());
  out.U64(edge.wait.value());
  out.U64(edge.holder.value());
  WritePart(edge.resource, out);
}
template <>
WaitEdge ReadPart(ByteReader& in) {
  WaitEdge edge;
  edge.waiter = LockOwner(in.U64());
  edge.wait = WaitId(in.U64());
  edge.holder = LockOwner(in.U64());
  edge.resource = ReadPart<ResourceId>(in);
  return edge;
}

void WritePart(const EntryState& entry, ByteWriter& out) {
  WritePart(entry.page, out);
  out.U8(entry.owner.value());
  out.U64(entry.sharers.bits());
  out.Bool(entry.recovering);
  WriteItems(entry.pasts, out, [&out](const PastHolder& past) {
    out.U8(past.instance.value());
    out.U64(past.psn.value());
  });
  WriteItems(entry.queue, out, [&out](const QueuedRequest& request) {
    out.U8(static_cast<uint8_t>(request.type));
    out.U8(request.from.value());
    out.U8(static_cast<uint8_t>(request.mode));
    out.U8(static_cast<uint8_t>(request.have));
    out.U64(request.psn.value());
  });
}
template <>
EntryState ReadPart(ByteReader& in) {
  EntryState entry;
  entry.page = ReadPart<PageId>(in);
  entry.owner = ReadPart<InstanceId>(in);
  entry.sharers = InstanceSet(in.U64());
  entry.recovering = in.Bool();
  entry.pasts.resize(in.Count(kMaxListed, 9));
  for (PastHolder& past : entry.pasts) {
    past.instance = ReadPart<InstanceId>(in);
    past.psn = Psn(in.U64());
  }
  entry.queue.resize(in.Count(kMaxListed, 12));
  for (QueuedRequest& request : entry.queue) {
    request.type = static_cast<MessageType>(in.U8());
    bool known = request.type == MessageType::kRequest ||
                 request.type == MessageType::kWriteRequest ||
                 request.type == MessageType::kRecover;
    if (!known) {
      in.Fail();
    }
    request.from = ReadPart<InstanceId>(in);
    request.mode = ReadPart<BlockMode>(in);
    request.have = ReadPart<BlockMode>(in);
    request.psn = Psn(in.U64());
  }
  return entry;
}

void WritePart(const ResourceState& state, ByteWriter& out) {
  WritePart(state.resource, out);
  WriteItems(state.granted, out, [&out](const LockHolder& holder) {
    out.U64(holder.owner.value());
    out.U8(static_cast<uint8_t>(holder.mode));
  });
  WriteWaiters(state.converting, out);
  WriteWaiters(state.waiting, out);
  WritePart(state.value, out);
}
template <>
ResourceState ReadPart(ByteReader& in) {
  ResourceState state;
  state.resource = ReadPart<ResourceId>(in);
  state.granted.resize(in.Count(kMaxListed, 9));
  for (LockHolder& holder : state.granted) {
    holder.owner = LockOwner(in.U64());
    holder.mode = ReadPart<LockMode>(in);
  }
  state.converting = ReadWaiters(in);
  state.waiting = ReadWaiters(in);
  state.value = ReadPart<LockValue>(in);
  return state;
}

}  // namespace pgquorum::fusion
