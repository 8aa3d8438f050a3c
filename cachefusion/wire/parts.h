// Bytes of what messages are made of. WritePart(x, out) and ReadPart<X>(in) for each; a value out
// of its range makes the reader fail.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bytes.h"
#include "cachefusion/message.h"

namespace pgquorum::fusion {

void WritePart(PageId page, ByteWriter& out);
void WritePart(ResourceId resource, ByteWriter& out);
void WritePart(const LockValue& value, ByteWriter& out);
void WritePart(const LockPart& lock, ByteWriter& out);
void WritePart(const FrameReport& report, ByteWriter& out);
void WritePart(const LockReport& report, ByteWriter& out);
void WritePart(const PageMark& mark, ByteWriter& out);
void WritePart(const WaitEdge& edge, ByteWriter& out);
void WritePart(const EntryState& entry, ByteWriter& out);
void WritePart(const ResourceState& resource, ByteWriter& out);

template <typename T>
T ReadPart(ByteReader& in);
template <>
InstanceId ReadPart(ByteReader& in);
template <>
BlockMode ReadPart(ByteReader& in);
template <>
LockMode ReadPart(ByteReader& in);
template <>
PageId ReadPart(ByteReader& in);
template <>
ResourceId ReadPart(ByteReader& in);
template <>
LockValue ReadPart(ByteReader& in);
template <>
LockPart ReadPart(ByteReader& in);
template <>
FrameReport ReadPart(ByteReader& in);
template <>
LockReport ReadPart(ByteReader& in);
template <>
PageMark ReadPart(ByteReader& in);
template <>
WaitEdge ReadPart(ByteReader& in);
template <>
EntryState ReadPart(ByteReader& in);
template <>
ResourceState ReadPart(ByteReader& in);

// The fewest bytes that one takes, so that a hostile count reserves no memory.
template <typename T>
inline constexpr std::size_t kLeastBytes = 1;
template <>
inline constexpr std::size_t kLeastBytes<FrameReport> = 31;
template <>
inline constexpr std::size_t kLeastBytes<LockReport> = 99;
template <>
inline constexpr std::size_t kLeastBytes<PageMark> = 20;
template <>
inline constexpr std::size_t kLeastBytes<WaitEdge> = 40;
template <>
inline constexpr std::size_t kLeastBytes<EntryState> = 30;
template <>
inline constexpr std::size_t kLeastBytes<ResourceState> = 101;

}  // namespace pgquorum::fusion

#include "base/pure.h"
