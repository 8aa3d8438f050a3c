#include "bgworkers/consensus/certificates.h"

#include <sys/stat.h>

#include <ctime>
#include <utility>

#include "base/pure.h"

namespace pgquorum::consensus {

namespace {

constexpr int64_t kDay = 24 * 3600;
constexpr const char* kFiles[] = {"ca.crt", "node.crt", "node.key"};

std::string Warn(const char* whose, int64_t ends_s, int64_t now_s) {
  if (ends_s == 0 || ends_s - now_s >= kCertificateWarningDays * kDay) {
    return "";
  }
  char date[32] = "";
  auto ends = static_cast<time_t>(ends_s);
  tm parts = {};
  if (gmtime_r(&ends, &parts) != nullptr) {
    strftime(date, sizeof(date), "%Y-%m-%d", &parts);
  }
  if (ends_s <= now_s) {
    return std::string(whose) + " certificate expired on " + date;
  }
  return std::string(whose) + " certificate expires on " + date + ", in " +
         std::to_string((ends_s - now_s) / kDay) + " days";
}

}  // namespace

CertificateWatch::CertificateWatch(std::string directory, std::string node_name)
    : directory_(std::move(directory)), node_name_(std::move(node_name)), seen_(Fingerprint()) {
  if (Result<transport::TlsIdentity> identity = Load(); identity.ok()) {
    NoteDates(identity.value());
  }
}

CertificateFinding CertificateWatch::Look(int64_t now_s) {
  CertificateFinding finding;
  std::string present = Fingerprint();
  if (present != seen_) {
    seen_ = std::move(present);
    Result<transport::TlsIdentity> identity = Load();
    finding.replaced = identity.ok();
    finding.problem = identity.ok() ? "" : identity.status().ToString();
    if (finding.replaced) {
      NoteDates(identity.value());
    }
  }
  finding.warning = Warn("the node's", node_ends_s_, now_s);
  if (finding.warning.empty()) {
    finding.warning = Warn("the authority's", authority_ends_s_, now_s);
  }
  return finding;
}

// Changes whenever a file is replaced or written.
std::string CertificateWatch::Fingerprint() const {
  std::string all;
  for (const char* name : kFiles) {
    struct stat info;
    if (::stat((directory_ + "/" + name).c_str(), &info) == 0) {
      all += std::to_string(info.st_ino) + ":" + std::to_string(info.st_size) + ":" +
             std::to_string(info.st_mtim.tv_sec) + "." + std::to_string(info.st_mtim.tv_nsec);
    }
    all += ";";
  }
  return all;
}

Result<transport::TlsIdentity> CertificateWatch::Load() const {
  return transport::LoadIdentity(directory_, node_name_);
}

void CertificateWatch::NoteDates(const transport::TlsIdentity& identity) {
  node_ends_s_ = identity.info.not_after_s;
  Result<transport::CertificateInfo> authority = transport::Inspect(identity.ca_certificate);
  authority_ends_s_ = authority.ok() ? authority.value().not_after_s : 0;
}

}  // namespace pgquorum::consensus
