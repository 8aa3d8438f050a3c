// Bytes of messages and datagrams. Little endian; every length bounded by the input and by the
// limits below, so hostile input costs nothing and yields an error; a version first and the CRC32C
// of all before it last.
//
//   datagram   u8 version, u8 from, u8 to, u8 zero, u64 from_life, u64 to_life, u64 sequence,
//              u64 acknowledged, bytes payload, u32 crc
//   message    u8 version, u8 type, u8 from, u8 to, u64 epoch, u16 flags, u16 parts, u16 bucket,
//              u64 segment, u32 block, u8 mode, u8 have, u64 psn, u8 peer, u64 conversion,
//              then the parts whose bits are set, in the order of the bits, u32 crc
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "cachefusion/message.h"
#include "cachefusion/session/session.h"

namespace pgquorum::fusion {

inline constexpr uint8_t kWireVersion = 1;
inline constexpr std::string_view kErrMalformedMessage = "RX321";

// Limits that both sides enforce: the encoder by PGQUORUM_CHECK, the decoder by an error.
inline constexpr std::size_t kMaxPageBytes = 65'536;
inline constexpr std::size_t kMaxListed = 65'536;  // elements of any list
inline constexpr std::size_t kMaxPayloadBytes = std::size_t{16} << 20;

std::string EncodeMessage(const Message& message);
Result<Message> DecodeMessage(std::string_view bytes);

std::string EncodeDatagram(const Datagram& datagram);
Result<Datagram> DecodeDatagram(std::string_view bytes);

}  // namespace pgquorum::fusion

#include "base/pure.h"
