#include "bgworkers/transport/token.h"

#include <gtest/gtest.h>

#include <set>

#include "base/random.h"
#include "bgworkers/transport/pki.h"
#include "base/test/scratch.h"

namespace pgquorum::transport {
namespace {

JoinToken Sample() {
  return {std::string(kFingerprintBytes, 'f'), std::string(kSecretBytes, 's')};
}

TEST(JoinToken, FormatsAndParses) {
  std::string text = Sample().Format();
  EXPECT_EQ(text.substr(0, 5), "pgq1.");
  for (const std::string& typed : {text, "  " + text + "\n"}) {
    Result<JoinToken> parsed = JoinToken::Parse(typed);
    ASSERT_TRUE(parsed.ok()) << parsed.status().ToString();
    EXPECT_EQ(parsed.value().ca_fingerprint, Sample().ca_fingerprint);
    EXPECT_EQ(parsed.value().secret, Sample().secret);
  }
}

TEST(JoinToken, SaysWhatIsWrong) {
  std::string text = Sample().Format();
  std::string cut = text.substr(0, text.size() - 4);
  std::string mistyped = text;
  mistyped[20] = mistyped[20] == 'A' ? 'B' : 'A';
  const std::pair<std::string, std::string> cases[] = {
      {" \n", "is empty"},
      {"hello", "does not begin"},
      {"pgq2." + text.substr(5), "another version"},
      {text.substr(0, 9) + "%", "character"},
      {cut, "cut off"},
      {text + "AAAA", "too long"},
      {mistyped, "mistyped"}};
  for (const auto& [typed, message] : cases) {
    Result<JoinToken> parsed = JoinToken::Parse(typed);
    ASSERT_FALSE(parsed.ok()) << typed;
    EXPECT_EQ(parsed.status().sqlstate(), "22023");
    EXPECT_NE(parsed.status().message().find(message), std::string::npos)
        << parsed.status().message();
  }
}

TEST(JoinToken, EveryChangedCharacterIsNoticed) {
  std::string text = Sample().Format();
  // The last character carries four bits of padding-free data and two unused ones.
  for (std::size_t i = 5; i + 1 < text.size(); ++i) {
    std::string changed = text;
    changed[i] = changed[i] == 'Q' ? 'R' : 'Q';
    EXPECT_FALSE(JoinToken::Parse(changed).ok()) << i;
  }
}

TEST(JoinToken, RandomBytesNeverParse) {
  Random random(7);
  for (int i = 0; i < 20'000; ++i) {
    std::string text = "pgq1.";
    for (uint64_t n = random.Below(90); n > 0; --n) {
      text.push_back(static_cast<char>(random.Below(256)));
    }
    EXPECT_FALSE(JoinToken::Parse(text).ok());
  }
}

TEST(JoinToken, CreateTakesTheFingerprintOfTheFileAndANewSecret) {
  ScratchDirectory scratch;
  Result<Authority> authority = CreateAuthority("prod");
  ASSERT_TRUE(authority.ok());
  std::string path = scratch.path() + "/ca.crt";
  ASSERT_TRUE(WritePemFile(path, authority.value().certificate).ok());
  std::set<std::string> secrets;
  for (int i = 0; i < 10; ++i) {
    Result<JoinToken> token = JoinToken::Create(path);
    ASSERT_TRUE(token.ok()) << token.status().ToString();
    EXPECT_EQ(token.value().ca_fingerprint, Fingerprint(authority.value().certificate).value());
    EXPECT_EQ(token.value().SecretHash(), HashSecret(token.value().secret));
    EXPECT_EQ(token.value().SecretHash().size(), 32U);
    secrets.insert(token.value().secret);
  }
  EXPECT_EQ(secrets.size(), 10U);
  EXPECT_EQ(JoinToken::Create(scratch.path() + "/none").status().sqlstate(), "58P01");
}

}  // namespace
}  // namespace pgquorum::transport
