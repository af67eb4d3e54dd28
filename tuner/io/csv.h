// SPDX-License-Identifier: Apache-2.0
// CSV (RFC 4180): a bounded reader that knows the line of each row, and a writer that quotes only if necessary.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace metallic {

struct CsvRow {
  size_t line;  ///< where the row begins, from 1
  std::vector<std::string> fields;
};

/// Calls `visit` with each row, the header first, and stops at its first error. `where` is the name of the file in errors. Passes
/// over a byte-order mark, empty lines and rows of empty fields, which spreadsheets write.
/// Errors: more than 64 columns, fields over 4096 bytes, UTF-16, zero bytes, stray quotes, an unfinished quoted field.
Status read_csv(std::string_view text, std::string_view where, const std::function<Status(const CsvRow&)>& visit);

/// One line, including the line end.
std::string csv_line(std::span<const std::string> fields);

}  // namespace metallic
