#include "extension/cli/console.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <unistd.h>

namespace pgquorum::cli {
namespace {

bool quiet = false;

// Bytes of UTF-8 that begin a character.
std::size_t Width(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

const char* Colour(Tone tone) {
  switch (tone) {
    case Tone::kGood:
      return "\033[32m";
    case Tone::kBad:
      return "\033[31m";
    case Tone::kDim:
      return "\033[2m";
    case Tone::kPlain:
      break;
  }
  return "";
}

}  // namespace

Status InvalidArgument(std::string message) {
  return Status::Error(kInvalidArgument, std::move(message));
}
Status WrongState(std::string message) {
  return Status::Error(kWrongState, std::move(message));
}
Status SystemError(std::string message) {
  return Status::Error(kSystemError, std::move(message));
}
Status SystemErrorErrno(std::string message) {
  return SystemError(std::move(message) + ": " + std::strerror(errno));
}

int ReportError(const Status& status) {
  std::fprintf(stderr, "pgquorum: %s\n", status.message().c_str());
  if (!status.detail().empty()) {
    std::fprintf(stderr, "  detail: %s\n", status.detail().c_str());
  }
  if (!status.hint().empty()) {
    std::fprintf(stderr, "  hint: %s\n", status.hint().c_str());
  }
  return status.sqlstate() == kInvalidArgument ? kExitUsage : kExitFailed;
}

void Say(const std::string& text) {
  if (!quiet) {
    std::fprintf(stderr, "%s\n", text.c_str());
  }
}

void SetQuiet(bool value) {
  quiet = value;
}

bool StdoutIsTerminal() {
  return isatty(STDOUT_FILENO) == 1;
}
bool StderrIsTerminal() {
  return isatty(STDERR_FILENO) == 1;
}

void PrintTable(const std::vector<std::string>& header,
                const std::vector<std::vector<Cell>>& rows) {
  std::vector<std::size_t> widths;
  for (const std::string& title : header) {
    widths.push_back(Width(title));
  }
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size() && i < widths.size(); ++i) {
      widths[i] = std::max(widths[i], Width(row[i].text));
    }
  }
  const bool colours = StdoutIsTerminal() && std::getenv("NO_COLOR") == nullptr;
  auto print = [&](const std::vector<Cell>& row) {
    std::string line;
    for (std::size_t i = 0; i < row.size() && i < widths.size(); ++i) {
      const bool coloured = colours && row[i].tone != Tone::kPlain;
      line += coloured ? Colour(row[i].tone) : "";
      line += row[i].text;
      line += coloured ? "\033[0m" : "";
      if (i + 1 < row.size()) {
        line.append(widths[i] - Width(row[i].text) + 2, ' ');
      }
    }
    std::printf("%s\n", line.c_str());
  };
  std::vector<Cell> titles;
  for (const std::string& title : header) {
    titles.push_back({title, Tone::kDim});
  }
  print(titles);
  for (const auto& row : rows) {
    print(row);
  }
}

std::string OneLine(std::string_view text) {
  std::string line(text);
  while (!line.empty() && (line.back() == '\n' || line.back() == ' ')) {
    line.pop_back();
  }
  for (char& c : line) {
    if (c == '\n' || c == '\t') {
      c = ' ';
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      c = '?';
    }
  }
  return line;
}

}  // namespace pgquorum::cli
