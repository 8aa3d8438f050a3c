#include "extension/cli/config_text.h"

#include <cctype>

namespace pgquorum::cli {
namespace {

std::vector<std::string_view> Lines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::size_t length = end == std::string_view::npos ? text.size() : end + 1;
    lines.push_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  return lines;
}

std::string_view TrimEnd(std::string_view line) {
  while (!line.empty() && std::isspace(static_cast<unsigned char>(line.back()))) {
    line.remove_suffix(1);
  }
  return line;
}

// Begins like the block's first line, whatever a later version says after the colon.
bool IsBegin(std::string_view line) {
  return line.starts_with("# BEGIN pgquorum");
}
bool IsEnd(std::string_view line) {
  return TrimEnd(line) == kBlockEnd;
}

bool EqualsIgnoringCase(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) {
    return false;
  }
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::tolower(static_cast<unsigned char>(a[i])) !=
        std::tolower(static_cast<unsigned char>(b[i]))) {
      return false;
    }
  }
  return true;
}

// The parameter that a line of postgresql.conf sets; empty for comments and blank lines.
std::string_view SettingOf(std::string_view line) {
  std::size_t begin = 0;
  while (begin < line.size() && (line[begin] == ' ' || line[begin] == '\t')) {
    ++begin;
  }
  std::size_t end = begin;
  while (end < line.size() && (std::isalnum(static_cast<unsigned char>(line[end])) ||
                               line[end] == '_' || line[end] == '.' || line[end] == '$')) {
    ++end;
  }
  return line.substr(begin, end - begin);
}

}  // namespace

std::string SetBlock(std::string_view text, const std::vector<std::string>& lines,
                     BlockPlace place) {
  std::string block;
  if (!lines.empty()) {
    block = std::string(kBlockBegin) + "\n";
    for (const std::string& line : lines) {
      block += line + "\n";
    }
    block += std::string(kBlockEnd) + "\n";
  }
  std::string result;
  bool inside = false;
  for (std::string_view line : Lines(text)) {
    if (inside) {
      inside = !IsEnd(line);
    } else if (IsBegin(line)) {
      inside = true;
    } else {
      result += line;
    }
  }
  if (place == BlockPlace::kTop) {
    return block + result;
  }
  if (!result.empty() && result.back() != '\n') {
    result += '\n';
  }
  return result + block;
}

bool HasBlock(std::string_view text) {
  for (std::string_view line : Lines(text)) {
    if (IsBegin(line)) {
      return true;
    }
  }
  return false;
}

std::string MoveInBlock(std::string_view text, std::string_view from, std::string_view to) {
  const std::string old_whole = QuoteSetting(from);
  const std::string old_start = old_whole.substr(0, old_whole.size() - 1) + "/";
  const std::string new_whole = QuoteSetting(to);
  const std::string new_start = new_whole.substr(0, new_whole.size() - 1) + "/";
  std::string result;
  bool inside = false;
  for (std::string_view line : Lines(text)) {
    inside = (inside || IsBegin(line)) && !IsEnd(line);
    std::string changed(line);
    for (const auto& [old_text, new_text] :
         {std::pair(old_whole, new_whole), std::pair(old_start, new_start)}) {
      const std::size_t at = inside ? changed.find(" = " + old_text) : std::string::npos;
      if (at != std::string::npos) {
        changed.replace(at + 3, old_text.size(), new_text);
        break;
      }
    }
    result += changed;
  }
  return result;
}

std::string QuoteSetting(std::string_view value) {
  std::string quoted = "'";
  for (char c : value) {
    if (c == '\'' || c == '\\') {
      quoted += c;
    }
    quoted += c;
  }
  return quoted + "'";
}

bool RemoveSetting(std::string& text, std::string_view name) {
  std::string rest;
  bool found = false;
  for (std::string_view line : Lines(text)) {
    if (EqualsIgnoringCase(SettingOf(line), name)) {
      found = true;
    } else {
      rest += line;
    }
  }
  text = std::move(rest);
  return found;
}

std::string AddLibrary(std::string_view list, std::string_view library) {
  std::string_view rest = list;
  while (!rest.empty()) {
    const std::size_t comma = rest.find(',');
    std::string_view entry = rest.substr(0, comma);
    while (!entry.empty() && (entry.front() == ' ' || entry.front() == '"')) {
      entry.remove_prefix(1);
    }
    while (!entry.empty() && (entry.back() == ' ' || entry.back() == '"')) {
      entry.remove_suffix(1);
    }
    if (entry == library) {
      return std::string(list);
    }
    rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 1);
  }
  return TrimEnd(list).empty() ? std::string(library)
                               : std::string(list) + ", " + std::string(library);
}

std::string QuoteConninfo(std::string_view value) {
  std::string quoted = "'";
  for (char c : value) {
    if (c == '\'' || c == '\\') {
      quoted += '\\';
    }
    quoted += c;
  }
  return quoted + "'";
}

}  // namespace pgquorum::cli
