#include "bgworkers/consensus/certificates.h"

#include <gtest/gtest.h>

#include <ctime>
#include <filesystem>

#include "base/test/scratch.h"
#include "bgworkers/transport/pki.h"

#include "base/pure.h"

namespace pgquorum::consensus {
namespace {

constexpr int64_t kDay = 24 * 3600;

class Certificates : public ::testing::Test {
 protected:
  void SetUp() override {
    Result<transport::Authority> authority = transport::CreateAuthority("c", 3650);
    Result<transport::NodeKey> key = transport::CreateNodeKey("node1");
    ASSERT_TRUE(authority.ok() && key.ok());
    authority_ = authority.value();
    key_ = key.value();
    Put("ca.crt", authority_.certificate);
    Put("node.key", key_.key);
    PutNode(365);
  }
  void Put(const char* name, const std::string& content) {
    ASSERT_TRUE(transport::WritePemFile(directory_ + "/" + name, content).ok());
  }
  void PutNode(int days) {
    Result<std::string> certificate =
        transport::SignNode(authority_, key_.certificate_signing_request, "node1", 9, days);
    ASSERT_TRUE(certificate.ok());
    Put("node.crt", certificate.value());
  }

  ScratchDirectory scratch_;
  const std::string directory_ = scratch_.path();
  transport::Authority authority_;
  transport::NodeKey key_;
};

TEST_F(Certificates, WarnsBeforeTheEnd) {
  CertificateWatch watch(directory_, "node1");
  int64_t now = time(nullptr);
  EXPECT_EQ(watch.Look(now).warning, "");
  EXPECT_EQ(watch.Look(now + 330 * kDay).warning, "");
  std::string soon = watch.Look(now + 340 * kDay).warning;
  EXPECT_NE(soon.find("the node's certificate expires on "), std::string::npos) << soon;
  EXPECT_NE(soon.find(", in 2"), std::string::npos) << soon;
  EXPECT_NE(watch.Look(now + 366 * kDay).warning.find("expired on"), std::string::npos);
}

TEST_F(Certificates, WarnsForTheAuthorityToo) {
  PutNode(3600);
  CertificateWatch watch(directory_, "node1");
  std::string soon = watch.Look(time(nullptr) + 3625 * kDay).warning;
  EXPECT_NE(soon.find("certificate expire"), std::string::npos) << soon;
  PutNode(36500);
  EXPECT_TRUE(watch.Look(time(nullptr)).replaced);
  soon = watch.Look(time(nullptr) + 3625 * kDay).warning;
  EXPECT_NE(soon.find("the authority's certificate expires on "), std::string::npos) << soon;
}

TEST_F(Certificates, SeesAReplacementOnce) {
  CertificateWatch watch(directory_, "node1");
  EXPECT_FALSE(watch.Look(time(nullptr)).replaced);
  PutNode(10);
  CertificateFinding finding = watch.Look(time(nullptr));
  EXPECT_TRUE(finding.replaced);
  EXPECT_EQ(finding.problem, "");
  EXPECT_NE(finding.warning, "");
  EXPECT_FALSE(watch.Look(time(nullptr)).replaced);
}

TEST_F(Certificates, KeepsTheOldOnesWhenTheNewOnesAreNoUse) {
  CertificateWatch watch(directory_, "node1");
  Put("node.crt", "no certificate");
  CertificateFinding finding = watch.Look(time(nullptr));
  EXPECT_FALSE(finding.replaced);
  EXPECT_NE(finding.problem, "");
  EXPECT_EQ(watch.Look(time(nullptr)).problem, "") << "said once";
  PutNode(-1);
  finding = watch.Look(time(nullptr));
  EXPECT_FALSE(finding.replaced);
  EXPECT_NE(finding.problem, "");
  // Another node's.
  Result<std::string> other =
      transport::SignNode(authority_, key_.certificate_signing_request, "node2", 9, 10);
  Put("node.crt", other.value());
  EXPECT_NE(watch.Look(time(nullptr)).problem, "");
  PutNode(100);
  EXPECT_TRUE(watch.Look(time(nullptr)).replaced);
}

}  // namespace
}  // namespace pgquorum::consensus
