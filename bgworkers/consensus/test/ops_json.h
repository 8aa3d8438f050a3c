// Requests and answers of the operations test: words between bars in, JSON out.
#pragma once

#include <charconv>
#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "bgworkers/failover/ids.h"

namespace pgquorum::consensus {

inline std::vector<std::string> Split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (;;) {
    const std::size_t end = text.find(separator);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) {
      return parts;
    }
    text.remove_prefix(end + 1);
  }
}

inline uint64_t Number(std::string_view text) {
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

class Json {
 public:
  Json& Add(const char* key, const std::string& value) {
    Key(key);
    text_ += '"';
    for (char c : value) {
      if (c == '"' || c == '\\') {
        text_ += '\\';
      }
      text_ += c == '\n' ? ' ' : c;
    }
    text_ += '"';
    return *this;
  }
  Json& Add(const char* key, const char* value) { return Add(key, std::string(value)); }
  Json& Add(const char* key, bool value) { return Raw(key, value ? "true" : "false"); }
  template <std::integral T>
  Json& Add(const char* key, T value) {
    return Raw(key, std::to_string(value));
  }
  Json& Add(const char* key, failover::Lsn value) { return Add(key, value.value()); }
  Json& Add(const char* key, failover::Timeline value) { return Add(key, value.value()); }
  Json& Raw(const char* key, const std::string& value) {
    Key(key);
    text_ += value;
    return *this;
  }
  std::string Take() { return text_ + "}"; }

 private:
  void Key(const char* key) {
    text_ += text_.size() > 1 ? ",\"" : "\"";
    text_ += key;
    text_ += "\":";
  }
  std::string text_ = "{";
};

inline std::string Of(const Status& status) {
  Json json;
  json.Add("ok", status.ok());
  if (!status.ok()) {
    json.Add("sqlstate", status.sqlstate()).Add("error", status.ToString());
  }
  return json.Take();
}

template <typename T>
std::string Of(const Result<T>& result) {
  if (!result.ok()) {
    return Of(result.status());
  }
  return Json().Add("ok", true).Add("value", result.value()).Take();
}

inline std::string List(const std::vector<std::string>& items) {
  std::string text = "[";
  for (const std::string& item : items) {
    text += (text.size() > 1 ? "," : "") + item;
  }
  return text + "]";
}

}  // namespace pgquorum::consensus
