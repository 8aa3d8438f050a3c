// Files of testdata folders that hold a format still. When a test fails on one, either the change
// is a mistake, or it needs a new version number and code that reads the old one.
#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>

namespace pgquorum {

// `path` is below the source tree. The test fails when there is nothing.
inline std::string GoldenFile(const std::string& path) {
  std::ifstream file(PGQUORUM_SOURCE_DIR "/" + path, std::ios::binary);
  std::stringstream content;
  content << file.rdbuf();
  EXPECT_FALSE(content.str().empty()) << path;
  return content.str();
}

// Of a binary file. With the environment variable `rewrite` set it is written first.
inline void ExpectGolden(const std::string& path, const std::string& bytes, const char* rewrite) {
  if (std::getenv(rewrite) != nullptr) {
    std::ofstream(PGQUORUM_SOURCE_DIR "/" + path, std::ios::binary) << bytes;
  }
  EXPECT_TRUE(GoldenFile(path) == bytes)
      << "the format has changed: it needs a new version, and readers for both";
}

// Sixteen bytes a line with their offset; lines of zeros are left out.
inline std::string HexLines(std::string_view bytes) {
  std::string text;
  for (std::size_t at = 0; at < bytes.size(); at += 16) {
    std::string_view line = bytes.substr(at, 16);
    if (line.find_first_not_of('\0') == std::string_view::npos) {
      continue;
    }
    char number[24];
    std::snprintf(number, sizeof(number), "%04zx:", at);
    text += number;
    for (char byte : line) {
      std::snprintf(number, sizeof(number), " %02x", static_cast<unsigned char>(byte));
      text += number;
    }
    text += "\n";
  }
  return text;
}

}  // namespace pgquorum
