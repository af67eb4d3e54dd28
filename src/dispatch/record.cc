#include "dispatch/record.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <vector>

#include "ops/label.h"

namespace metallic {
namespace {

constexpr std::string_view kHeader = "# Recorded by metallic: label, number of runs, type; behind # what these leave out.";
constexpr size_t kMostLines = 10'000;

// The members of a shape that differ from those of the contiguous one with the same label.
class Differences {
 public:
  template <typename T>
  void add(std::string_view what, const T& is, const T& usual) {
    if (is != usual) text_ += fmt::format("{}{}={}", text_.empty() ? "" : " ", what, is);
  }
  void add(std::string_view what, const HeadStrides& is, const HeadStrides& usual) {
    if (is != usual) text_ += fmt::format("{}{}={}/{}/{}", text_.empty() ? "" : " ", what, is.batch, is.head, is.row);
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

void compare(const SoftmaxShape& s, Differences& differences) {
  differences.add("in_stride", s.in_stride, s.seq_k);
  differences.add("out_stride", s.out_stride, s.seq_k);
  differences.add("scale", s.scale, 1.0f);
}

void compare(const MatmulShape& s, Differences& differences) {
  MatmulShape usual = matmul_problem(s.m, s.k, s.n, s.ta, s.tb, s.batch).matmul();
  if (s.packed) make_packed(usual);
  differences.add("lda", s.lda, usual.lda);
  differences.add("ldb", s.ldb, usual.ldb);
  differences.add("ldc", s.ldc, usual.ldc);
  if (s.batch == 1) return;
  differences.add("batch_stride_a", s.batch_stride_a, usual.batch_stride_a);
  differences.add("batch_stride_b", s.batch_stride_b, usual.batch_stride_b);
  differences.add("batch_stride_c", s.batch_stride_c, usual.batch_stride_c);
}

void compare(const SdpaShape& s, Differences& differences) {
  const SdpaShape usual = sdpa_problem(s.batch, s.heads, s.kv_heads, s.seq_q, s.seq_k, s.head_dim).sdpa();
  differences.add("q", s.q, usual.q);
  differences.add("k", s.k, usual.k);
  differences.add("v", s.v, usual.v);
  differences.add("out", s.out, usual.out);
  differences.add("scale", s.scale, usual.scale);
}

std::string_view take_word(std::string_view& rest) {
  rest.remove_prefix(std::min(rest.size(), rest.find_first_not_of(' ')));
  const std::string_view word = rest.substr(0, rest.find(' '));
  rest.remove_prefix(word.size());
  return word;
}

}  // namespace

RecordKey record_key(const Problem& problem) {
  Differences differences;
  std::visit([&](const auto& shape) { compare(shape, differences); }, problem.shape);
  differences.add("out_dtype", name(problem.out_dtype), name(problem.dtype));
  return {label(problem), problem.dtype, differences.text()};
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
    take_word(rest), take_word(rest);  // "#", and the operation, which the label says too
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
