// Who is let in, and who is not.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <optional>
#include <thread>

#include "bgworkers/transport/client.h"
#include "bgworkers/transport/openssl_handles.h"
#include "bgworkers/transport/door.h"
#include "bgworkers/transport/test/harness.h"
#include "bgworkers/transport/test/raw_stream.h"
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
    signal(SIGPIPE, SIG_IGN);  // the raw streams' OpenSSL does not
    if (!callbacks.on_status) {
      callbacks.on_status = [](std::string, TransportCallbacks::Answer answer) {
        answer(std::string("well"));
      };
    }
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

  // The two things that come in by the one port, each without the checks of our own clients. First
  // a stream: the answer to its first packet; nothing when the listener hung up without one.
  std::optional<wire::Packet> OpenStream(const TlsIdentity* identity, const wire::Packet& first,
                                         std::string_view alpn = kFramesAlpn,
                                         int max_version = TLS1_3_VERSION) {
    RawStream stream(port());
    EXPECT_TRUE(stream.connected());
    EXPECT_TRUE(stream.Write(kPreamble));
    wire::Packet answer;
    if (!stream.Handshake(identity, alpn, max_version) ||
        !stream.Write(Framed(first.SerializeAsString()))) {
      return std::nullopt;
    }
    std::string said = stream.Read();
    bool whole = said.size() > 4 && answer.ParseFromString(said.substr(4));
    return whole ? std::optional(answer) : std::nullopt;
  }
  bool Welcomes(const TlsIdentity& identity, const wire::Packet& first) {
    std::optional<wire::Packet> answer = OpenStream(&identity, first);
    return answer && answer->has_hello() && answer->refused().empty();
  }
  bool Refuses(const TlsIdentity& identity, const wire::Packet& first) {
    std::optional<wire::Packet> answer = OpenStream(&identity, first);
    return answer && !answer->has_hello() && !answer->refused().empty();
  }
  // Then a request that is for members only.
  grpc::Status Call(const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
    auto channel =
        grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(port()), credentials,
                                  MakeChannelArguments(NodeDnsName("node1", kTestCluster), 5000));
    auto stub = wire::Nodes::NewStub(channel);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
    wire::Reply reply;
    return stub->Status(&context, {}, &reply);
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
  TlsIdentity IdentityOf(const std::string& node) {
    return LoadIdentity(pki_.Make(node), node).value();
  }
  void AwaitRefusedCertificates(uint64_t count) {
    for (int i = 0; i < 5000 && counters().refused_certificate < count; ++i) {
      server_->Await([](const auto&, const auto&) { return false; }, 1);
    }
    EXPECT_EQ(counters().refused_certificate, count);
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
  TlsIdentity good = IdentityOf("node3");
  TlsIdentity bad = good;
  NodeKey key = CreateNodeKey("node3").value();
  bad.key = key.key;
  bad.certificate =
      SignNode(pki_.authority(), key.certificate_signing_request, "node3", kTestCluster, -1)
          .value();
  EXPECT_TRUE(Welcomes(good, Greeting("node3", 3)));
  EXPECT_FALSE(OpenStream(&bad, Greeting("node3", 3)));
  AwaitRefusedCertificates(1);
  EXPECT_TRUE(Call(MakeChannelCredentials(&good)).ok());
  EXPECT_EQ(Call(MakeChannelCredentials(&bad)).error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(Security, AStreamNeedsAMembersCertificateAndTheNodesProtocol) {
  StartServer();
  TestPki other;
  TlsIdentity good = IdentityOf("node2");
  TlsIdentity foreign = LoadIdentity(other.Make("node2"), "node2").value();
  wire::Packet hello = Greeting("node2", 2);
  EXPECT_FALSE(OpenStream(nullptr, hello));
  EXPECT_FALSE(OpenStream(&foreign, hello));
  EXPECT_FALSE(OpenStream(&good, hello, kFramesAlpn, TLS1_2_VERSION));
  EXPECT_FALSE(OpenStream(&good, hello, ""));
  EXPECT_FALSE(OpenStream(&good, hello, "\x02h2"));
  // Without TLS, as an insecure node would.
  RawStream plain(port());
  EXPECT_TRUE(plain.Write(kPreamble));
  EXPECT_TRUE(plain.Write(Framed(hello.SerializeAsString())));
  while (!plain.Read().empty()) {  // an alert, perhaps
  }
  AwaitRefusedCertificates(6);
  EXPECT_TRUE(Welcomes(good, hello));
  EXPECT_TRUE(server_->frames().empty());
}

TEST_F(Security, AForeignClusterIdIsRefusedAndCounted) {
  StartServer();
  wire::Packet foreign = Greeting("node2", 2);
  foreign.set_cluster_id(99);
  EXPECT_TRUE(Refuses(IdentityOf("node2"), foreign));
  EXPECT_EQ(counters().refused_cluster, 1U);
}

TEST_F(Security, ASenderThatIsNotItsCertificateIsRefusedAndCounted) {
  StartServer();
  TlsIdentity identity = IdentityOf("node2");
  EXPECT_TRUE(Welcomes(identity, Greeting("node2", 2)));
  const wire::Packet spoofed[] = {Greeting("node3", 3), Greeting("node1", 2), Greeting("node2", 1)};
  for (const wire::Packet& packet : spoofed) {
    EXPECT_TRUE(Refuses(identity, packet));
  }
  EXPECT_EQ(counters().refused_identity, 3U);
  // Known under another id.
  (*server_)->SetPeers({{5, "node2", "127.0.0.1", 1}});
  for (int i = 0; i < 5000 && counters().peers.size() != 1; ++i) {
    server_->Await([](const auto&, const auto&) { return false; }, 1);
  }
  EXPECT_TRUE(Refuses(identity, Greeting("node2", 2)));
  wire::Packet other_target = Greeting("node2", 5);
  other_target.set_to(4);
  EXPECT_TRUE(Refuses(identity, other_target));
  EXPECT_TRUE(Welcomes(identity, Greeting("node2", 5)));
}

// After the welcome, too: a certificate is good for its own node only.
TEST_F(Security, AStreamThatChangesItsSenderEnds) {
  StartServer();
  TlsIdentity identity = IdentityOf("node2");
  RawStream stream(port());
  ASSERT_TRUE(stream.Write(kPreamble));
  ASSERT_TRUE(stream.Handshake(&identity, kFramesAlpn));
  ASSERT_TRUE(stream.Write(Framed(Greeting("node2", 2).SerializeAsString())));
  EXPECT_FALSE(stream.Read().empty());
  wire::Packet other = Greeting("node2", 3);
  other.add_frames()->set_channel(static_cast<uint32_t>(Channel::kRaft));
  ASSERT_TRUE(stream.Write(Framed(other.SerializeAsString())));
  while (!stream.Read().empty()) {
  }
  EXPECT_EQ(counters().refused_identity, 1U);
  EXPECT_TRUE(server_->frames().empty());
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
  EXPECT_FALSE(OpenStream(nullptr, Greeting("node2", 2)));
  AwaitRefusedCertificates(1);
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

// What a client without the preamble negotiates that offers at most `max`; 0 when it is refused.
int Negotiate(uint16_t port, int max) {
  RawStream stream(port);
  return stream.Handshake(nullptr, "\x02h2", max) ? stream.version() : 0;
}

TEST_F(Security, TheListenerSpeaksTls13Only) {
  StartServer();
  EXPECT_EQ(Negotiate(port(), TLS1_3_VERSION), TLS1_3_VERSION);
  EXPECT_EQ(Negotiate(port(), TLS1_2_VERSION), 0);
}

int SelectFrames(SSL*, const unsigned char** out, unsigned char* length, const unsigned char*,
                 unsigned, void*) {
  *out = reinterpret_cast<const unsigned char*>(kFramesAlpn.data()) + 1;
  *length = static_cast<unsigned char>(kFramesAlpn.size() - 1);
  return SSL_TLSEXT_ERR_OK;
}

TEST_F(Security, TheDialerSpeaksTls13Only) {
  // The dialer hangs up on the bad server while it writes.
  signal(SIGPIPE, SIG_IGN);
  uint16_t listening = 0;
  int listener = ListenOnLoopback(&listening);
  // A server with node1's good certificate: first it allows 1.2 at most, then anything.
  auto serve = [&](int max) {
    TlsIdentity identity = LoadIdentity(pki_.Make("node1"), "node1").value();
    SslContextPtr context(SSL_CTX_new(TLS_server_method()));
    SSL_CTX_set_max_proto_version(context.get(), max);
    SSL_CTX_use_certificate(context.get(), ParseCertificate(identity.certificate).get());
    SSL_CTX_use_PrivateKey(context.get(), ParseKey(identity.key).get());
    SSL_CTX_set_alpn_select_cb(context.get(), SelectFrames, nullptr);
    TestNode client(OptionsOf(2, pki_.Make("node2")));
    EXPECT_TRUE(client->Start().ok());
    client->SetPeers({PeerOf(1, listening)});
    int version = 0;
    // Probes come and go without a word: the first that says something counts.
    for (bool spoke = false; !spoke;) {
      int fd = accept(listener, nullptr, nullptr);
      char preamble[kPreamble.size()];
      spoke = recv(fd, preamble, sizeof preamble, MSG_WAITALL) == sizeof preamble;
      if (spoke) {
        EXPECT_EQ(std::string_view(preamble, sizeof preamble), kPreamble);
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

// Both doors show the new certificate and believe the new authority's, and what lives lives on.
TEST_F(Security, ReplacedCertificatesAreForTheConnectionsToCome) {
  signal(SIGPIPE, SIG_IGN);
  std::string directory = pki_.Make("node1");
  server_ = std::make_unique<TestNode>(OptionsOf(1, directory));
  ASSERT_TRUE((*server_)->Start().ok());
  TestNode client(OptionsOf(2, pki_.Make("node2")));
  ASSERT_TRUE(client->Start().ok());
  client->SetPeers({PeerOf(1, port())});
  ASSERT_TRUE(client.AwaitEvent(1, PeerEventKind::kConnected));
  auto replace = [&](TestPki& pki) {
    std::string fresh = pki.Make("node1");
    for (const char* name : {"ca.crt", "ca.key", "node.crt", "node.key"}) {
      std::filesystem::copy_file(fresh + "/" + name, directory + "/" + name,
                                 std::filesystem::copy_options::overwrite_existing);
    }
    EXPECT_TRUE((*server_)->Reload().ok());
    return LoadIdentity(directory, "node1").value().certificate;
  };
  auto shown = [&](bool stream) {
    RawStream raw(port());
    TlsIdentity any = IdentityOf("node3");
    EXPECT_TRUE(!stream || raw.Write(kPreamble));
    EXPECT_TRUE(raw.Handshake(&any, stream ? kFramesAlpn : "\x02h2"));
    return raw.shown();
  };
  std::string fresh = replace(pki_);
  EXPECT_EQ(shown(true), fresh);
  EXPECT_EQ(shown(false), fresh);
  // Files that are not good change nothing.
  ASSERT_TRUE(WritePemFile(directory + "/node.crt", "nonsense").ok());
  EXPECT_FALSE((*server_)->Reload().ok());
  EXPECT_EQ(shown(true), fresh);
  TestPki other;
  replace(other);
  TlsIdentity late = IdentityOf("node4");
  EXPECT_FALSE(OpenStream(&late, Greeting("node4", 4)));
  EXPECT_FALSE(Call(MakeChannelCredentials(&late)).ok());
  client->Send(1, Channel::kRaft, "as before");
  EXPECT_TRUE(server_->AwaitFrames(1));
  for (const PeerEvent& event : client.events()) {
    EXPECT_EQ(event.kind, PeerEventKind::kConnected);
  }
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
