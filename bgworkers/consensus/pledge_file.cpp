#include "bgworkers/consensus/pledge_file.h"

#include <utility>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "extension/identity/files.h"
#include "sqlstates.h"

namespace pgquorum::consensus {

// Pledge file: magic, version, length, content, CRC-32C of all before it seeded with the cluster
// id.
namespace {
constexpr std::string_view kPledgeMagic = "PGQPLDGE";
constexpr uint32_t kPledgeVersion = 1;
constexpr std::size_t kPledgeOverhead = 8 + 4 + 4 + 4;

uint32_t SeedOf(uint64_t cluster_id) {
  ByteWriter writer;
  writer.U64(cluster_id);
  return Crc32c(writer.data());
}
}  // namespace

PledgeFile::PledgeFile(std::string path, uint64_t cluster_id)
    : path_(std::move(path)), seed_(SeedOf(cluster_id)) {}

Result<std::optional<std::string>> PledgeFile::Read() const {
  Result<std::optional<std::string>> file =
      identity::ReadFileIfThere(path_, kMaxContent + kPledgeOverhead);
  if (!file.ok() || !file.value()) {
    return file;
  }
  const std::string& bytes = *file.value();
  Status damaged = Status::Error(sqlstate::kDataCorrupted,
                                 "pledge file \"" + path_ + "\" is damaged or foreign");
  if (bytes.size() < kPledgeOverhead || !bytes.starts_with(kPledgeMagic)) {
    return damaged;
  }
  ByteReader tail(std::string_view(bytes).substr(bytes.size() - 4));
  if (tail.U32() != Crc32c(std::string_view(bytes).substr(0, bytes.size() - 4), seed_)) {
    return damaged;
  }
  ByteReader reader(
      std::string_view(bytes).substr(kPledgeMagic.size(), bytes.size() - kPledgeMagic.size() - 4));
  const uint32_t version = reader.U32();
  std::string content(reader.Bytes(kMaxContent));
  if (version != kPledgeVersion || !reader.Finished()) {
    return damaged;
  }
  return std::optional<std::string>(std::move(content));
}

Status PledgeFile::Write(std::string_view content) const {
  PGQUORUM_CHECK(content.size() <= kMaxContent);
  ByteWriter writer;
  writer.Raw(kPledgeMagic);
  writer.U32(kPledgeVersion);
  writer.Bytes(content);
  writer.U32(Crc32c(writer.data(), seed_));
  return identity::WriteFileDurably(path_, writer.data());
}

}  // namespace pgquorum::consensus
