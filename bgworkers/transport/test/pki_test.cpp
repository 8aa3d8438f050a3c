#include "bgworkers/transport/pki.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <ctime>

#include "bgworkers/transport/openssl_handles.h"
#include "base/test/scratch.h"

namespace pgquorum::transport {
namespace {

constexpr uint64_t kCluster = 0xABCDEF0123456789;

struct Made {
  Authority authority;
  NodeKey key;
  std::string certificate;

  TlsIdentity Identity() const {
    return {authority.certificate, certificate, key.key, Inspect(certificate).value()};
  }
};

Made Make(const std::string& name, int days = kDefaultNodeDays) {
  Made made{CreateAuthority("prod").value(), CreateNodeKey(name).value(), ""};
  made.certificate =
      SignNode(made.authority, made.key.certificate_signing_request, name, kCluster, days).value();
  return made;
}

TEST(Pki, ANodeCertificateNamesItsNodeAndCluster) {
  Made made = Make("node1");
  CertificateInfo info = Inspect(made.certificate).value();
  EXPECT_EQ(info.common_name, "node1");
  EXPECT_EQ(info.issuer_common_name, "pgquorum cluster prod");
  ASSERT_EQ(info.dns_names.size(), 1U);
  EXPECT_EQ(info.dns_names[0], "node1.abcdef0123456789.pgquorum");
  EXPECT_FALSE(info.is_ca);
  EXPECT_LT(info.not_before_s, std::time(nullptr) - 3600);
  EXPECT_GT(info.not_after_s, std::time(nullptr) + 86400L * (kDefaultNodeDays - 2));
  EXPECT_TRUE(Inspect(made.authority.certificate).value().is_ca);
  EXPECT_TRUE(VerifyIdentity(made.Identity(), "node1").ok());
}

TEST(Pki, ServesAsBothEndsOfAConnection) {
  Made made = Make("node1");
  X509Ptr certificate = ParseCertificate(made.certificate);
  EXPECT_EQ(X509_check_purpose(certificate.get(), X509_PURPOSE_SSL_SERVER, 0), 1);
  EXPECT_EQ(X509_check_purpose(certificate.get(), X509_PURPOSE_SSL_CLIENT, 0), 1);
  EXPECT_EQ(X509_check_purpose(certificate.get(), X509_PURPOSE_SSL_SERVER, 1), 0) << "is no CA";
  EXPECT_EQ(X509_check_host(certificate.get(), "node1.abcdef0123456789.pgquorum", 0, 0, nullptr),
            1);
  EXPECT_EQ(X509_check_host(certificate.get(), "node2.abcdef0123456789.pgquorum", 0, 0, nullptr),
            0);
}

TEST(Pki, TheSignerDecidesTheName) {
  Authority authority = CreateAuthority("prod").value();
  NodeKey key = CreateNodeKey("node1").value();
  std::string certificate =
      SignNode(authority, key.certificate_signing_request, "node7", kCluster).value();
  EXPECT_EQ(Inspect(certificate).value().common_name, "node7");
}

// While an authority is replaced, ca.crt holds the old one and the new one, in any order.
TEST(Pki, AnyOfTheAuthoritiesMayHaveSigned) {
  Made made = Make("node1");
  std::string other = CreateAuthority("prod").value().certificate;
  for (const std::string& both :
       {made.authority.certificate + other, other + made.authority.certificate}) {
    TlsIdentity identity = made.Identity();
    identity.ca_certificate = both;
    EXPECT_TRUE(VerifyIdentity(identity, "node1").ok());
  }
}

TEST(Pki, RefusesWithAReason) {
  Made made = Make("node1");
  TlsIdentity foreign = made.Identity();
  foreign.ca_certificate = CreateAuthority("prod").value().certificate;
  EXPECT_EQ(VerifyIdentity(foreign, "").message(),
            "the certificate of \"node1\" was not signed by this cluster");

  TlsIdentity mismatch = made.Identity();
  mismatch.key = CreateNodeKey("node1").value().key;
  EXPECT_EQ(VerifyIdentity(mismatch, "").message(),
            "the node's key does not belong to its certificate");

  EXPECT_NE(VerifyIdentity(Make("node1", -1).Identity(), "").message().find("has expired"),
            std::string::npos);
  EXPECT_EQ(VerifyIdentity(made.Identity(), "node2").message(),
            "the certificate is that of node \"node1\", not of \"node2\"");
  EXPECT_EQ(Inspect("nonsense").status().sqlstate(), "RX004");
  EXPECT_EQ(Fingerprint("nonsense").status().sqlstate(), "RX004");
}

TEST(Pki, SignsNoRequestThatTheKeyDidNotSign) {
  Made made = Make("node1");
  EXPECT_EQ(SignNode(made.authority, "nonsense", "node1", kCluster).status().sqlstate(), "22023");
  Authority mixed{made.authority.certificate, CreateAuthority("other").value().key};
  EXPECT_EQ(
      SignNode(mixed, made.key.certificate_signing_request, "node1", kCluster).status().sqlstate(),
      "RX004");
  EXPECT_EQ(CreateNodeKey("").status().sqlstate(), "22023");
  EXPECT_EQ(CreateNodeKey(std::string(65, 'x')).status().sqlstate(), "22023");
}

TEST(PkiFiles, InitAndJoin) {
  ScratchDirectory scratch;
  std::string first = scratch.path() + "/first";
  ASSERT_TRUE(CreateClusterPki(first, "prod", kCluster, "node1").ok());
  for (const char* file : {kCaCertificateFile, kCaKeyFile, kNodeCertificateFile, kNodeKeyFile}) {
    struct stat status {};
    ASSERT_EQ(stat((first + "/" + file).c_str(), &status), 0) << file;
    EXPECT_EQ(status.st_mode & 0777U, 0600U) << file;
  }
  Result<TlsIdentity> identity = LoadIdentity(first, "node1");
  ASSERT_TRUE(identity.ok()) << identity.status().ToString();

  NodeKey key = CreateNodeKey("node2").value();
  JoinRequest request;
  request.node_name = "node2";
  request.certificate_signing_request = key.certificate_signing_request;
  Result<SignedNode> joined = SignJoiner(first, request, kCluster);
  ASSERT_TRUE(joined.ok()) << joined.status().ToString();
  JoinResponse response;
  response.ca_certificate = joined.value().ca_certificate;
  response.ca_key = joined.value().ca_key;
  response.node_certificate = joined.value().node_certificate;
  std::string second = scratch.path() + "/second";
  ASSERT_TRUE(WriteJoinedPki(second, key, response).ok());
  EXPECT_TRUE(LoadIdentity(second, "node2").ok());
  EXPECT_EQ(LoadIdentity(second, "node1").status().sqlstate(), "RX004");
  // The joined node can admit the next one.
  EXPECT_TRUE(SignJoiner(second, request, kCluster).ok());
  // A witness gets no key, so it admits nobody.
  std::string witness = scratch.path() + "/witness";
  response.ca_key.clear();
  ASSERT_TRUE(WriteJoinedPki(witness, key, response).ok());
  EXPECT_TRUE(LoadIdentity(witness, "node2").ok());
  EXPECT_EQ(SignJoiner(witness, request, kCluster).status().sqlstate(), "58P01");

  EXPECT_EQ(WriteJoinedPki(second, CreateNodeKey("node2").value(), response).sqlstate(), "RX004");
  EXPECT_TRUE(LoadIdentity(second, "node2").ok()) << "a refused answer replaces nothing";
}

TEST(PkiFiles, ErrorsNameTheFile) {
  ScratchDirectory scratch;
  Status missing = LoadIdentity(scratch.path(), "node1").status();
  EXPECT_EQ(missing.sqlstate(), "58P01");
  EXPECT_NE(missing.message().find("ca.crt"), std::string::npos);
  ASSERT_TRUE(CreateClusterPki(scratch.path(), "prod", kCluster, "node1").ok());
  ASSERT_TRUE(WritePemFile(scratch.path() + "/node.key", "nonsense").ok());
  EXPECT_EQ(LoadIdentity(scratch.path(), "node1").status().sqlstate(), "RX004");
  ASSERT_TRUE(WritePemFile(scratch.path() + "/node.crt", std::string(100'000, 'x')).ok());
  EXPECT_EQ(LoadIdentity(scratch.path(), "node1").status().sqlstate(), "58030");
}

}  // namespace
}  // namespace pgquorum::transport
