// Looks after this node's certificate files while the worker runs: have they been replaced, and how
// long are they valid.
#pragma once

#include <cstdint>
#include <string>

#include "bgworkers/transport/pki.h"

namespace pgquorum::consensus {

// From this many days before the end on there is a warning.
inline constexpr int64_t kCertificateWarningDays = 30;

struct CertificateFinding {
  // Other files than at the last look, and they are usable: what works with the old ones must begin
  // anew.
  bool replaced = false;
  // Other files than at the last look, and they are not usable: why. The old ones stay in use.
  std::string problem;
  // Empty, or that the node's or the authority's certificate ends soon or has ended.
  std::string warning;
};

class CertificateWatch {
 public:
  // `directory` is the state directory's pki/. The files as they are now are the ones in use.
  CertificateWatch(std::string directory, std::string node_name);

  // Cheap: reads the files only when one has changed. `now_s` is Unix time.
  CertificateFinding Look(int64_t now_s);

 private:
  std::string Fingerprint() const;
  Result<transport::TlsIdentity> Load() const;
  void NoteDates(const transport::TlsIdentity& identity);

  std::string directory_;
  std::string node_name_;
  std::string seen_;
  int64_t node_ends_s_ = 0;  // 0: not known
  int64_t authority_ends_s_ = 0;
};

}  // namespace pgquorum::consensus

#include "base/pure.h"
