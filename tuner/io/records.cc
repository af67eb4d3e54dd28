// SPDX-License-Identifier: Apache-2.0
#include "tuner/io/records.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "tuner/io/csv.h"

namespace metallic {
namespace {

constexpr size_t kLongestText = 256;  // as in JSON, so a text that is read can be written and read again

const std::array kResultColumns = {
    RecordColumn<ResultRow>{"benchmark", &ResultRow::benchmark, true},
    RecordColumn<ResultRow>{"variant", &ResultRow::variant, true},
    RecordColumn<ResultRow>{"parameters", &ResultRow::parameters, true},
    RecordColumn<ResultRow>{"mean_time", &ResultRow::mean_time, true},
    RecordColumn<ResultRow>{"throughput", &ResultRow::throughput, true},
    RecordColumn<ResultRow>{"dtype", &ResultRow::dtype},
    RecordColumn<ResultRow>{"tuning", &ResultRow::tuning},
    RecordColumn<ResultRow>{"median_time", &ResultRow::median_time},
    RecordColumn<ResultRow>{"ci_low", &ResultRow::ci_low},
    RecordColumn<ResultRow>{"ci_high", &ResultRow::ci_high},
    RecordColumn<ResultRow>{"samples", &ResultRow::samples},
    RecordColumn<ResultRow>{"bytes", &ResultRow::bytes},
    RecordColumn<ResultRow>{"flops", &ResultRow::flops},
    RecordColumn<ResultRow>{"workspace_bytes", &ResultRow::workspace_bytes},
    RecordColumn<ResultRow>{"target", &ResultRow::target},
    RecordColumn<ResultRow>{"threads", &ResultRow::threads},
    RecordColumn<ResultRow>{"cache", &ResultRow::cache},
    RecordColumn<ResultRow>{"device", &ResultRow::device},
    RecordColumn<ResultRow>{"build", &ResultRow::build},
};

const std::array kSampleColumns = {
    RecordColumn<SampleRow>{"benchmark", &SampleRow::benchmark},
    RecordColumn<SampleRow>{"variant", &SampleRow::variant, true},
    RecordColumn<SampleRow>{"parameters", &SampleRow::parameters, true},
    RecordColumn<SampleRow>{"dtype", &SampleRow::dtype, true},
    RecordColumn<SampleRow>{"tuning", &SampleRow::tuning},
    RecordColumn<SampleRow>{"target", &SampleRow::target},
    RecordColumn<SampleRow>{"threads", &SampleRow::threads},
    RecordColumn<SampleRow>{"cache", &SampleRow::cache},
    RecordColumn<SampleRow>{"device", &SampleRow::device},
    RecordColumn<SampleRow>{"build", &SampleRow::build},
    RecordColumn<SampleRow>{"op", &SampleRow::op},
    RecordColumn<SampleRow>{"block", &SampleRow::block, true},
    RecordColumn<SampleRow>{"order", &SampleRow::order},
    RecordColumn<SampleRow>{"seed", &SampleRow::seed},
    RecordColumn<SampleRow>{"iterations", &SampleRow::iterations},
    RecordColumn<SampleRow>{"time_ns", &SampleRow::time_ns, true},
    RecordColumn<SampleRow>{"weight", &SampleRow::weight},
    RecordColumn<SampleRow>{"at_s", &SampleRow::at_s},
};

template <typename Number>
bool parse_number(std::string_view text, Number& number) {
  const auto [stop, status] = std::from_chars(text.data(), text.data() + text.size(), number);
  return status == std::errc() && stop == text.data() + text.size();
}

template <typename Row>
Status set(Row& row, const RecordColumn<Row>& column, const std::string& text, std::string_view where, size_t line) {
  const auto wrong = [&](std::string_view wanted) {
    return fail(Code::invalid_argument, "{} line {} column {}: {} is not {}", where, line, column.name, in_quotes(text), wanted);
  };
  if (const auto* member = std::get_if<std::string Row::*>(&column.member)) {
    if (text.size() > kLongestText) return wrong(fmt::format("a text of at most {} bytes", kLongestText));
    row.** member = text;
  } else if (const auto* member = std::get_if<int64_t Row::*>(&column.member)) {
    if (!parse_number(text, row.**member) || row.**member < 0) return wrong("a whole number ≥ 0");
  } else {
    double& number = row.*std::get<double Row::*>(column.member);
    if (!parse_number(text, number) || !std::isfinite(number) || number < 0) return wrong("a number ≥ 0");
  }
  return {};
}

// Why a header has none of our columns: spreadsheets separate by semicolons where the comma is the decimal sign.
std::string_view separator_hint(const std::vector<std::string>& titles) {
  if (titles.size() > 1) return "";
  if (titles.front().find(';') != std::string::npos) return "; semicolons separate its columns: save it with commas";
  if (titles.front().find('\t') != std::string::npos) return "; tabs separate its columns: save it with commas";
  return "";
}

template <typename Row, typename Visit>
Status visit_rows(std::span<const RecordColumn<Row>> columns, std::string_view text, std::string_view where, const Visit& visit) {
  std::vector<const RecordColumn<Row>*> order;  // the column of each field, null for unknown ones
  METALLIC_CHECK(read_csv(text, where, [&](const CsvRow& line) -> Status {
    if (order.empty()) {
      for (const std::string& title : line.fields) {
        order.push_back(nullptr);
        for (const auto& column : columns)
          if (column.name == title) order.back() = &column;
      }
      for (const auto& column : columns)
        if (column.required && std::ranges::find(order, &column) == order.end())
          return fail(Code::invalid_argument, "{} line {}: the header lacks the column {}{}", where, line.line, column.name,
                      separator_hint(line.fields));
      return {};
    }
    if (line.fields.size() != order.size())
      return fail(Code::invalid_argument, "{} line {}: {} fields where the header has {}", where, line.line, line.fields.size(),
                  order.size());
    Row row;
    for (size_t i = 0; i < order.size(); ++i)
      if (order[i]) METALLIC_CHECK(set(row, *order[i], line.fields[i], where, line.line));
    row.line = line.line;
    return visit(std::move(row), line.line);
  }));
  if (order.empty())
    return fail(Code::invalid_argument, "{}: empty, expected a header with the column {}", where, columns.front().name);
  return {};
}

template <typename Row>
Result<std::vector<Row>> parse(std::span<const RecordColumn<Row>> columns, std::string_view text, std::string_view where) {
  std::vector<Row> rows;
  METALLIC_CHECK(visit_rows(columns, text, where, [&](Row&& row, size_t) -> Status {
    rows.push_back(std::move(row));
    return {};
  }));
  return rows;
}

template <typename Row>
std::string text_of(const Row& row, const RecordColumn<Row>& column) {
  return std::visit([&](auto member) { return fmt::format("{}", row.*member); }, column.member);
}

}  // namespace

std::span<const RecordColumn<ResultRow>> result_columns() { return kResultColumns; }
std::span<const RecordColumn<SampleRow>> sample_columns() { return kSampleColumns; }

template <typename Row>
std::string to_csv(std::span<const RecordColumn<Row>> columns, std::span<const Row> rows) {
  std::vector<std::string> fields;
  for (const auto& column : columns) fields.emplace_back(column.name);
  std::string text = csv_line(fields);
  for (const Row& row : rows) {
    for (size_t i = 0; i < columns.size(); ++i) fields[i] = text_of(row, columns[i]);
    text += csv_line(fields);
  }
  return text;
}

template <typename Row>
Json to_json(std::span<const RecordColumn<Row>> columns, const Row& row) {
  Json object = Json::object();
  for (const auto& column : columns)
    std::visit([&](auto member) { object[std::string(column.name)] = row.*member; }, column.member);
  return object;
}

template std::string to_csv(std::span<const RecordColumn<ResultRow>>, std::span<const ResultRow>);
template std::string to_csv(std::span<const RecordColumn<SampleRow>>, std::span<const SampleRow>);
template Json to_json(std::span<const RecordColumn<ResultRow>>, const ResultRow&);
template Json to_json(std::span<const RecordColumn<SampleRow>>, const SampleRow&);

Result<std::vector<ResultRow>> parse_results(std::string_view text, std::string_view where) {
  return parse(result_columns(), text, where);
}

Result<std::vector<SampleRow>> parse_samples(std::string_view text, std::string_view where) {
  return parse(sample_columns(), text, where);
}

Status visit_samples(std::string_view text, std::string_view where,
                     const std::function<Status(const SampleRow& row, size_t line)>& visit) {
  return visit_rows(sample_columns(), text, where, visit);
}

bool looks_like_samples(std::string_view text) {
  return text.substr(0, text.find('\n')).find("time_ns") != std::string_view::npos;
}

}  // namespace metallic
