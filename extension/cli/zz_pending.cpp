#include "extension/cli/commands.h"
#include "extension/cli/console.h"
#include "extension/cli/pki_files.h"
#include "extension/cli/process.h"
namespace pgquorum::cli {
Status ClusterJoin(const JoinOptions&) {
  return SystemError("pending");
}
Status CreateClusterPki(const fs::path& pki, const identity::NodeIdentity& node) {
  fs::create_directories(pki);
  Command c;
  c.argv = {"/bin/sh", "-c",
            "cd " + pki.string() +
                " && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "
                "node.key -out node.crt -days 30 -subj /CN=" +
                node.node_name + " && cp node.crt ca.crt && chmod 600 node.key"};
  return RunOrFail(c, "make pki").status();
}
}  // namespace pgquorum::cli
