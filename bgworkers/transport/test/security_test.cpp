// Who is let in, and who is not.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "bgworkers/transport/client.h"
#include "bgworkers/transport/openssl_handles.h"
#include "bgworkers/transport/test/harness.h"
#include "bgworkers/transport/tls_peek.h"
#include "bgworkers/transport/wire.h"
#include "bgworkers/transport/grpc_setup.h"
#include "transport.grpc.pb.h"

namespace pgquorum::transport {
namespace {

class Security : public testing::Test {
 protected:
  // Node 1, which knows nobody.
  void StartServer(TransportCallbacks callbacks = {}) {
    server_ = std::make_unique<TestNode>(OptionsOf(1, pki_.Make("node1")), std::move(callbacks));
    Status started = (*server_)->Start();
    ASSERT_TRUE(started.ok()) << started.ToString();
  }
  uint16_t port() { return (*server_)->port(); }
  Counters counters() { return (*server_)->counters(); }

  // Node 2 with these options dials node 1 and must not get in.
  void ExpectRefused(const TransportOptions& options) {
    TestNode client(options);
    Status started = client->Start();
    ASSERT_TRUE(started.ok()) << started.ToString();
    client->SetPeers({PeerOf(1, port())});
    client->Send(1, Channel::kRaft, "let me in");
    EXPECT_TRUE(client.AwaitEvent(1, PeerEventKind::kUnreachable));
    for (const PeerEvent& event : client.events()) {
      EXPECT_EQ(event.kind, PeerEventKind::kUnreachable);
    }
    EXPECT_TRUE(server_->frames().empty());
  }

  // A call without the checks of our own clients.
  grpc::Status RawConnect(const std::shared_ptr<grpc::ChannelCredentials>& credentials,
                          const wire::Packet& first) {
    auto channel =
        grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(port()), credentials,
                                  MakeChannelArguments(NodeDnsName("node1", kTestCluster), 5000));
    auto stub = wire::Nodes::NewStub(channel);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
    auto stream = stub->Connect(&context);
    stream->Write(first);
    wire::Packet answer;
    bool welcomed = stream->Read(&answer);
    if (welcomed) {
      context.TryCancel();
    }
    grpc::Status status = stream->Finish();
    return welcomed ? grpc::Status::OK : status;
  }
  wire::Packet Greeting(const std::string& name, uint64_t from) {
    wire::Packet packet;
    packet.set_cluster_id(kTestCluster);
    packet.set_from(from);
    packet.set_to(1);
    packet.mutable_hello()->set_version(kProtocolVersion);
    packet.mutable_hello()->set_version_min(kProtocolVersionMin);
    packet.mutable_hello()->set_name(name);
    packet.mutable_hello()->set_host("127.0.0.1");
    packet.mutable_hello()->set_port(1);
    return packet;
  }
  std::shared_ptr<grpc::ChannelCredentials> CredentialsOf(const std::string& node) {
    TlsIdentity identity = LoadIdentity(pki_.Make(node), node).value();
    return MakeChannelCredentials(&identity);
  }

  TestPki pki_;
  std::unique_ptr<TestNode> server_;
};

TEST_F(Security, AnotherCaIsRefused) {
  StartServer();
  TestPki other;
  ExpectRefused(OptionsOf(2, other.Make("node2")));
}

TEST_F(Security, AnExpiredCertificateIsRefusedByItsOwnerAndByOthers) {
  StartServer();
  std::string expired = pki_.Make("node2", kTestCluster, -1);
  Status own = TestNode(OptionsOf(2, expired))->Start();
  EXPECT_EQ(own.sqlstate(), "RX004");
  EXPECT_NE(own.message().find("expired"), std::string::npos);
  // The owner's own check aside: the server's handshake refuses it.
  TlsIdentity good = LoadIdentity(pki_.Make("node3"), "node3").value();
  TlsIdentity bad = good;
  NodeKey key = CreateNodeKey("node3").value();
  bad.key = key.key;
  bad.certificate =
      SignNode(pki_.authority(), key.certificate_signing_request, "node3", kTestCluster, -1)
          .value();
  EXPECT_TRUE(RawConnect(MakeChannelCredentials(&good), Greeting("node3", 3)).ok());
  EXPECT_EQ(RawConnect(MakeChannelCredentials(&bad), Greeting("node3", 3)).error_code(),
            grpc::StatusCode::UNAVAILABLE);
}

TEST_F(Security, AForeignClusterIdIsRefusedAndCounted) {
  StartServer();
  wire::Packet foreign = Greeting("node2", 2);
  foreign.set_cluster_id(99);
  EXPECT_EQ(RawConnect(CredentialsOf("node2"), foreign).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(counters().refused_cluster, 1U);
}

TEST_F(Security, ASenderThatIsNotItsCertificateIsRefusedAndCounted) {
  StartServer();
  auto credentials = CredentialsOf("node2");
  EXPECT_TRUE(RawConnect(credentials, Greeting("node2", 2)).ok());
  const wire::Packet spoofed[] = {Greeting("node3", 3), Greeting("node1", 2), Greeting("node2", 1)};
  for (const wire::Packet& packet : spoofed) {
    EXPECT_EQ(RawConnect(credentials, packet).error_code(), grpc::StatusCode::PERMISSION_DENIED);
  }
  EXPECT_EQ(counters().refused_identity, 3U);
  // Known under another id.
  (*server_)->SetPeers({{5, "node2", "127.0.0.1", 1}});
  for (int i = 0; i < 5000 && counters().peers.size() != 1; ++i) {
    server_->Await([](const auto&, const auto&) { return false; }, 1);
  }
  EXPECT_EQ(RawConnect(credentials, Greeting("node2", 2)).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  wire::Packet other_target = Greeting("node2", 5);
  other_target.set_to(4);
  EXPECT_EQ(RawConnect(credentials, other_target).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_TRUE(RawConnect(credentials, Greeting("node2", 5)).ok());
}

TEST_F(Security, TheDialerChecksWhomItMet) {
  StartServer();
  // Somebody else's address in the list: the listener's certificate is node1's.
  TestNode client(OptionsOf(2, pki_.Make("node2")));
  ASSERT_TRUE(client->Start().ok());
  client->SetPeers({{3, "node3", "127.0.0.1", port()}});
  client->Send(3, Channel::kRaft, "for node3 only");
  EXPECT_TRUE(client.AwaitEvent(3, PeerEventKind::kUnreachable));
  EXPECT_TRUE(server_->frames().empty());
}

TEST_F(Security, WithoutACertificateOnlyJoinIsServed) {
  TransportCallbacks callbacks;
  callbacks.on_status = [](std::string, TransportCallbacks::Answer answer) {
    answer(std::string("secret"));
  };
  callbacks.on_forward = [](std::string, std::string, TransportCallbacks::Answer answer) {
    answer(std::string("done"));
  };
  callbacks.on_join = [](JoinRequest, JoinAnswer answer) {
    answer(Status::Error("28000", "bad token"));
  };
  StartServer(callbacks);
  auto anonymous = MakeAnonymousCredentials(pki_.authority().certificate);
  EXPECT_EQ(RawConnect(anonymous, Greeting("node2", 2)).error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
  auto channel =
      grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(port()), anonymous,
                                MakeChannelArguments(NodeDnsName("node1", kTestCluster), 5000));
  auto stub = wire::Nodes::NewStub(channel);
  grpc::ClientContext status_context;
  wire::Reply reply;
  EXPECT_EQ(stub->Status(&status_context, {}, &reply).error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
  grpc::ClientContext forward_context;
  EXPECT_EQ(stub->Forward(&forward_context, {}, &reply).error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_TRUE(reply.answer().empty());
  EXPECT_EQ(counters().refused_certificate, 3U);
  grpc::ClientContext join_context;
  wire::JoinReply join_reply;
  wire::JoinCall call;
  ToWire(JoinRequest{std::string(kSecretBytes, 's'), "node4", "h", 1, "h", 2, 0, "csr"}, call);
  EXPECT_TRUE(stub->Join(&join_context, call, &join_reply).ok());
  EXPECT_EQ(join_reply.error().sqlstate(), "28000");

  ClientOptions member{pki_.Make("node2"), false, "127.0.0.1", port(), 10'000};
  EXPECT_EQ(QueryStatus(member).value(), "secret");
  EXPECT_EQ(ForwardRequest(member, "x").value(), "done");
  TestPki other;
  member.pki_directory = other.Make("node2");
  EXPECT_EQ(QueryStatus(member).status().sqlstate(), "RX004");
}

// What a plain OpenSSL client that offers at most `max` negotiates; 0 when it is refused.
int Negotiate(uint16_t port, int max) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  SslContextPtr context(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_max_proto_version(context.get(), max);
  SSL_CTX_set_cipher_list(context.get(), "ALL:@SECLEVEL=0");
  SslPtr ssl(SSL_new(context.get()));
  SSL_set_fd(ssl.get(), fd);
  const unsigned char alpn[] = {2, 'h', '2'};
  SSL_set_alpn_protos(ssl.get(), alpn, sizeof alpn);
  int version = SSL_connect(ssl.get()) == 1 ? SSL_version(ssl.get()) : 0;
  ERR_clear_error();
  ssl.reset();
  close(fd);
  return version;
}

TEST_F(Security, TheListenerSpeaksTls13Only) {
  StartServer();
  EXPECT_EQ(Negotiate(port(), TLS1_3_VERSION), TLS1_3_VERSION);
  EXPECT_EQ(Negotiate(port(), TLS1_2_VERSION), 0);
}

TEST_F(Security, TheDialerSpeaksTls13Only) {
  // The dialer hangs up on the bad server while it writes.
  signal(SIGPIPE, SIG_IGN);
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(listener, 8), 0);
  ASSERT_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
  // A server with node1's good certificate: first it allows 1.2 at most, then anything.
  auto serve = [&](int max) {
    TlsIdentity identity = LoadIdentity(pki_.Make("node1"), "node1").value();
    SslContextPtr context(SSL_CTX_new(TLS_server_method()));
    SSL_CTX_set_max_proto_version(context.get(), max);
    SSL_CTX_use_certificate(context.get(), ParseCertificate(identity.certificate).get());
    SSL_CTX_use_PrivateKey(context.get(), ParseKey(identity.key).get());
    TestNode client(OptionsOf(2, pki_.Make("node2")));
    EXPECT_TRUE(client->Start().ok());
    client->SetPeers({PeerOf(1, ntohs(address.sin_port))});
    int version = 0;
    // Probes come and go without a word: the first that says something counts.
    for (bool spoke = false; !spoke;) {
      int fd = accept(listener, nullptr, nullptr);
      char byte = 0;
      spoke = recv(fd, &byte, 1, MSG_PEEK) == 1;
      if (spoke) {
        SslPtr ssl(SSL_new(context.get()));
        SSL_set_fd(ssl.get(), fd);
        version = SSL_accept(ssl.get()) == 1 ? SSL_version(ssl.get()) : 0;
        ERR_clear_error();
      }
      close(fd);
    }
    return version;
  };
  EXPECT_EQ(serve(TLS1_2_VERSION), 0);
  EXPECT_EQ(serve(TLS1_3_VERSION), TLS1_3_VERSION);
  close(listener);
}

class Joining : public Security {
 protected:
  // A member that admits who knows the secret; answers from another thread, as the worker does.
  void StartMember() {
    directory_ = pki_.Make("node1");
    token_ = JoinToken::Create(directory_ + "/ca.crt").value();
    TransportCallbacks callbacks;
    callbacks.on_join = [this](JoinRequest request, JoinAnswer answer) {
      answering_.emplace_back([this, request, answer] { answer(Decide(request)); });
    };
    StartServer(callbacks);
  }
  void TearDown() override {
    for (std::thread& thread : answering_) {
      thread.join();
    }
  }
  Result<JoinResponse> Decide(const JoinRequest& request) {
    if (HashSecret(request.secret) != token_.SecretHash()) {
      return Status::Error("28000", "the join token is not known or has been used");
    }
    SignedNode made = SignJoiner(directory_, request, kTestCluster).value();
    JoinResponse response;
    response.cluster_name = "test";
    response.cluster_id = kTestCluster;
    response.raft_node_id = 2;
    response.system_identifier = 42;
    response.primary_node_id = 1;
    response.members = {{1, "node1", "127.0.0.1", 5432, "127.0.0.1", 5433}};
    response.ca_certificate = made.ca_certificate;
    response.ca_key = made.ca_key;
    response.node_certificate = made.node_certificate;
    return response;
  }
  JoinRequest Request(const NodeKey& key) {
    return {"", "node2", "127.0.0.1", 5442, "127.0.0.1", 5443, 0, key.certificate_signing_request};
  }

  std::string directory_;
  JoinToken token_;
  std::vector<std::thread> answering_;
};

TEST_F(Joining, ANodeWithATokenBecomesAMember) {
  StartMember();
  JoinToken token = JoinToken::Parse(token_.Format()).value();
  NodeKey key = CreateNodeKey("node2").value();
  Result<JoinResponse> response = JoinClient::Join("127.0.0.1", port(), token, Request(key), {});
  ASSERT_TRUE(response.ok()) << response.status().ToString();
  EXPECT_EQ(response.value().raft_node_id, 2U);
  EXPECT_EQ(response.value().members.at(0).name, "node1");
  ScratchDirectory scratch;
  ASSERT_TRUE(WriteJoinedPki(scratch.path() + "/pki", key, response.value()).ok());
  TestNode joined(OptionsOf(2, scratch.path() + "/pki"));
  ASSERT_TRUE(joined->Start().ok());
  joined->SetPeers({PeerOf(1, port())});
  EXPECT_TRUE(joined.AwaitEvent(1, PeerEventKind::kConnected));
}

TEST_F(Joining, ABadSecretIsTheClustersToRefuse) {
  StartMember();
  JoinToken wrong = token_;
  wrong.secret[0] ^= 1;
  Status status =
      JoinClient::Join("127.0.0.1", port(), wrong, Request(CreateNodeKey("node2").value()), {})
          .status();
  EXPECT_EQ(status.sqlstate(), "28000");
}

TEST_F(Joining, AnotherCaThanTheTokensHearsNothing) {
  StartMember();
  JoinToken foreign = token_;
  foreign.ca_fingerprint[5] ^= 1;
  Status status =
      JoinClient::Join("127.0.0.1", port(), foreign, Request(CreateNodeKey("node2").value()), {})
          .status();
  EXPECT_EQ(status.sqlstate(), "RX004");
  EXPECT_TRUE(answering_.empty());
}

TEST_F(Joining, FollowsTheLeader) {
  StartMember();
  TransportCallbacks callbacks;
  callbacks.on_join = [this](JoinRequest, JoinAnswer answer) {
    JoinResponse there;
    there.leader_raft_host = "127.0.0.1";
    there.leader_raft_port = port();
    answer(there);
  };
  TestNode follower(OptionsOf(3, pki_.Make("node3")), callbacks);
  ASSERT_TRUE(follower->Start().ok());
  NodeKey key = CreateNodeKey("node2").value();
  Result<JoinResponse> response =
      JoinClient::Join("127.0.0.1", follower->port(), token_, Request(key), {});
  ASSERT_TRUE(response.ok()) << response.status().ToString();
  EXPECT_EQ(response.value().raft_node_id, 2U);
}

TEST_F(Joining, NobodyThereIsAConnectionError) {
  StartMember();
  uint16_t gone = port();
  (*server_)->Stop();
  Status status =
      JoinClient::Join("127.0.0.1", gone, token_, Request(CreateNodeKey("node2").value()), {})
          .status();
  EXPECT_EQ(status.sqlstate(), "08006");
}

}  // namespace
}  // namespace pgquorum::transport
