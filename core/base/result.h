// Result<T>: a value or an Error. The library's only way to report failure; no exceptions.
#pragma once

#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

#include "core/base/error.h"

namespace apr {

/// A value of type T, or the Error that prevented it. Reading the wrong side is a programming
/// error.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}
  template <typename U>
    requires(std::is_convertible_v<U &&, T> && !std::is_same_v<std::remove_cvref_t<U>, T> &&
             !std::is_same_v<std::remove_cvref_t<U>, Error> &&
             !std::is_same_v<std::remove_cvref_t<U>, Result>)
  Result(U&& value) : state_(std::in_place_index<0>, std::forward<U>(value)) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  T& value() & { return *std::get_if<0>(&state_); }
  const T& value() const& { return *std::get_if<0>(&state_); }
  T&& value() && { return std::move(*std::get_if<0>(&state_)); }

  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  Error& error() & { return *std::get_if<1>(&state_); }
  const Error& error() const& { return *std::get_if<1>(&state_); }
  Error&& error() && { return std::move(*std::get_if<1>(&state_)); }

 private:
  std::variant<T, Error> state_;
};

/// Success without a value, or an Error.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}

  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }

  Error& error() & { return *error_; }
  const Error& error() const& { return *error_; }
  Error&& error() && { return *std::move(error_); }

 private:
  std::optional<Error> error_;
};

using Status = Result<void>;

inline Error make_error(ErrorCode code, std::string message, std::string context = {},
                        std::string hint = {}) {
  return Error{code, std::move(message), std::move(context), std::move(hint)};
}

}  // namespace apr

#define APR_CONCAT_INNER(a, b) a##b
#define APR_CONCAT(a, b) APR_CONCAT_INNER(a, b)

/// Returns the error of a failed expression from the enclosing function.
#define APR_TRY(expression)                                                                \
  do {                                                                                     \
    if (auto apr_status = (expression); !apr_status) return std::move(apr_status).error(); \
  } while (false)

/// `APR_ASSIGN(auto x, f());` — binds the value, or returns the error.
#define APR_ASSIGN(declaration, expression) \
  APR_ASSIGN_IMPL(APR_CONCAT(apr_result_, __LINE__), declaration, expression)
#define APR_ASSIGN_IMPL(temporary, declaration, expression) \
  auto temporary = (expression);                            \
  if (!temporary) return std::move(temporary).error();      \
  declaration = *std::move(temporary)
