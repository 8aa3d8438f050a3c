#include "raftlog/sim/machine.h"

#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "raftlog/errors.h"

#include "base/pure.h"

namespace pgquorum::raft::sim {
namespace {

uint64_t Mix(uint64_t a, uint64_t b) {
  uint64_t z = (a ^ (b + 0x9E3779B97F4A7C15ULL + (a << 6) + (a >> 2))) * 0xBF58476D1CE4E5B9ULL;
  return z ^ (z >> 29);
}

}  // namespace

uint64_t HashOf(const Entry& entry) {
  uint64_t hash = Mix(entry.term.value(), entry.index.value());
  return Mix(Mix(hash, static_cast<uint64_t>(entry.type)), Crc32c(entry.data));
}

void Machine::Apply(const Entry& entry) {
  PGQUORUM_CHECK(entry.index == applied_ + 1);
  applied_ = entry.index;
  applied_term_ = entry.term;
  chain_ = Mix(chain_, HashOf(entry));
  if (entry.type == EntryType::kCommand) {
    std::size_t blank = entry.data.find(' ');
    PGQUORUM_CHECK(blank != std::string::npos);
    registers_[static_cast<uint32_t>(std::stoul(entry.data))] =
        std::stoull(entry.data.substr(blank + 1));
  }
  if (entry.type == EntryType::kSession) {
    outcome_ = sessions_.Apply(entry, [this](std::string_view) {
      ++counter_;
      return std::to_string(counter_);
    });
  }
}

std::string Machine::Save() const {
  ByteWriter out;
  out.U64(applied_.value());
  out.U64(applied_term_.value());
  out.U64(chain_);
  out.U64(counter_);
  out.U32(static_cast<uint32_t>(registers_.size()));
  for (const auto& [key, value] : registers_) {
    out.U32(key);
    out.U64(value);
  }
  out.Bytes(sessions_.Encode());
  out.Bytes(std::string(300 + chain_ % 700, 'p'));
  return std::move(out).Take();
}

Status Machine::Load(std::string_view data) {
  ByteReader in(data);
  applied_ = Index(in.U64());
  applied_term_ = Term(in.U64());
  chain_ = in.U64();
  counter_ = in.U64();
  std::size_t registers = in.Count(1000, 12);
  for (std::size_t i = 0; i < registers && in.ok(); ++i) {
    uint32_t key = in.U32();
    registers_[key] = in.U64();
  }
  std::string_view sessions = in.Bytes(std::size_t{1} << 30);
  in.Bytes(std::size_t{1} << 20);
  if (!in.Finished()) {
    return Status::Error(kErrMalformed, "malformed snapshot of the simulator");
  }
  return sessions_.Decode(sessions);
}

}  // namespace pgquorum::raft::sim
