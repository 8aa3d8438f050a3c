#include "bgworkers/failover/report.h"

#include <type_traits>
#include <utility>

#include "bgworkers/failover/codec.h"

#include "base/pure.h"

namespace pgquorum::failover {
namespace {

constexpr uint8_t kReportVersion = 1;

template <typename T>
std::string EncodeMessage(const T& message) {
  ByteWriter out;
  out.U8(kReportVersion);
  codec::Write(out, message);
  return std::move(out).Take();
}

// Messages may grow at their end within a version: what follows the known fields is ignored.
void ReadAppended(ByteReader&, auto&) {}
void ReadAppended(ByteReader& in, NodeReport& report) {
  if (!in.ok() || in.Finished()) {
    return;
  }
  codec::Read(in, report.whole);
  codec::Read(in, report.pending_restart);
}

template <typename T>
Result<T> DecodeMessage(std::string_view bytes, const char* what) {
  ByteReader in(bytes);
  uint8_t version = in.U8();
  if (in.ok() && version != kReportVersion) {
    return Status::Error("0A000", std::string(what) + " has an unknown version")
        .WithDetail("version " + std::to_string(version));
  }
  T message;
  codec::Read(in, message);
  ReadAppended(in, message);
  if (!in.ok()) {
    return Status::Error("22P03", std::string(what) + " is malformed");
  }
  return message;
}

}  // namespace

const char* ToString(PgState state) {
  static const char* const kNames[] = {"down",      "starting", "standby",
                                       "promoting", "primary",  "stopping"};
  return kNames[static_cast<std::size_t>(state)];
}

const char* ToString(Repair repair) {
  static const char* const kNames[] = {"none", "needs rewind", "needs re-clone", "running",
                                       "quarantined"};
  return kNames[static_cast<std::size_t>(repair)];
}

std::string Encode(const NodeReport& report) {
  ByteWriter appended;
  codec::Write(appended, report.whole);
  codec::Write(appended, report.pending_restart);
  return EncodeMessage(report) + std::move(appended).Take();
}
std::string Encode(const LeaseRequest& request) {
  return EncodeMessage(request);
}
std::string Encode(const LeaseGrant& grant) {
  return EncodeMessage(grant);
}

Result<NodeReport> DecodeNodeReport(std::string_view bytes) {
  return DecodeMessage<NodeReport>(bytes, "node report");
}
Result<LeaseRequest> DecodeLeaseRequest(std::string_view bytes) {
  return DecodeMessage<LeaseRequest>(bytes, "lease request");
}
Result<LeaseGrant> DecodeLeaseGrant(std::string_view bytes) {
  return DecodeMessage<LeaseGrant>(bytes, "lease grant");
}

bool Accept(PeerView& peer, NodeReport report, TimeNs now) {
  if (peer.report && peer.report->worker == report.worker &&
      report.sequence <= peer.report->sequence) {
    return false;
  }
  peer.report = std::move(report);
  peer.received_at = now;
  return true;
}

}  // namespace pgquorum::failover
