// SPDX-License-Identifier: Apache-2.0
#include "dispatch/record.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <vector>

#include "ops/label.h"
#include "ops/operation.h"

namespace metallic {
namespace {

constexpr std::string_view kHeader = "# Recorded by metallic: label, number of runs, type; behind # what these leave out.";
constexpr size_t kMostLines = 10'000;

std::string_view take_word(std::string_view& rest) {
  rest.remove_prefix(std::min(rest.size(), rest.find_first_not_of(' ')));
  const std::string_view word = rest.substr(0, rest.find(' '));
  rest.remove_prefix(word.size());
  return word;
}

}  // namespace

RecordKey record_key(const Problem& problem) {
  std::string rest = problem.op()->unusual(problem);
  if (problem.out_dtype != problem.dtype) rest += fmt::format("{}out_dtype={}", rest.empty() ? "" : " ", name(problem.out_dtype));
  return {label(problem), problem.dtype, std::move(rest)};
}

std::string to_text(const Record& record) {
  std::vector<std::pair<RecordKey, uint64_t>> sorted(record.begin(), record.end());
  std::ranges::stable_sort(sorted, std::greater(), &std::pair<RecordKey, uint64_t>::second);
  std::string text = fmt::format("{}\n", kHeader);
  for (size_t i = 0; i < sorted.size(); ++i) {
    const auto& [key, runs] = sorted[i];
    const auto problem = parse_label(key.label);
    const std::string line = fmt::format("{} {} {}  # {}{}{}\n", key.label, runs, name(key.dtype),
                                         problem ? name(problem->op()) : "", key.rest.empty() ? "" : " ", key.rest);
    if (i == kMostLines || text.size() + line.size() > kMostRecordBytes - 200) {
      text += fmt::format("# {} further problems, with at most {} runs each, are left out.\n", sorted.size() - i, runs);
      break;
    }
    text += line;
  }
  return text;
}

Result<Record> parse_record(std::string_view text, std::string_view where) {
  Record record;
  for (size_t number = 1; !text.empty() || number == 1; ++number) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (number == 1 && line != kHeader)
      return fail(Code::invalid_argument, "{} is no record of metallic's: remove it, or name another file", where);
    if (line.starts_with('#') || line.empty()) continue;
    std::string_view rest = line;
    const std::string_view label_text = take_word(rest), runs_text = take_word(rest), dtype_text = take_word(rest);
    const auto problem = parse_label(label_text);
    if (!problem) return fail(Code::invalid_argument, "{} line {}: {}", where, number, problem.error().message);
    uint64_t runs = 0;
    const auto [stop, status] = std::from_chars(runs_text.data(), runs_text.data() + runs_text.size(), runs);
    if (status != std::errc() || stop != runs_text.data() + runs_text.size() || runs == 0)
      return fail(Code::invalid_argument, "{} line {}: {} is no number of runs: use 1 or more", where, number,
                  in_quotes(runs_text));
    const auto dtype = parse_dtype(dtype_text);
    if (!dtype)
      return fail(Code::invalid_argument, "{} line {}: type {}: use {}", where, number, in_quotes(dtype_text), kDTypeNames);
    take_word(rest), take_word(rest);  // "#" and the operation, which the label also gives
    rest.remove_prefix(std::min(rest.size(), rest.find_first_not_of(' ')));
    add(record, {{{std::string(label_text), *dtype, std::string(rest)}, runs}});
  }
  return record;
}

void add(Record& to, const Record& from) {
  for (const auto& [key, runs] : from)
    if (uint64_t& sum = to[key]; __builtin_add_overflow(sum, runs, &sum)) sum = std::numeric_limits<uint64_t>::max();
}

}  // namespace metallic
