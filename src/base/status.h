// SPDX-License-Identifier: Apache-2.0
// Errors as values: a code that programs act on and one line that people read.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace metallic {

/// What kind of thing went wrong. The values equal `metallic_status` of the C header.
enum class Code : int {
  ok = 0,
  invalid_argument = 1,  ///< a value the caller passed, or wrote in a file, is wrong
  not_found = 2,         ///< a name or file does not exist
  unsupported = 3,       ///< no kernel accepts the problem, or the forced one rejects it
  out_of_memory = 4,     ///< the problem needs more memory than there is
  io = 5,                ///< a file cannot be read or written
  internal = 6,          ///< a defect of this library
};

/// The name of a code as the C enumerator's tail, e.g. "invalid_argument".
std::string_view name(Code code);

struct Error {
  Code code;
  std::string message;  ///< one line: what, where, what would be right
};

template <typename T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

/// Text made fit for one line of a log: without control characters and invalid UTF-8, cut in its middle beyond 480 bytes.
std::string one_line(std::string_view text);

/// An error to return from a function that gives a `Result`; the message is formatted by fmt.
template <typename... Args>
tl::unexpected<Error> fail(Code code, fmt::format_string<Args...> format, Args&&... args) {
  return tl::unexpected<Error>(Error{code, one_line(fmt::format(format, std::forward<Args>(args)...))});
}

/// Untrusted text made fit for one line of an error: in double quotes, escaped, cut after 60 bytes.
std::string in_quotes(std::string_view text);

}  // namespace metallic

// `METALLIC_TRY(name, expression)` declares `name` as the value of a Result, or returns its error.
#define METALLIC_TRY(declaration, expression) METALLIC_TRY_(METALLIC_TRY_NAME(__LINE__), declaration, expression)
#define METALLIC_TRY_NAME(line) METALLIC_TRY_NAME_(line)
#define METALLIC_TRY_NAME_(line) result_at_##line
#define METALLIC_TRY_(result, declaration, expression)                              \
  auto result = (expression);                                                       \
  if (!result) return tl::unexpected<::metallic::Error>(std::move(result).error()); \
  declaration = std::move(*result)

// `METALLIC_CHECK(status)` returns the error of a Status, if it is one.
#define METALLIC_CHECK(expression) \
  if (auto status_ = (expression); !status_) return tl::unexpected<::metallic::Error>(std::move(status_).error())
