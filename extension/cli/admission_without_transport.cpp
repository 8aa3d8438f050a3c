// Stands in for admission.cpp in builds without the transport library (see CMakeLists.txt).
#include "extension/cli/admission.h"
#include "extension/cli/console.h"

namespace pgquorum::cli {

Result<Admission> AskToJoin(const fs::path&, const std::string&, const identity::Endpoint&,
                            const identity::NodeIdentity&, bool) {
  return SystemError("this build of pgquorum cannot join a cluster")
      .WithDetail("It was built without the transport library.");
}

}  // namespace pgquorum::cli
