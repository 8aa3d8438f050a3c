// The C++ side of every entry that PostgreSQL calls: SQL functions, hooks, callbacks.
//
// No C++ exception may cross a C frame (it would end the server), and no ereport(ERROR) may be
// raised inside a catch block (the exception object would never be freed). So Boundary() runs the
// body, catches everything, lets every C++ object die, and raises afterwards from plain memory.
//
//   PGQUORUM_FUNCTION(f) {
//     return pg::Boundary([&]() -> Result<Datum> { … });
//   }
//
// The body returns a Status or a Result<T>, or void; T must be trivially copyable (a Datum, a
// bool). PostgreSQL calls that may ERROR are made through pg::Try (guard.h) as long as the body
// owns anything with a destructor.
#pragma once

#include <exception>
#include <new>
#include <type_traits>

#include "extension/pg/pg.h"
#include "extension/pg/raise.h"

namespace pgquorum::pg {

namespace internal {

template <typename T>
struct Unwrapped {
  using type = T;
};
template <typename T>
struct Unwrapped<Result<T>> {
  using type = T;
};
template <>
struct Unwrapped<Status> {
  using type = void;
};

// True: `value` (when there is one) is set. False: `error` is.
template <typename F, typename T>
bool Contain(F& body, T* value, ErrorText& error) noexcept {
  using Returned = std::invoke_result_t<F&>;
  try {
    if constexpr (std::is_void_v<Returned>) {
      body();
      return true;
    } else if constexpr (std::is_same_v<Returned, Status>) {
      Status status = body();
      if (!status.ok()) {
        FillErrorText(error, status);
      }
      return status.ok();
    } else {
      Returned result = body();
      if (!result.ok()) {
        FillErrorText(error, result.status());
        return false;
      }
      *value = result.value();
      return true;
    }
  } catch (const std::bad_alloc&) {
    strlcpy(error.sqlstate, "53200", sizeof(error.sqlstate));
    strlcpy(error.message, "out of memory", sizeof(error.message));
  } catch (const std::exception& e) {
    strlcpy(error.sqlstate, "XX000", sizeof(error.sqlstate));
    snprintf(error.message, sizeof(error.message), "unexpected C++ exception: %s", e.what());
  } catch (...) {
    strlcpy(error.sqlstate, "XX000", sizeof(error.sqlstate));
    strlcpy(error.message, "unexpected C++ exception", sizeof(error.message));
  }
  return false;
}

}  // namespace internal

// The same where nothing may be raised (a callback after the end of a transaction): false, and
// `error` says why. For bodies that return nothing or a Status.
template <typename F>
bool Attempt(F body, ErrorText& error) {
  static_assert(std::is_trivially_destructible_v<F>, "capture by reference only");
  return internal::Contain<F, char>(body, nullptr, error);
}

template <typename F>
auto Boundary(F body) {
  using T = typename internal::Unwrapped<std::invoke_result_t<F&>>::type;
  static_assert(std::is_trivially_destructible_v<F>, "capture by reference only");
  ErrorText error = {};
  if constexpr (std::is_void_v<T>) {
    if (!internal::Contain<F, char>(body, nullptr, error)) {
      Raise(error);
    }
  } else {
    static_assert(std::is_trivially_copyable_v<T>);
    T value{};
    if (!internal::Contain(body, &value, error)) {
      Raise(error);
    }
    return value;
  }
}

}  // namespace pgquorum::pg
