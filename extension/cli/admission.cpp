#include "extension/cli/admission.h"

#include "bgworkers/transport/join.h"
#include "bgworkers/transport/pki.h"

namespace pgquorum::cli {

Result<Admission> AskToJoin(const fs::path& pki, const std::string& token_text,
                            const identity::Endpoint& contact, const identity::NodeIdentity& node,
                            bool insecure) {
  const Result<transport::JoinToken> token = transport::JoinToken::Parse(token_text);
  if (!token.ok()) {
    return token.status();
  }
  const Result<transport::NodeKey> key = transport::CreateNodeKey(node.node_name);
  if (!key.ok()) {
    return key.status();
  }
  transport::JoinRequest request;
  request.node_name = node.node_name;
  request.listen_host = node.listen.host;
  request.listen_port = node.listen.port;
  request.raft_host = node.raft.host;
  request.raft_port = node.raft.port;
  request.witness = node.witness;
  request.certificate_signing_request = key.value().certificate_signing_request;
  transport::JoinClient::Options options;
  options.insecure = insecure;
  const Result<transport::JoinResponse> answer =
      transport::JoinClient::Join(contact.host, contact.port, token.value(), request, options);
  if (!answer.ok()) {
    return answer.status();
  }
  const transport::JoinResponse& response = answer.value();
  if (Status s = transport::WriteJoinedPki(pki, key.value(), response); !s.ok()) {
    return s;
  }
  Admission admission;
  admission.cluster_name = response.cluster_name;
  admission.cluster_id = response.cluster_id;
  admission.raft_node_id = response.raft_node_id;
  admission.system_identifier = response.system_identifier;
  admission.primary = response.primary_node_id;
  for (const transport::JoinMember& member : response.members) {
    admission.members.push_back({member.raft_node_id,
                                 member.name,
                                 {member.listen_host, member.listen_port},
                                 {member.raft_host, member.raft_port}});
  }
  return admission;
}

}  // namespace pgquorum::cli
