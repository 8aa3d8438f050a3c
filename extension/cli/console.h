// What the person at the terminal (or the script behind it) sees. Results go to standard output;
// progress and errors to standard error, so that `pgquorum ... | program` gets results alone.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace pgquorum::cli {

// Exit codes of every command.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;  // tried and failed; standard error says what, why and a hint
inline constexpr int kExitUsage = 2;   // wrong arguments; nothing was touched
inline constexpr int kExitUnhealthy =
    3;  // `cluster status`, `sandbox status`: it is not all healthy

// SQLSTATEs of the CLI's own errors: InvalidArgument becomes kExitUsage, all others kExitFailed.
inline constexpr char kInvalidArgument[] = "22023";
inline constexpr char kSystemError[] = "58000";
inline constexpr char kWrongState[] = "55000";
inline constexpr char kConnectionFailure[] = "08006";

Status InvalidArgument(std::string message);
Status WrongState(std::string message);
Status SystemError(std::string message);
// Appends strerror(errno).
Status SystemErrorErrno(std::string message);

// Prints "pgquorum: message", detail and hint; returns the exit code.
int ReportError(const Status& status);

// A step or a change that the user should know of, on standard error; nothing with --quiet.
void Say(const std::string& text);
void SetQuiet(bool quiet);

bool StdoutIsTerminal();
bool StderrIsTerminal();

enum class Tone { kPlain, kGood, kBad, kDim };

struct Cell {
  std::string text;
  Tone tone = Tone::kPlain;
};

// Columns padded to their widest cell; colours on a terminal only (and not with NO_COLOR).
void PrintTable(const std::vector<std::string>& header, const std::vector<std::vector<Cell>>& rows);

// Text for one line: control characters that another program sent are shown as '?'.
std::string OneLine(std::string_view text);

}  // namespace pgquorum::cli
