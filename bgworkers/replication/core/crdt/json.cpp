#include "bgworkers/replication/core/crdt/json.h"

#include <algorithm>
#include <utility>

#include "base/pure.h"

namespace pgquorum::crdt {
namespace {

constexpr int kMaxDepth = 8;

class Parser {
 public:
  explicit Parser(std::string_view text) : rest_(text) {}

  std::optional<Json> Document() {
    Json value;
    if (!Value(value, 0)) {
      return std::nullopt;
    }
    Blanks();
    return rest_.empty() ? std::optional(std::move(value)) : std::nullopt;
  }

 private:
  void Blanks() {
    std::size_t count = rest_.find_first_not_of(" \t\r\n");
    rest_.remove_prefix(std::min(count, rest_.size()));
  }
  bool Take(std::string_view word) {
    if (!rest_.starts_with(word)) {
      return false;
    }
    rest_.remove_prefix(word.size());
    return true;
  }
  bool TakeNext(std::string_view word) {
    Blanks();
    return Take(word);
  }

  bool Value(Json& value, int depth) {
    Blanks();
    if (rest_.empty() || depth > kMaxDepth) {
      return false;
    }
    switch (rest_[0]) {
      case '{':
        return Object(value, depth);
      case '[':
        return Array(value, depth);
      case '"':
        value.kind = Json::Kind::kString;
        return String(value.text);
      case 'n':
        return Take("null");
      case 't':
      case 'f':
        value.kind = Json::Kind::kBool;
        value.boolean = rest_[0] == 't';
        return Take(value.boolean ? "true" : "false");
      default:
        return Number(value);
    }
  }

  bool Object(Json& value, int depth) {
    value.kind = Json::Kind::kObject;
    Take("{");
    if (TakeNext("}")) {
      return true;
    }
    do {
      std::string name;
      Blanks();
      if (!String(name) || value.Member(name) != nullptr || !TakeNext(":")) {
        return false;
      }
      Json member;
      if (!Value(member, depth + 1)) {
        return false;
      }
      value.names.push_back(std::move(name));
      value.items.push_back(std::move(member));
    } while (TakeNext(","));
    return TakeNext("}");
  }

  bool Array(Json& value, int depth) {
    value.kind = Json::Kind::kArray;
    Take("[");
    if (TakeNext("]")) {
      return true;
    }
    do {
      Json item;
      if (!Value(item, depth + 1)) {
        return false;
      }
      value.items.push_back(std::move(item));
    } while (TakeNext(","));
    return TakeNext("]");
  }

  bool Number(Json& value) {
    value.kind = Json::Kind::kNumber;
    value.negative = Take("-");
    std::size_t digits = std::min(rest_.find_first_not_of("0123456789"), rest_.size());
    if (digits == 0 || digits > 20 || (digits > 1 && rest_[0] == '0')) {
      return false;
    }
    uint64_t limit = value.negative ? uint64_t{1} << 63 : UINT64_MAX;
    for (char digit : rest_.substr(0, digits)) {
      auto next = static_cast<uint64_t>(digit - '0');
      if (value.magnitude > (limit - next) / 10) {
        return false;
      }
      value.magnitude = value.magnitude * 10 + next;
    }
    rest_.remove_prefix(digits);
    return rest_.empty() || std::string_view(".eE").find(rest_[0]) == std::string_view::npos;
  }

  bool String(std::string& out) {
    if (!Take("\"")) {
      return false;
    }
    while (!rest_.empty()) {
      char c = rest_[0];
      rest_.remove_prefix(1);
      if (c == '"') {
        return true;
      }
      if (static_cast<unsigned char>(c) < 0x20 || (c == '\\' && !Escape(out))) {
        return false;
      }
      if (c != '\\') {
        out += c;
      }
    }
    return false;
  }

  bool Escape(std::string& out) {
    if (rest_.empty()) {
      return false;
    }
    constexpr std::string_view kLetters = "\"\\/bfnrt";
    constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
    char letter = rest_[0];
    rest_.remove_prefix(1);
    if (std::size_t at = kLetters.find(letter); at != std::string_view::npos) {
      out += kMeanings[at];
      return true;
    }
    uint32_t point = 0;
    if (letter != 'u' || !Hex(point)) {
      return false;
    }
    if (point >= 0xD800 && point < 0xDC00) {
      uint32_t low = 0;
      if (!Take("\\u") || !Hex(low) || low < 0xDC00 || low > 0xDFFF) {
        return false;
      }
      point = 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00);
    } else if (point >= 0xDC00 && point < 0xE000) {
      return false;
    }
    AppendUtf8(point, out);
    return true;
  }

  bool Hex(uint32_t& value) {
    if (rest_.size() < 4) {
      return false;
    }
    value = 0;
    for (char c : rest_.substr(0, 4)) {
      constexpr std::string_view kDigits = "0123456789abcdef";
      char lower = c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
      std::size_t digit = kDigits.find(lower);
      if (digit == std::string_view::npos) {
        return false;
      }
      value = value * 16 + static_cast<uint32_t>(digit);
    }
    rest_.remove_prefix(4);
    return true;
  }

  static void AppendUtf8(uint32_t point, std::string& out) {
    auto tail = [&](int shift) { out += static_cast<char>(0x80 | ((point >> shift) & 0x3F)); };
    if (point < 0x80) {
      out += static_cast<char>(point);
    } else if (point < 0x800) {
      out += static_cast<char>(0xC0 | (point >> 6));
      tail(0);
    } else if (point < 0x10000) {
      out += static_cast<char>(0xE0 | (point >> 12));
      tail(6);
      tail(0);
    } else {
      out += static_cast<char>(0xF0 | (point >> 18));
      tail(12);
      tail(6);
      tail(0);
    }
  }

  std::string_view rest_;
};

}  // namespace

const Json* Json::Member(std::string_view name) const {
  auto found = std::find(names.begin(), names.end(), name);
  return found == names.end() ? nullptr : &items[static_cast<std::size_t>(found - names.begin())];
}

std::optional<Json> ParseJson(std::string_view text) {
  return Parser(text).Document();
}

void AppendQuoted(std::string_view value, std::string& out) {
  constexpr std::string_view kHex = "0123456789abcdef";
  out += '"';
  for (char c : value) {
    auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20) {
      out += "\\u00";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  out += '"';
}

}  // namespace pgquorum::crdt
