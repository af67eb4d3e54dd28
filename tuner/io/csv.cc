// SPDX-License-Identifier: Apache-2.0
#include "tuner/io/csv.h"

#include <csv.h>

#include <algorithm>

#include "base/file.h"

namespace metallic {
namespace {

constexpr size_t kMostColumns = 64;
constexpr size_t kLongestField = 4096;

struct Reader {
  std::vector<std::string> fields;
  std::vector<std::vector<std::string>> rows;  // finished by the line just fed
  bool too_large = false;
};

void on_field(void* data, size_t size, void* context) {
  auto& reader = *static_cast<Reader*>(context);
  if (reader.fields.size() >= kMostColumns || size > kLongestField) {
    reader.too_large = true;
    return;
  }
  reader.fields.emplace_back(static_cast<const char*>(data), size);
}

void on_row(int, void* context) {
  auto& reader = *static_cast<Reader*>(context);
  reader.rows.push_back(std::move(reader.fields));
  reader.fields.clear();
}

// Owns the parser of libcsv.
class Parser {
 public:
  Parser() { csv_init(&parser_, CSV_STRICT | CSV_STRICT_FINI); }
  Parser(const Parser&) = delete;
  Parser& operator=(const Parser&) = delete;
  ~Parser() { csv_free(&parser_); }
  csv_parser* get() { return &parser_; }

 private:
  csv_parser parser_;
};

}  // namespace

Status read_csv(std::string_view text, std::string_view where, const std::function<Status(const CsvRow&)>& visit) {
  Parser parser;
  Reader reader;
  size_t line = 1, row_line = 1;
  const auto hand_over = [&]() -> Status {
    for (auto& fields : reader.rows) {
      // A spreadsheet writes a row of commas for cells that were cleared.
      const bool cleared = std::ranges::all_of(fields, [](const std::string& field) { return field.empty(); });
      if (!cleared) METALLIC_CHECK(visit({row_line, std::move(fields)}));
      row_line = line + 1;
    }
    reader.rows.clear();
    return {};
  };
  const auto within_bounds = [&]() -> Status {
    if (!reader.too_large) return {};
    return fail(Code::invalid_argument, "{} line {}: at most {} columns of {} bytes are read", where, line, kMostColumns,
                kLongestField);
  };
  text = without_byte_order_mark(text);
  if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF"))
    return fail(Code::invalid_argument, "{}: the text is UTF-16: save it as CSV in UTF-8", where);
  if (text.find('\0') != std::string_view::npos)
    return fail(Code::invalid_argument, "{}: contains a zero byte: not a CSV file", where);
  // Line by line, because the parser does not report the line of a row.
  for (size_t begin = 0; begin < text.size(); ++line) {
    const size_t stop = std::min(text.find('\n', begin), text.size() - 1) + 1;
    const std::string_view piece = text.substr(begin, stop - begin);
    begin = stop;
    if (csv_parse(parser.get(), piece.data(), piece.size(), on_field, on_row, &reader) != piece.size())
      return fail(Code::invalid_argument, "{} line {}: {}: a field with quotes must be quoted whole, its own quotes doubled",
                  where, line, csv_strerror(csv_error(parser.get())));
    METALLIC_CHECK(within_bounds());
    if (piece == "\n" || piece == "\r\n") row_line = std::max(row_line, reader.fields.empty() ? line + 1 : row_line);
    METALLIC_CHECK(hand_over());
  }
  if (csv_fini(parser.get(), on_field, on_row, &reader) != 0)
    return fail(Code::invalid_argument, "{} line {}: a quoted field is not closed: the file is cut short", where, row_line);
  METALLIC_CHECK(within_bounds());
  return hand_over();
}

std::string csv_line(std::span<const std::string> fields) {
  std::string line;
  for (size_t i = 0; i < fields.size(); ++i) {
    const std::string& field = fields[i];
    if (i > 0) line += ',';
    if (field.find_first_of(",\"\r\n\t ") == std::string::npos) {
      line += field;
      continue;
    }
    std::string quoted(2 * field.size() + 2, '\0');
    quoted.resize(csv_write(quoted.data(), quoted.size(), field.data(), field.size()));
    line += quoted;
  }
  return line + "\n";
}

}  // namespace metallic
