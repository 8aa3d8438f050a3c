#include "bgworkers/transport/token.h"

#include <openssl/rand.h>
#include <openssl/sha.h>

#include <fstream>
#include <iterator>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "bgworkers/transport/pki.h"

namespace pgquorum::transport {

namespace {

constexpr std::string_view kPrefix = "pgq1.";
constexpr uint8_t kVersion = 1;
constexpr std::size_t kTokenBytes = 1 + kFingerprintBytes + kSecretBytes + 4;
constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::size_t kMaxCertificateBytes = 64 << 10;

std::string EncodeBase64Url(std::string_view bytes) {
  std::string text;
  uint32_t bits = 0;
  int count = 0;
  for (char byte : bytes) {
    bits = (bits << 8) | static_cast<unsigned char>(byte);
    for (count += 8; count >= 6; count -= 6) {
      text.push_back(kAlphabet[(bits >> (count - 6)) & 63]);
    }
  }
  if (count > 0) {
    text.push_back(kAlphabet[(bits << (6 - count)) & 63]);
  }
  return text;
}

// Empty when a character is none of the alphabet's.
std::string DecodeBase64Url(std::string_view text) {
  std::string bytes;
  uint32_t bits = 0;
  int count = 0;
  for (char c : text) {
    std::size_t value = kAlphabet.find(c);
    if (value == std::string_view::npos) {
      return "";
    }
    bits = (bits << 6) | static_cast<uint32_t>(value);
    count += 6;
    if (count >= 8) {
      count -= 8;
      bytes.push_back(static_cast<char>(bits >> count));
    }
  }
  return bytes;
}

Status BadToken(const char* what) {
  return Status::Error("22023", std::string("the join token ") + what)
      .WithHint("Copy the whole token that \"pgquorum cluster token\" printed.");
}

}  // namespace

std::string HashSecret(std::string_view secret) {
  // The label keeps the hash from being that of the same bytes used for something else.
  std::string labelled = "pgquorum join secret 1:" + std::string(secret);
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(labelled.data()), labelled.size(), digest);
  return std::string(reinterpret_cast<const char*>(digest), sizeof digest);
}

std::string JoinToken::SecretHash() const {
  return HashSecret(secret);
}

Result<JoinToken> JoinToken::Create(const std::string& ca_certificate_path) {
  std::ifstream file(ca_certificate_path, std::ios::binary);
  if (!file) {
    return Status::Error("58P01", "could not open file \"" + ca_certificate_path + "\"");
  }
  std::string pem(kMaxCertificateBytes, '\0');
  file.read(pem.data(), static_cast<std::streamsize>(pem.size()));
  pem.resize(static_cast<std::size_t>(file.gcount()));
  Result<std::string> fingerprint = Fingerprint(pem);
  if (!fingerprint.ok()) {
    return Status::Error(fingerprint.status().sqlstate(),
                         "file \"" + ca_certificate_path + "\": " + fingerprint.status().message());
  }
  JoinToken token;
  token.ca_fingerprint = std::move(fingerprint).value();
  token.secret.resize(kSecretBytes);
  if (RAND_bytes(reinterpret_cast<unsigned char*>(token.secret.data()), kSecretBytes) != 1) {
    return Status::Error("XX000", "no random bytes for a join token");
  }
  return token;
}

std::string JoinToken::Format() const {
  ByteWriter out;
  out.U8(kVersion);
  out.Raw(ca_fingerprint);
  out.Raw(secret);
  out.U32(Crc32c(out.data()));
  return std::string(kPrefix) + EncodeBase64Url(out.data());
}

Result<JoinToken> JoinToken::Parse(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  std::size_t begin = text.find_first_not_of(kSpace);
  std::size_t end = text.find_last_not_of(kSpace);
  if (begin == std::string_view::npos) {
    return BadToken("is empty");
  }
  text = text.substr(begin, end - begin + 1);
  if (text.substr(0, 3) == "pgq" && text.find('.') != std::string_view::npos &&
      text.substr(0, kPrefix.size()) != kPrefix) {
    return BadToken("was made by another version of pgquorum");
  }
  if (text.substr(0, kPrefix.size()) != kPrefix) {
    return BadToken("does not begin with \"pgq1.\"");
  }
  std::string bytes = DecodeBase64Url(text.substr(kPrefix.size()));
  if (bytes.empty()) {
    return BadToken("has a character that no token has");
  }
  if (bytes.size() != kTokenBytes) {
    return BadToken(bytes.size() < kTokenBytes ? "is cut off" : "is too long");
  }
  ByteReader in(bytes);
  uint8_t version = in.U8();
  std::string_view body = std::string_view(bytes).substr(1, kFingerprintBytes + kSecretBytes);
  ByteReader tail(std::string_view(bytes).substr(kTokenBytes - 4));
  if (tail.U32() != Crc32c(std::string_view(bytes).substr(0, kTokenBytes - 4))) {
    return BadToken("is mistyped: its check sum is wrong");
  }
  if (version != kVersion) {
    return BadToken("was made by another version of pgquorum");
  }
  return JoinToken{std::string(body.substr(0, kFingerprintBytes)),
                   std::string(body.substr(kFingerprintBytes))};
}

}  // namespace pgquorum::transport
