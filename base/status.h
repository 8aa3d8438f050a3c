// Errors as values for the pure rooms: no exception leaves a public function there.
//
// A Status carries what PostgreSQL's ereport() needs (SQLSTATE, message, detail, hint), so the wall
// (extension/pg) can raise it unchanged. SQLSTATE constants are generated from registry/sqlstates/.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "base/check.h"

namespace pgquorum {

class [[nodiscard]] Status {
 public:
  Status() = default;  // success

  static Status Ok() { return Status(); }

  // `sqlstate` has exactly five characters; `message` follows PostgreSQL's error style guide
  // (lower case first letter, no full stop).
  static Status Error(std::string_view sqlstate, std::string message) {
    PGQUORUM_CHECK(sqlstate.size() == 5);
    Status s;
    s.sqlstate_ = sqlstate;
    s.message_ = std::move(message);
    return s;
  }

  Status&& WithDetail(std::string detail) && {
    detail_ = std::move(detail);
    return std::move(*this);
  }
  Status&& WithHint(std::string hint) && {
    hint_ = std::move(hint);
    return std::move(*this);
  }

  bool ok() const { return sqlstate_.empty(); }
  const std::string& sqlstate() const { return sqlstate_; }
  const std::string& message() const { return message_; }
  const std::string& detail() const { return detail_; }
  const std::string& hint() const { return hint_; }

  // One line for logs: "SQLSTATE: message (detail)".
  std::string ToString() const {
    if (ok()) {
      return "ok";
    }
    std::string text = sqlstate_ + ": " + message_;
    if (!detail_.empty()) {
      text += " (" + detail_ + ")";
    }
    return text;
  }

 private:
  std::string sqlstate_;
  std::string message_;
  std::string detail_;
  std::string hint_;
};

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}  // NOLINT: implicit by design, as `return value;`
  Result(Status status) : state_(std::move(status)) {  // NOLINT: as `return Status::Error(...)`
    PGQUORUM_CHECK(!std::get<Status>(state_).ok());
  }

  bool ok() const { return std::holds_alternative<T>(state_); }
  Status status() const { return ok() ? Status::Ok() : std::get<Status>(state_); }

  // Precondition: ok().
  const T& value() const& {
    PGQUORUM_CHECK(ok());
    return std::get<T>(state_);
  }
  T& value() & {
    PGQUORUM_CHECK(ok());
    return std::get<T>(state_);
  }
  T&& value() && {
    PGQUORUM_CHECK(ok());
    return std::get<T>(std::move(state_));
  }

 private:
  std::variant<T, Status> state_;
};

}  // namespace pgquorum

#include "base/pure.h"
