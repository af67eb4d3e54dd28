#include "core/problem.h"

#include <fmt/format.h>

namespace metallic {
namespace {

// Bytes of `rows` rows of `columns` elements, `stride` apart, `batch` times `batch_stride` apart; nothing on overflow.
std::optional<int64_t> span_bytes(int64_t batch, int64_t batch_stride, int64_t rows, int64_t stride, int64_t columns,
                                  DType dtype) {
  if (batch == 0 || rows == 0 || columns == 0) return 0;
  int64_t matrices = 0, lines = 0, elements = 0, bytes = 0;
  if (__builtin_mul_overflow(batch - 1, batch_stride, &matrices) || __builtin_mul_overflow(rows - 1, stride, &lines) ||
      __builtin_add_overflow(matrices, lines, &elements) || __builtin_add_overflow(elements, columns, &elements) ||
      __builtin_mul_overflow(elements, static_cast<int64_t>(size_of(dtype)), &bytes) || bytes > (int64_t{1} << 62))
    return std::nullopt;
  return bytes;
}

struct Operands {
  std::optional<int64_t> in0, in1, out;
};

Operands operands(const Problem& problem) {
  const DType t = problem.dtype;
  if (problem.op() == Op::softmax) {
    const auto& s = problem.softmax();
    int64_t rows = 0;
    if (__builtin_mul_overflow(s.batch, s.seq_q, &rows)) return {};
    return {span_bytes(1, 0, rows, s.in_stride, s.seq_k, t), 0, span_bytes(1, 0, rows, s.out_stride, s.seq_k, t)};
  }
  const auto& s = problem.matmul();
  return {span_bytes(s.batch, s.batch_stride_a, s.ta ? s.k : s.m, s.lda, s.ta ? s.m : s.k, t),
          span_bytes(s.batch, s.batch_stride_b, s.tb ? s.n : s.k, s.ldb, s.tb ? s.k : s.n, t),
          span_bytes(s.batch, s.batch_stride_c, s.m, s.ldc, s.n, t)};
}

Status validate_softmax(const SoftmaxShape& s) {
  if (s.batch < 0 || s.seq_q < 0 || s.seq_k < 0)
    return fail(Code::invalid_argument, "softmax dimensions must be ≥ 0, got batch {} seq_q {} seq_k {}", s.batch, s.seq_q,
                s.seq_k);
  if (s.causal && s.rank == 2) return fail(Code::invalid_argument, "a 2-D softmax cannot be causal: give batch, seq_q and seq_k");
  if (s.in_stride < s.seq_k || s.out_stride < s.seq_k)
    return fail(Code::invalid_argument, "softmax row strides must be ≥ seq_k {}, got {} and {}", s.seq_k, s.in_stride,
                s.out_stride);
  return {};
}

Status validate_matmul(const MatmulShape& s) {
  if (s.batch < 0 || s.m < 0 || s.k < 0 || s.n < 0)
    return fail(Code::invalid_argument, "matmul dimensions must be ≥ 0, got batch {} M {} K {} N {}", s.batch, s.m, s.k, s.n);
  if (s.lda < (s.ta ? s.m : s.k) || s.ldb < (s.tb ? s.k : s.n) || s.ldc < s.n)
    return fail(Code::invalid_argument, "matmul leading dimensions must be ≥ the stored row, got lda {} ldb {} ldc {}", s.lda,
                s.ldb, s.ldc);
  if (s.batch_stride_a < 0 || s.batch_stride_b < 0 || s.batch_stride_c < 0)
    return fail(Code::invalid_argument, "matmul batch strides must be ≥ 0");
  return {};
}

}  // namespace

std::string_view name(Op op) { return op == Op::softmax ? "softmax" : "matmul"; }

Result<Op> parse_op(std::string_view text) {
  for (Op op : kOps)
    if (text == name(op)) return op;
  return fail(Code::invalid_argument, "unknown operation {}: use softmax or matmul", in_quotes(text));
}

bool MatmulShape::contiguous() const {
  return lda == (ta ? m : k) && ldb == (tb ? k : n) && ldc == n &&
         (batch == 1 || (batch_stride_a == m * k && batch_stride_b == k * n && batch_stride_c == m * n));
}

Problem softmax_problem(int64_t rows, int64_t seq_k) {
  return {.shape = SoftmaxShape{.rank = 2, .seq_q = rows, .seq_k = seq_k, .in_stride = seq_k, .out_stride = seq_k}};
}

Problem softmax_problem(int64_t batch, int64_t seq_q, int64_t seq_k) {
  return {.shape =
              SoftmaxShape{.rank = 3, .batch = batch, .seq_q = seq_q, .seq_k = seq_k, .in_stride = seq_k, .out_stride = seq_k}};
}

Problem matmul_problem(int64_t m, int64_t k, int64_t n, bool ta, bool tb, int64_t batch) {
  // Saturated where the product overflows, so that `validate` sees it.
  auto area = [](int64_t rows, int64_t columns) {
    int64_t product = 0;
    return __builtin_mul_overflow(rows, columns, &product) ? INT64_MAX : product;
  };
  return {.shape = MatmulShape{.batch = batch,
                               .m = m,
                               .k = k,
                               .n = n,
                               .ta = ta,
                               .tb = tb,
                               .lda = ta ? m : k,
                               .ldb = tb ? k : n,
                               .ldc = n,
                               .batch_stride_a = area(m, k),
                               .batch_stride_b = area(k, n),
                               .batch_stride_c = area(m, n)}};
}

void make_causal(SoftmaxShape& softmax, std::optional<int64_t> offset) {
  softmax.causal = true;
  softmax.offset = offset.value_or(softmax.seq_k - softmax.seq_q);
}

Status validate(const Problem& problem) {
  METALLIC_CHECK(problem.op() == Op::softmax ? validate_softmax(problem.softmax()) : validate_matmul(problem.matmul()));
  const Operands bytes = operands(problem);
  if (!bytes.in0 || !bytes.in1 || !bytes.out)
    return fail(Code::out_of_memory, "{} operands need more bytes than a 64-bit machine addresses: use a smaller shape",
                name(problem.op()));
  if (problem.threads < 1) return fail(Code::invalid_argument, "threads must be ≥ 1, got {}", problem.threads);
  return {};
}

std::string layout(const Problem& problem) {
  if (problem.op() == Op::softmax) {
    const auto& s = problem.softmax();
    return fmt::format("{}{}", s.contiguous() ? "contiguous" : "strided", s.causal ? "_causal" : "");
  }
  const auto& s = problem.matmul();
  return fmt::format("{}{}{}", s.ta ? 't' : 'n', s.tb ? 't' : 'n', s.contiguous() ? "" : "_strided");
}

Work work(const Problem& problem) {
  const auto size = static_cast<double>(size_of(problem.dtype));
  if (problem.op() == Op::softmax) {
    const auto& s = problem.softmax();
    const double elements = static_cast<double>(s.batch) * static_cast<double>(s.seq_q) * static_cast<double>(s.seq_k);
    return {.operations = 3 * elements, .flops = 5 * elements, .bytes = 2 * size * elements};
  }
  const auto& s = problem.matmul();
  const auto b = static_cast<double>(s.batch), m = static_cast<double>(s.m), k = static_cast<double>(s.k),
             n = static_cast<double>(s.n);
  return {.operations = 2 * b * m * k * n,
          .flops = 2 * b * m * k * n,
          .bytes = size * b * (m * k + k * n + m * n * (s.beta == 0 ? 1 : 2))};
}

std::array<int64_t, 3> operand_bytes(const Problem& problem) {
  const Operands bytes = operands(problem);
  return {bytes.in0.value_or(INT64_MAX), bytes.in1.value_or(INT64_MAX), bytes.out.value_or(INT64_MAX)};
}

std::string_view name(Axis axis) {
  switch (axis) {
    case Axis::rows: return "rows";
    case Axis::seq_q: return "seq_q";
    case Axis::seq_k: return "seq_k";
    case Axis::batch: return "batch";
    case Axis::big: return "big";
    case Axis::n: return "n";
    case Axis::k: return "k";
    case Axis::side: return "side";
  }
  return "unknown";
}

std::optional<Axis> parse_axis(std::string_view text) {
  for (Axis axis : kAxes)
    if (text == name(axis)) return axis;
  return std::nullopt;
}

std::optional<int64_t> value(const Problem& problem, Axis axis) {
  if (problem.op() == Op::softmax) {
    const auto& s = problem.softmax();
    switch (axis) {
      case Axis::rows: return s.rows();
      case Axis::seq_q: return s.seq_q;
      case Axis::seq_k: return s.seq_k;
      case Axis::batch: return s.batch;
      default: return std::nullopt;
    }
  }
  const auto& s = problem.matmul();
  switch (axis) {
    case Axis::big: return s.big();
    case Axis::n: return s.small();
    case Axis::k: return s.k;
    case Axis::batch: return s.batch;
    case Axis::side: return s.weights_in_a() ? 0 : 1;
    default: return std::nullopt;
  }
}

}  // namespace metallic
