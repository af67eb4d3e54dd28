#include "ops/label.h"

#include <fmt/format.h>

#include <charconv>
#include <functional>
#include <optional>

namespace metallic {
namespace {

constexpr int64_t kLargest = int64_t{1} << 48;  // more elements than any machine holds; keeps products of two far from overflow
constexpr size_t kMostProblems = 10'000;

// Walks a label once. Every expectation that fails leaves the first error, with its column.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  bool accept(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }

  // A word that is followed by a digit or a sign, such as `_offset4`.
  bool accept_before_number(std::string_view word) {
    const size_t next = at_ + word.size();
    if (text_.substr(at_, word.size()) != word || next >= text_.size()) return false;
    const char c = text_[next];
    if (!((c >= '0' && c <= '9') || c == '-' || c == '.')) return false;
    at_ = next;
    return true;
  }

  Status expect(std::string_view word) {
    if (accept(word)) return {};
    return error(fmt::format("expected {}", in_quotes(word)));
  }

  Result<int64_t> integer(bool negative_allowed = false) {
    int64_t value = 0;
    const char* begin = text_.data() + at_;
    const char* end = text_.data() + text_.size();
    const auto [stop, status] = std::from_chars(begin, end, value);
    if (status == std::errc::result_out_of_range || value > kLargest || value < -kLargest)
      return error(fmt::format("number too large, at most {} allowed", kLargest));
    if (status != std::errc() || (value < 0 && !negative_allowed))
      return error(negative_allowed ? "expected an integer" : "expected a number ≥ 0");
    at_ += static_cast<size_t>(stop - begin);
    return value;
  }

  Result<float> real() {
    float value = 0;
    const char* begin = text_.data() + at_;
    const auto [stop, status] = std::from_chars(begin, text_.data() + text_.size(), value);
    if (status != std::errc() || !(value - value == 0)) return error("expected a finite number");
    at_ += static_cast<size_t>(stop - begin);
    return value;
  }

  // A number, or a range of numbers in the command line's notation.
  Result<std::vector<int64_t>> integers() {
    METALLIC_TRY(const int64_t first, integer());
    std::vector<int64_t> values = {first};
    if (accept("..")) {
      METALLIC_TRY(const int64_t last, integer());
      int64_t step = 0;
      if (accept(":")) {
        METALLIC_TRY(step, integer());
        if (step == 0) return error("a range needs a step ≥ 1");
      }
      if (last < first) return error("a range must not fall");
      if (step == 0 && first == 0) return error("a range of powers of two must start at 1 or more");
      for (int64_t value = first; (value = step ? value + step : value * 2) <= last;) {
        values.push_back(value);
        if (values.size() > kMostProblems) return error(fmt::format("a range may have {} values at most", kMostProblems));
      }
    } else {
      while (accept("+")) {
        METALLIC_TRY(const int64_t value, integer());
        values.push_back(value);
      }
    }
    return values;
  }

  bool at_end() const { return at_ == text_.size(); }

  tl::unexpected<Error> error(std::string_view expectation) const {
    return fail(Code::invalid_argument,
                "label {} column {}: {} (labels: rows64_seqk512, batch1_seqq64_seqk512_causal, 4096x4096x8_tb, "
                "batch1_h32kv8_seqq1_seqk4096_d128_causal)",
                in_quotes(text_), at_ + 1, expectation);
  }

 private:
  std::string_view text_;
  size_t at_ = 0;
};

// One label's numbers before ranges are multiplied out.
struct Numbers {
  std::vector<std::vector<int64_t>> axes;
  std::function<Problem(const std::vector<int64_t>&)> make;
};

struct Mask {
  bool causal = false;
  std::optional<int64_t> offset;
};

Result<Mask> scan_mask(Scanner& scanner) {
  Mask mask{.causal = scanner.accept("_causal")};
  if (mask.causal && scanner.accept_before_number("_offset")) {
    METALLIC_TRY(mask.offset, scanner.integer(/*negative_allowed=*/true));
  }
  return mask;
}

template <typename S>
std::string print_mask(const S& s) {
  if (!s.causal) return "";
  return s.offset == s.seq_k - s.seq_q ? "_causal" : fmt::format("_causal_offset{}", s.offset);
}

Result<Numbers> scan_softmax(Scanner& scanner) {
  Numbers numbers;
  if (scanner.accept("rows")) {
    METALLIC_TRY(auto rows, scanner.integers());
    METALLIC_CHECK(scanner.expect("_seqk"));
    METALLIC_TRY(auto seq_k, scanner.integers());
    numbers.axes = {rows, seq_k};
    numbers.make = [](const auto& v) { return softmax_problem(v[0], v[1]); };
    return numbers;
  }
  METALLIC_CHECK(scanner.expect("batch"));
  METALLIC_TRY(auto batch, scanner.integers());
  METALLIC_CHECK(scanner.expect("_seqq"));
  METALLIC_TRY(auto seq_q, scanner.integers());
  METALLIC_CHECK(scanner.expect("_seqk"));
  METALLIC_TRY(auto seq_k, scanner.integers());
  METALLIC_TRY(const Mask mask, scan_mask(scanner));
  numbers.axes = {batch, seq_q, seq_k};
  numbers.make = [=](const auto& v) {
    Problem problem = softmax_problem(v[0], v[1], v[2]);
    if (mask.causal) make_causal(std::get<SoftmaxShape>(problem.shape), mask.offset);
    return problem;
  };
  return numbers;
}

Result<Numbers> scan_sdpa(Scanner& scanner) {
  Numbers numbers;
  for (const std::string_view word : {"batch", "_h", "kv", "_seqq", "_seqk", "_d"}) {
    METALLIC_CHECK(scanner.expect(word));
    METALLIC_TRY(auto values, scanner.integers());
    numbers.axes.push_back(std::move(values));
  }
  METALLIC_TRY(const Mask mask, scan_mask(scanner));
  numbers.make = [=](const auto& v) {
    Problem problem = sdpa_problem(v[0], v[1], v[2], v[3], v[4], v[5]);
    if (mask.causal) make_causal(std::get<SdpaShape>(problem.shape), mask.offset);
    return problem;
  };
  return numbers;
}

// Softmax labels start with `rows`, or hold `_seqq`; sdpa's hold `_h` before it; all others are matmul's.
Op op_of(std::string_view text) {
  const size_t seq_q = text.find("_seqq");
  if (text.substr(0, seq_q).find("_h") != std::string_view::npos) return Op::sdpa;
  return text.starts_with("rows") || seq_q != std::string_view::npos ? Op::softmax : Op::matmul;
}

Result<Numbers> scan_matmul(Scanner& scanner) {
  Numbers numbers;
  std::vector<int64_t> batch = {1};
  if (scanner.accept("batch")) {
    METALLIC_TRY(batch, scanner.integers());
    METALLIC_CHECK(scanner.expect("_"));
  }
  METALLIC_TRY(auto m, scanner.integers());
  METALLIC_CHECK(scanner.expect("x"));
  METALLIC_TRY(auto k, scanner.integers());
  METALLIC_CHECK(scanner.expect("x"));
  METALLIC_TRY(auto n, scanner.integers());
  const bool ta = scanner.accept("_ta");
  const bool tb = scanner.accept("_tb"), packed = !tb && scanner.accept("_packed");
  float alpha = 1, beta = 0;
  if (scanner.accept_before_number("_a")) {
    METALLIC_TRY(alpha, scanner.real());
    METALLIC_CHECK(scanner.expect("_b"));
    METALLIC_TRY(beta, scanner.real());
  }
  numbers.axes = {batch, m, k, n};
  numbers.make = [=](const auto& v) {
    Problem problem = matmul_problem(v[1], v[2], v[3], ta, tb, v[0]);
    auto& shape = std::get<MatmulShape>(problem.shape);
    if (packed) make_packed(shape);
    shape.alpha = alpha;
    shape.beta = beta;
    return problem;
  };
  return numbers;
}

}  // namespace

std::string label(const Problem& problem) {
  if (problem.op() == Op::softmax) {
    const auto& s = problem.softmax();
    if (s.rank == 2) return fmt::format("rows{}_seqk{}", s.seq_q, s.seq_k);
    return fmt::format("batch{}_seqq{}_seqk{}{}", s.batch, s.seq_q, s.seq_k, print_mask(s));
  }
  if (problem.op() == Op::sdpa) {
    const auto& s = problem.sdpa();
    return fmt::format("batch{}_h{}kv{}_seqq{}_seqk{}_d{}{}", s.batch, s.heads, s.kv_heads, s.seq_q, s.seq_k, s.head_dim,
                       print_mask(s));
  }
  const auto& s = problem.matmul();
  std::string text = s.batch == 1 ? "" : fmt::format("batch{}_", s.batch);
  text += fmt::format("{}x{}x{}{}{}", s.m, s.k, s.n, s.ta ? "_ta" : "", s.packed ? "_packed" : s.tb ? "_tb" : "");
  if (s.alpha != 1 || s.beta != 0) text += fmt::format("_a{}_b{}", s.alpha, s.beta);
  return text;
}

Result<std::vector<Problem>> parse_labels(std::string_view text) {
  Scanner scanner(text);
  const Op op = op_of(text);
  METALLIC_TRY(const Numbers numbers, op == Op::softmax ? scan_softmax(scanner)
                                      : op == Op::sdpa  ? scan_sdpa(scanner)
                                                        : scan_matmul(scanner));
  if (!scanner.at_end()) return scanner.error("unexpected text");

  size_t count = 1;
  for (const auto& axis : numbers.axes) {
    count *= axis.size();
    if (count > kMostProblems)
      return fail(Code::invalid_argument, "label {} names over {} problems: use smaller ranges", in_quotes(text), kMostProblems);
  }
  std::vector<Problem> problems;
  problems.reserve(count);
  std::vector<int64_t> values(numbers.axes.size());
  for (size_t i = 0; i < count; ++i) {
    size_t rest = i;
    for (size_t axis = values.size(); axis-- > 0; rest /= numbers.axes[axis].size())
      values[axis] = numbers.axes[axis][rest % numbers.axes[axis].size()];
    problems.push_back(numbers.make(values));
    if (Status valid = validate(problems.back()); !valid)
      return fail(valid.error().code, "label {}: {}", in_quotes(text), valid.error().message);
  }
  return problems;
}

Result<Problem> parse_label(std::string_view text) {
  METALLIC_TRY(const auto problems, parse_labels(text));
  if (problems.size() != 1)
    return fail(Code::invalid_argument, "label {} names {} problems where one is wanted: leave out the range", in_quotes(text),
                problems.size());
  return problems.front();
}

}  // namespace metallic
