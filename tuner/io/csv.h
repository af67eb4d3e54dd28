// CSV as RFC 4180 has it: bounded reading with the line of each row, and quoting where a field needs it.
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

/// Calls `visit` with each row, the header first, and stops at its first error. `where` is the file's name for errors.
/// Refuses more than 64 columns, fields over 4096 bytes, zero bytes, stray quotes and an unfinished quoted field.
Status read_csv(std::string_view text, std::string_view where, const std::function<Status(const CsvRow&)>& visit);

/// One line with its line end.
std::string csv_line(std::span<const std::string> fields);

}  // namespace metallic
