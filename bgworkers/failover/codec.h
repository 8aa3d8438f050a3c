// Internal: one description of a struct's fields (Tie) serves both directions of its byte coding,
// so that encoder and decoder cannot drift apart. Bounds and enum ranges are checked while reading.
#pragma once

#include <concepts>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "bgworkers/failover/cluster_state.h"
#include "bgworkers/failover/lease.h"
#include "bgworkers/failover/report.h"

namespace pgquorum::failover::codec {

template <typename T, typename U>
concept Is = std::same_as<std::remove_const_t<T>, U>;

// Largest value that each enum may have on the wire.
template <typename E>
inline constexpr uint8_t kLargest = 0;
template <>
inline constexpr uint8_t kLargest<MemberKind> = 2;
template <>
inline constexpr uint8_t kLargest<MemberState> = 3;
template <>
inline constexpr uint8_t kLargest<Reason> = 9;
template <>
inline constexpr uint8_t kLargest<RequestKind> = 2;
template <>
inline constexpr uint8_t kLargest<RequestOutcome> = 4;
template <>
inline constexpr uint8_t kLargest<PgState> = 5;
template <>
inline constexpr uint8_t kLargest<Repair> = 4;

inline constexpr std::size_t kMaxElements = 4096;

auto Tie(Is<Epoch> auto& v) {
  return std::tie(v.number, v.generation);
}
auto Tie(Is<Position> auto& v) {
  return std::tie(v.timeline, v.lsn);
}
auto Tie(Is<TimelineSwitch> auto& v) {
  return std::tie(v.timeline, v.end);
}
auto Tie(Is<History> auto& v) {
  return std::tie(v.ancestors, v.timeline, v.end);
}
auto Tie(Is<MemberInfo> auto& v) {
  return std::tie(v.name, v.listen_host, v.listen_port, v.raft_host, v.raft_port, v.priority,
                  v.kind, v.voting);
}
auto Tie(Is<CreateCluster> auto& v) {
  return std::tie(v.name, v.cluster_id, v.system_identifier, v.generation, v.first, v.timeline);
}
auto Tie(Is<IssueToken> auto& v) {
  return std::tie(v.token_hash, v.expires_us, v.kind, v.now_us);
}
auto Tie(Is<AddMember> auto& v) {
  return std::tie(v.token_hash, v.system_identifier, v.info, v.now_us);
}
auto Tie(Is<UpdateMember> auto& v) {
  return std::tie(v.node, v.info);
}
auto Tie(Is<SetMemberState> auto& v) {
  return std::tie(v.node, v.state);
}
auto Tie(Is<ForgetMember> auto& v) {
  return std::tie(v.node);
}
auto Tie(Is<Revoke> auto& v) {
  return std::tie(v.current, v.reason, v.request, v.outage_began_us, v.now_us, v.accept_loss);
}
auto Tie(Is<FetchTail> auto& v) {
  return std::tie(v.epoch, v.node, v.source, v.until);
}
auto Tie(Is<Appoint> auto& v) {
  return std::tie(v.epoch, v.node, v.boot, v.position, v.voters, v.n, v.timeline_floor, v.now_us);
}
auto Tie(Is<Resume> auto& v) {
  return std::tie(v.epoch, v.node, v.boot, v.timeline_floor, v.now_us);
}
auto Tie(Is<Settle> auto& v) {
  return std::tie(v.epoch, v.boot, v.timeline, v.now_us);
}
auto Tie(Is<ChangeRule> auto& v) {
  return std::tie(v.epoch, v.version, v.voters, v.n, v.sync, v.g, v.confirmed);
}
auto Tie(Is<RequestFailover> auto& v) {
  return std::tie(v.id, v.kind, v.target, v.accept_loss, v.requested_by, v.now_us);
}
auto Tie(Is<BeginDrain> auto& v) {
  return std::tie(v.id, v.epoch, v.target);
}
auto Tie(Is<FinishRequest> auto& v) {
  return std::tie(v.id, v.outcome, v.detail);
}
auto Tie(Is<SetSetting> auto& v) {
  return std::tie(v.key, v.value);
}
auto Tie(Is<ForceQuorum> auto& v) {
  return std::tie(v.current, v.generation, v.survivors, v.requested_by, v.now_us);
}
auto Tie(Is<AllowRepair> auto& v) {
  return std::tie(v.epoch, v.node);
}
auto Tie(Is<Member> auto& v) {
  return std::tie(v.id, v.info, v.state);
}
auto Tie(Is<Token> auto& v) {
  return std::tie(v.expires_us, v.kind);
}
auto Tie(Is<Rule> auto& v) {
  return std::tie(v.epoch, v.version, v.primary, v.voters, v.n, v.sync, v.g, v.async, v.repair);
}
auto Tie(Is<Appointment> auto& v) {
  return std::tie(v.epoch, v.node, v.boot, v.timeline, v.fork, v.wait_for_leases, v.settled);
}
auto Tie(Is<Recruiting> auto& v) {
  return std::tie(v.epoch, v.reason, v.from, v.request, v.accept_loss, v.fetch);
}
auto Tie(Is<FailoverRequest> auto& v) {
  return std::tie(v.verb, v.epoch, v.draining, v.outcome, v.detail);
}
auto Tie(Is<HistoryEntry> auto& v) {
  return std::tie(v.epoch, v.reason, v.from, v.to, v.timeline, v.outage_began_us, v.started_us,
                  v.appointed_us, v.finished_us, v.outcome, v.detail);
}
auto Tie(Is<NodeReport> auto& v) {
  return std::tie(v.node, v.boot, v.sequence, v.worker, v.pg, v.repair, v.known_epoch,
                  v.applied_index, v.pledge_epoch, v.pledge_position, v.wants_resume,
                  v.wants_step_down, v.history, v.receiver_running, v.upstream, v.upstream_timeline,
                  v.receive_timeline, v.receive_lsn, v.receive_age_ms, v.replay_lsn,
                  v.replay_lag_ms, v.marker, v.checkpointed, v.list_epoch, v.list_version,
                  v.list_confirmed, v.gate_open, v.drained, v.drained_lsn, v.listener_ok,
                  v.wal_writable, v.clients_admitted, v.stalled_ms, v.connections, v.uptime_s,
                  v.state, v.detail, v.newest_timeline, v.wal_floor, v.warning);
}
auto Tie(Is<LeaseRequest> auto& v) {
  return std::tie(v.node, v.boot, v.epoch, v.membership_version, v.sequence);
}
auto Tie(Is<LeaseGrant> auto& v) {
  return std::tie(v.from, v.boot, v.epoch, v.sequence, v.granted, v.revoked);
}

template <typename T>
concept Tied = requires(T& v) {
  Tie(v);
};
template <typename T>
concept Id = requires(const T& v) {
  typename T::rep;
  v.value();
};

// ---- writing ----
inline void Write(ByteWriter& out, bool v) {
  out.Bool(v);
}
template <std::unsigned_integral T>
requires(!std::same_as<T, bool>) void Write(ByteWriter& out, T v) {
  out.Fixed(v);
}
inline void Write(ByteWriter& out, int64_t v) {
  out.I64(v);
}
inline void Write(ByteWriter& out, const std::string& v) {
  out.Bytes(v);
}
template <typename E>
requires std::is_enum_v<E>
void Write(ByteWriter& out, E v) {
  out.U8(static_cast<uint8_t>(v));
}
template <Id T>
void Write(ByteWriter& out, T v) {
  out.Fixed(v.value());
}
template <Tied T>
void Write(ByteWriter& out, const T& v);
template <typename T>
void Write(ByteWriter& out, const std::optional<T>& v) {
  out.Bool(v.has_value());
  if (v) {
    Write(out, *v);
  }
}
template <typename A, typename B>
void Write(ByteWriter& out, const std::pair<A, B>& v) {
  Write(out, v.first);
  Write(out, v.second);
}
template <typename C>
void WriteAll(ByteWriter& out, const C& values) {
  out.U32(static_cast<uint32_t>(values.size()));
  for (const auto& v : values) {
    Write(out, v);
  }
}
template <typename T>
void Write(ByteWriter& out, const std::vector<T>& v) {
  WriteAll(out, v);
}
template <typename T>
void Write(ByteWriter& out, const std::deque<T>& v) {
  WriteAll(out, v);
}
template <typename T>
void Write(ByteWriter& out, const std::set<T>& v) {
  WriteAll(out, v);
}
template <typename K, typename V>
void Write(ByteWriter& out, const std::map<K, V>& v) {
  WriteAll(out, v);
}
template <Tied T>
void Write(ByteWriter& out, const T& v) {
  std::apply([&out](const auto&... field) { (Write(out, field), ...); }, Tie(v));
}

// ---- reading ----
inline void Read(ByteReader& in, bool& v) {
  v = in.Bool();
}
template <std::unsigned_integral T>
requires(!std::same_as<T, bool>) void Read(ByteReader& in, T& v) {
  v = in.Fixed<T>();
}
inline void Read(ByteReader& in, int64_t& v) {
  v = in.I64();
}
inline void Read(ByteReader& in, std::string& v) {
  v = in.Bytes(kMaxTextLength);
}
template <typename E>
requires std::is_enum_v<E>
void Read(ByteReader& in, E& v) {
  uint8_t raw = in.U8();
  if (raw > kLargest<E>) {
    in.Fail();
    raw = 0;
  }
  v = static_cast<E>(raw);
}
template <Id T>
void Read(ByteReader& in, T& v) {
  v = T(in.Fixed<typename T::rep>());
}
template <Tied T>
void Read(ByteReader& in, T& v);
template <typename T>
void Read(ByteReader& in, std::optional<T>& v) {
  v.reset();
  if (in.Bool()) {
    Read(in, v.emplace());
  }
}
template <typename A, typename B>
void Read(ByteReader& in, std::pair<A, B>& v) {
  Read(in, v.first);
  Read(in, v.second);
}
template <typename T>
void Read(ByteReader& in, std::vector<T>& values) {
  values.resize(in.Count(kMaxElements, 1));
  for (T& v : values) {
    Read(in, v);
  }
}
template <typename T>
void Read(ByteReader& in, std::deque<T>& values) {
  values.resize(in.Count(kMaxElements, 1));
  for (T& v : values) {
    Read(in, v);
  }
}
template <typename T>
void Read(ByteReader& in, std::set<T>& values) {
  values.clear();
  for (std::size_t count = in.Count(kMaxElements, 1); count > 0; --count) {
    T v{};
    Read(in, v);
    values.insert(std::move(v));
  }
}
template <typename K, typename V>
void Read(ByteReader& in, std::map<K, V>& values) {
  values.clear();
  for (std::size_t count = in.Count(kMaxElements, 1); count > 0; --count) {
    std::pair<K, V> v{};
    Read(in, v);
    values.insert(std::move(v));
  }
}
template <Tied T>
void Read(ByteReader& in, T& v) {
  std::apply([&in](auto&... field) { (Read(in, field), ...); }, Tie(v));
}

}  // namespace pgquorum::failover::codec

#include "base/pure.h"
