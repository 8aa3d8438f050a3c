#include "extension/identity/text_record.h"

#include <charconv>

#include "base/crc32c.h"

namespace pgquorum::identity {

namespace {

constexpr char kDataCorrupted[] = "XX001";
constexpr char kCrcKey[] = "crc32c = ";

Status Damaged(std::string_view kind, std::string why) {
  return Status::Error(kDataCorrupted, "not a valid pgquorum " + std::string(kind) + " file")
      .WithDetail(std::move(why));
}

std::string Hex(uint64_t value, int digits) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text(static_cast<std::size_t>(digits), '0');
  for (auto i = text.rbegin(); i != text.rend(); ++i, value >>= 4) {
    *i = kDigits[value & 15];
  }
  return text;
}

bool ParseNumber(std::string_view text, int base, uint64_t& value) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

std::string Escape(std::string_view value) {
  std::string text;
  for (char c : value) {
    if (c == '\n') {
      text += "\\n";
    } else if (c == '\\') {
      text += "\\\\";
    } else {
      text += c;
    }
  }
  return text;
}

bool Unescape(std::string_view text, std::string& value) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      value += text[i];
      continue;
    }
    if (++i == text.size() || (text[i] != 'n' && text[i] != '\\')) {
      return false;
    }
    value += text[i] == 'n' ? '\n' : '\\';
  }
  return true;
}

bool IsKey(std::string_view key) {
  return !key.empty() &&
         key.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") == std::string_view::npos;
}

// The text before the CRC line, when the CRC is right.
Result<std::string_view> CheckedBody(std::string_view text, std::string_view kind) {
  std::size_t crc_at = text.rfind(kCrcKey);
  if (crc_at == std::string_view::npos || (crc_at > 0 && text[crc_at - 1] != '\n') ||
      text.empty() || text.back() != '\n') {
    return Damaged(kind, "The checksum line is missing: the file was cut or edited by hand.");
  }
  std::string_view crc_text = text.substr(crc_at + sizeof(kCrcKey) - 1);
  crc_text.remove_suffix(1);
  uint64_t crc = 0;
  if (crc_text.size() != 8 || !ParseNumber(crc_text, 16, crc) ||
      crc != Crc32c(text.substr(0, crc_at))) {
    return Damaged(kind, "The checksum is wrong: the file was damaged or edited by hand.");
  }
  return text.substr(0, crc_at);
}

}  // namespace

Result<TextRecord> TextRecord::Parse(std::string_view text, std::string_view kind,
                                     uint32_t max_version) {
  if (text.size() > kMaxRecordBytes) {
    return Damaged(kind, "The file is too large.");
  }
  Result<std::string_view> checked = CheckedBody(text, kind);
  if (!checked.ok()) {
    return checked.status();
  }
  std::string_view body = checked.value();
  std::string head = "pgquorum " + std::string(kind) + " ";
  std::size_t line_end = body.find('\n');
  uint64_t version = 0;
  if (!body.starts_with(head) || line_end == std::string_view::npos ||
      !ParseNumber(body.substr(head.size(), line_end - head.size()), 10, version)) {
    return Damaged(kind, "The first line names another kind of file.");
  }
  if (version > max_version) {
    return Status::Error("55000", "pgquorum " + std::string(kind) + " file has version " +
                                      std::to_string(version) + ", this program knows up to " +
                                      std::to_string(max_version))
        .WithHint("A newer pgquorum wrote it; install that version again.");
  }
  TextRecord record(kind, static_cast<uint32_t>(version));
  body.remove_prefix(line_end + 1);
  while (!body.empty()) {
    line_end = body.find('\n');
    std::string_view line = body.substr(0, line_end);
    body.remove_prefix(line.size() + 1);
    std::size_t equals = line.find(" = ");
    std::string value;
    if (equals == std::string_view::npos || !IsKey(line.substr(0, equals)) ||
        !Unescape(line.substr(equals + 3), value)) {
      return Damaged(kind, "A line is not of the form \"key = value\".");
    }
    record.values_[std::string(line.substr(0, equals))] = value;
  }
  return record;
}

std::string TextRecord::Format() const {
  std::string text = "pgquorum " + kind_ + " " + std::to_string(version_) + "\n";
  for (const auto& [key, value] : values_) {
    text += key + " = " + Escape(value) + "\n";
  }
  return text + kCrcKey + Hex(Crc32c(text), 8) + "\n";
}

void TextRecord::Set(std::string_view key, std::string_view value) {
  PGQUORUM_CHECK(IsKey(key));
  values_[std::string(key)] = std::string(value);
}

void TextRecord::SetNumber(std::string_view key, uint64_t value) {
  Set(key, std::to_string(value));
}

void TextRecord::SetHex(std::string_view key, uint64_t value) {
  Set(key, Hex(value, 16));
}

Result<std::string> TextRecord::Get(std::string_view key) const {
  auto found = values_.find(key);
  if (found == values_.end()) {
    return Damaged(kind_, "The key \"" + std::string(key) + "\" is missing.");
  }
  return found->second;
}

Result<uint64_t> TextRecord::GetNumber(std::string_view key) const {
  Result<std::string> text = Get(key);
  uint64_t value = 0;
  if (!text.ok()) {
    return text.status();
  }
  if (!ParseNumber(text.value(), 10, value)) {
    return Damaged(kind_, "The value of \"" + std::string(key) + "\" is not a number.");
  }
  return value;
}

Result<uint64_t> TextRecord::GetHex(std::string_view key) const {
  Result<std::string> text = Get(key);
  uint64_t value = 0;
  if (!text.ok()) {
    return text.status();
  }
  if (text.value().size() != 16 || !ParseNumber(text.value(), 16, value)) {
    return Damaged(kind_,
                   "The value of \"" + std::string(key) + "\" is not of 16 hexadecimal digits.");
  }
  return value;
}

std::string TextRecord::GetOr(std::string_view key, std::string_view fallback) const {
  auto found = values_.find(key);
  return found == values_.end() ? std::string(fallback) : found->second;
}

}  // namespace pgquorum::identity

#include "base/pure.h"
