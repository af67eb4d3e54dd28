#include "ops/problem.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "ops/packed.h"

namespace metallic {
namespace {

// So many places of a tensor along a dimension, each this many elements after the one before.
struct Extent {
  int64_t count, stride;
};

constexpr int64_t kMostBytes = int64_t{1} << 62;
constexpr int64_t kTooMany = INT64_MAX;
__extension__ using Wide = unsigned __int128;  // holds the sum of three products of sizes: no step needs a check of its own

// Bytes from the first element to the last of rows of `columns` elements; kTooMany beyond kMostBytes.
int64_t span_bytes(std::initializer_list<Extent> extents, int64_t columns, DType dtype) {
  auto last = static_cast<Wide>(columns);
  bool empty = columns == 0;
  for (const auto [count, stride] : extents) {
    empty = empty || count == 0;
    last += static_cast<Wide>(count - 1) * static_cast<Wide>(stride);
  }
  if (empty) return 0;
  const auto size = static_cast<int64_t>(size_of(dtype));
  return last > static_cast<Wide>(kMostBytes / size) ? kTooMany : static_cast<int64_t>(last) * size;
}

std::array<int64_t, 4> operand_bytes(const Problem& problem, const SoftmaxShape& s) {
  int64_t rows = 0;
  if (__builtin_mul_overflow(s.batch, s.seq_q, &rows)) return {kTooMany, 0, 0, kTooMany};
  return {span_bytes({{rows, s.in_stride}}, s.seq_k, problem.dtype), 0, 0,
          span_bytes({{rows, s.out_stride}}, s.seq_k, problem.out_dtype)};
}

constexpr int64_t ceil_div(int64_t a, int64_t b) { return a / b + (a % b != 0); }

std::array<int64_t, 4> operand_bytes(const Problem& problem, const MatmulShape& s) {
  const DType t = problem.dtype;
  // Sizes are below 2⁶¹ here or their product is too many anyway.
  const int64_t panel = s.packed && s.k < kMostBytes / kPanel / 2 ? panel_elements(t, s.k) : INT64_MAX / 2;
  const int64_t b = s.packed ? span_bytes({{ceil_div(s.n, kPanel), panel}}, s.k == 0 ? 0 : panel, t)
                             : span_bytes({{s.batch, s.batch_stride_b}, {s.tb ? s.n : s.k, s.ldb}}, s.tb ? s.k : s.n, t);
  return {span_bytes({{s.batch, s.batch_stride_a}, {s.ta ? s.k : s.m, s.lda}}, s.ta ? s.m : s.k, t), b, 0,
          span_bytes({{s.batch, s.batch_stride_c}, {s.m, s.ldc}}, s.n, problem.out_dtype)};
}

std::array<int64_t, 4> operand_bytes(const Problem& problem, const SdpaShape& s) {
  const auto span = [&](const HeadStrides& strides, int64_t heads, int64_t rows, DType dtype) {
    return span_bytes({{s.batch, strides.batch}, {heads, strides.head}, {rows, strides.row}}, s.head_dim, dtype);
  };
  return {span(s.q, s.heads, s.seq_q, problem.dtype), span(s.k, s.kv_heads, s.seq_k, problem.dtype),
          span(s.v, s.kv_heads, s.seq_k, problem.dtype), span(s.out, s.heads, s.seq_q, problem.out_dtype)};
}

// Whether all of these are ≥ 0 and below a power of two.
template <int kBits, typename... Sizes>
constexpr bool all_below(Sizes... sizes) {
  return ((static_cast<uint64_t>(sizes) | ...) >> kBits) == 0;
}

// Whether no operand can exceed kMostBytes, told from its sizes without multiplying them: validation stands on the path of every
// choice, and the exact count takes 10 to 15 ns. Three products of two sizes stay below 2⁶⁰ elements, one of three sizes too.
bool surely_addressable(const SoftmaxShape& s) { return all_below<20>(s.batch, s.seq_q, s.seq_k, s.in_stride, s.out_stride); }
bool surely_addressable(const MatmulShape& s) {
  return all_below<29>(s.batch, s.m, s.k, s.n, s.lda, s.ldb, s.ldc, s.batch_stride_a, s.batch_stride_b, s.batch_stride_c);
}
bool surely_addressable(const SdpaShape& s) {
  const auto strides = [](const HeadStrides& of) { return of.batch | of.head | of.row; };
  return all_below<29>(s.batch, s.heads, s.kv_heads, s.seq_q, s.seq_k, s.head_dim, strides(s.q), strides(s.k), strides(s.v),
                       strides(s.out));
}

Status validate_scale(float scale) {
  if (std::isfinite(scale) && scale > 0) return {};
  return fail(Code::invalid_argument, "the scale of a softmax must be finite and > 0, got {}", scale);
}

Status validate(const SoftmaxShape& s) {
  if (s.batch < 0 || s.seq_q < 0 || s.seq_k < 0)
    return fail(Code::invalid_argument, "softmax dimensions must be ≥ 0, got batch {} seq_q {} seq_k {}", s.batch, s.seq_q,
                s.seq_k);
  if (s.causal && s.rank == 2) return fail(Code::invalid_argument, "a 2-D softmax cannot be causal: give batch, seq_q and seq_k");
  if (s.in_stride < s.seq_k || s.out_stride < s.seq_k)
    return fail(Code::invalid_argument, "softmax row strides must be ≥ seq_k {}, got {} and {}", s.seq_k, s.in_stride,
                s.out_stride);
  return validate_scale(s.scale);
}

Status validate(const MatmulShape& s) {
  if (s.batch < 0 || s.m < 0 || s.k < 0 || s.n < 0)
    return fail(Code::invalid_argument, "matmul dimensions must be ≥ 0, got batch {} M {} K {} N {}", s.batch, s.m, s.k, s.n);
  if (s.packed && (s.batch != 1 || s.tb || s.ldb != 0 || s.batch_stride_b != 0))
    return fail(Code::invalid_argument, "packed weights are one matrix without transposition or strides, got batch {}{} ldb {}",
                s.batch, s.tb ? " transposed" : "", s.ldb);
  if (s.lda < (s.ta ? s.m : s.k) || (!s.packed && s.ldb < (s.tb ? s.k : s.n)) || s.ldc < s.n)
    return fail(Code::invalid_argument, "matmul leading dimensions must be ≥ the stored row, got lda {} ldb {} ldc {}", s.lda,
                s.ldb, s.ldc);
  if (s.batch_stride_a < 0 || s.batch_stride_b < 0 || s.batch_stride_c < 0)
    return fail(Code::invalid_argument, "matmul batch strides must be ≥ 0");
  return {};
}

Status validate(const SdpaShape& s) {
  if (s.batch < 0 || s.heads < 0 || s.kv_heads < 0 || s.seq_q < 0 || s.seq_k < 0 || s.head_dim < 0)
    return fail(Code::invalid_argument,
                "sdpa dimensions must be ≥ 0, got batch {} heads {} kv_heads {} seq_q {} seq_k {} head_dim {}", s.batch, s.heads,
                s.kv_heads, s.seq_q, s.seq_k, s.head_dim);
  if (s.heads > 0 && (s.kv_heads == 0 || s.heads % s.kv_heads != 0))
    return fail(Code::invalid_argument, "sdpa heads must be a multiple of kv_heads, got {} and {}", s.heads, s.kv_heads);
  for (const auto& [strides, what] : {std::pair{&s.q, "q"}, {&s.k, "k"}, {&s.v, "v"}, {&s.out, "out"}})
    if (strides->row < s.head_dim || strides->head < 0 || strides->batch < 0)
      return fail(Code::invalid_argument,
                  "sdpa strides of {} must be ≥ head_dim {} from row to row and ≥ 0 else, got batch {} head {} row {}", what,
                  s.head_dim, strides->batch, strides->head, strides->row);
  return validate_scale(s.scale);
}

// Visible (query, key) pairs of one head.
double visible_pairs(int64_t seq_q, int64_t seq_k, bool causal, int64_t offset) {
  const auto q = static_cast<double>(seq_q), k = static_cast<double>(seq_k);
  if (!causal) return q * k;
  // Query i sees i + 1 + offset keys, between 0 and seq_k: the sum of a ramp between its two ends.
  const auto first = static_cast<double>(std::clamp(offset, -seq_q - 1, seq_k));
  const double none = std::clamp(-first, 0.0, q), all = std::clamp(k - first, none, q);
  const double ramp = all - none;
  return ramp * (none + 1 + first) + ramp * (ramp - 1) / 2 + (q - all) * k;
}

Work work(const Problem& problem, const SoftmaxShape& s) {
  const auto in = static_cast<double>(size_of(problem.dtype)), out = static_cast<double>(size_of(problem.out_dtype));
  const double elements = static_cast<double>(s.batch) * static_cast<double>(s.seq_q) * static_cast<double>(s.seq_k);
  const double visible = static_cast<double>(s.batch) * visible_pairs(s.seq_q, s.seq_k, s.causal, s.offset);
  return {.operations = 3 * elements, .flops = 5 * visible, .bytes = in * visible + out * elements};
}

Work work(const Problem& problem, const MatmulShape& s) {
  const auto in = static_cast<double>(size_of(problem.dtype)), out = static_cast<double>(size_of(problem.out_dtype));
  const auto b = static_cast<double>(s.batch), m = static_cast<double>(s.m), k = static_cast<double>(s.k),
             n = static_cast<double>(s.n);
  return {.operations = 2 * b * m * k * n,
          .flops = 2 * b * m * k * n,
          .bytes = b * (in * (m * k + k * n) + out * m * n * (s.beta == 0 ? 1 : 2))};
}

Work work(const Problem& problem, const SdpaShape& s) {
  const auto in = static_cast<double>(size_of(problem.dtype)), out = static_cast<double>(size_of(problem.out_dtype));
  const auto heads = static_cast<double>(s.batch) * static_cast<double>(s.heads), d = static_cast<double>(s.head_dim),
             q = static_cast<double>(s.seq_q), k = static_cast<double>(s.seq_k);
  const double pairs = heads * visible_pairs(s.seq_q, s.seq_k, s.causal, s.offset);
  const auto seen = static_cast<double>(s.seq_q == 0 ? 0 : visible_keys(s.seq_q - 1, s.seq_q, s.seq_k, s.causal, s.offset));
  const auto kv = static_cast<double>(s.batch) * static_cast<double>(s.kv_heads) * seen * d;
  return {.operations = 4 * heads * q * k * d,
          .flops = pairs * (4 * d + 5),
          .bytes = in * (heads * q * d + 2 * kv) + out * heads * q * d};
}

}  // namespace

std::string_view name(Op op) {
  switch (op) {
    case Op::softmax: return "softmax";
    case Op::matmul: return "matmul";
    case Op::sdpa: return "sdpa";
  }
  return "unknown";
}

Result<Op> parse_op(std::string_view text) {
  for (Op op : kOps)
    if (text == name(op)) return op;
  return fail(Code::invalid_argument, "unknown operation {}: use softmax, matmul or sdpa", in_quotes(text));
}

int64_t visible_keys(int64_t row, int64_t seq_q, int64_t seq_k, bool causal, int64_t offset) {
  if (!causal) return seq_k;
  // Clamped before the sum: an offset may be as large as a label allows.
  return std::clamp<int64_t>(row + std::clamp(offset, -seq_q - 1, seq_k) + 1, 0, seq_k);
}

bool MatmulShape::contiguous() const {
  return lda == (ta ? m : k) && (packed || ldb == (tb ? k : n)) && ldc == n &&
         (batch == 1 || (batch_stride_a == m * k && batch_stride_b == k * n && batch_stride_c == m * n));
}

namespace {

// Saturated where the product overflows, so that `validate` sees it.
int64_t area(int64_t rows, int64_t columns) {
  int64_t product = 0;
  return __builtin_mul_overflow(rows, columns, &product) ? INT64_MAX : product;
}

HeadStrides packed(int64_t heads, int64_t rows, int64_t head_dim) {
  const int64_t head = area(rows, head_dim);
  return {.batch = area(heads, head), .head = head, .row = head_dim};
}

}  // namespace

bool SdpaShape::contiguous() const {
  const HeadStrides of_queries = packed(heads, seq_q, head_dim), of_keys = packed(kv_heads, seq_k, head_dim);
  return q == of_queries && k == of_keys && v == of_keys && out == of_queries;
}

Problem softmax_problem(int64_t rows, int64_t seq_k) {
  return {.shape = SoftmaxShape{.rank = 2, .seq_q = rows, .seq_k = seq_k, .in_stride = seq_k, .out_stride = seq_k}};
}

Problem softmax_problem(int64_t batch, int64_t seq_q, int64_t seq_k) {
  return {.shape =
              SoftmaxShape{.rank = 3, .batch = batch, .seq_q = seq_q, .seq_k = seq_k, .in_stride = seq_k, .out_stride = seq_k}};
}

Problem matmul_problem(int64_t m, int64_t k, int64_t n, bool ta, bool tb, int64_t batch) {
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

Problem sdpa_problem(int64_t batch, int64_t heads, int64_t kv_heads, int64_t seq_q, int64_t seq_k, int64_t head_dim) {
  return {.shape = SdpaShape{.batch = batch,
                             .heads = heads,
                             .kv_heads = kv_heads,
                             .seq_q = seq_q,
                             .seq_k = seq_k,
                             .head_dim = head_dim,
                             .scale = head_dim > 0 ? 1 / std::sqrt(static_cast<float>(head_dim)) : 1,
                             .q = packed(heads, seq_q, head_dim),
                             .k = packed(kv_heads, seq_k, head_dim),
                             .v = packed(kv_heads, seq_k, head_dim),
                             .out = packed(heads, seq_q, head_dim)}};
}

void make_packed(MatmulShape& matmul) {
  matmul.packed = true;
  matmul.tb = false;
  matmul.ldb = matmul.batch_stride_b = 0;
}

Problem with_dtype(Problem problem, DType dtype) {
  problem.dtype = problem.out_dtype = dtype;
  return problem;
}

void make_causal(SoftmaxShape& softmax, std::optional<int64_t> offset) {
  softmax.causal = true;
  softmax.offset = offset.value_or(softmax.seq_k - softmax.seq_q);
}

void make_causal(SdpaShape& sdpa, std::optional<int64_t> offset) {
  sdpa.causal = true;
  sdpa.offset = offset.value_or(sdpa.seq_k - sdpa.seq_q);
}

Status validate(const Problem& problem) {
  METALLIC_CHECK(std::visit([](const auto& shape) { return validate(shape); }, problem.shape));
  const bool addressable = std::visit([](const auto& shape) { return surely_addressable(shape); }, problem.shape);
  if (!addressable && std::ranges::count(operand_bytes(problem), kTooMany) > 0)
    return fail(Code::out_of_memory, "{} operands need more bytes than a 64-bit machine addresses: use a smaller shape",
                name(problem.op()));
  if (problem.dtype != problem.out_dtype && problem.dtype != DType::f32 && problem.out_dtype != DType::f32)
    return fail(Code::invalid_argument, "inputs are {} and the output is {}: use one type, or f32 for either",
                name(problem.dtype), name(problem.out_dtype));
  if (problem.threads < 1) return fail(Code::invalid_argument, "threads must be ≥ 1, got {}", problem.threads);
  return {};
}

size_t layout_index(const Problem& problem) {
  switch (problem.op()) {
    case Op::softmax: return size_t{!problem.softmax().contiguous()} * 2 + size_t{problem.softmax().causal};
    case Op::matmul: {
      const MatmulShape& s = problem.matmul();
      return size_t{!s.contiguous()} * 6 + size_t{s.ta} * 3 + (s.packed ? 2 : size_t{s.tb});
    }
    case Op::sdpa: return size_t{!problem.sdpa().contiguous()} * 2 + size_t{problem.sdpa().causal};
  }
  return 0;
}

std::string layout(const Problem& problem) {
  constexpr const char* kOfMatmul[kLayouts] = {
      "nn", "nt", "np", "tn", "tt", "tp", "nn_strided", "nt_strided", "np_strided", "tn_strided", "tt_strided", "tp_strided"};
  constexpr const char* kOfOthers[] = {"contiguous", "contiguous_causal", "strided", "strided_causal"};
  return (problem.op() == Op::matmul ? kOfMatmul : kOfOthers)[layout_index(problem)];
}

Work work(const Problem& problem) {
  return std::visit([&](const auto& shape) { return work(problem, shape); }, problem.shape);
}

std::array<int64_t, 4> operand_bytes(const Problem& problem) {
  return std::visit([&](const auto& shape) { return operand_bytes(problem, shape); }, problem.shape);
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
    case Axis::heads: return "heads";
    case Axis::head_dim: return "head_dim";
    case Axis::elements: return "elements";
  }
  return "unknown";
}

std::optional<Axis> parse_axis(std::string_view text) {
  for (Axis axis : kAxes)
    if (text == name(axis)) return axis;
  return std::nullopt;
}

namespace {

std::optional<int64_t> value(const SoftmaxShape& s, Axis axis) {
  switch (axis) {
    case Axis::rows: return s.rows();
    case Axis::seq_q: return s.seq_q;
    case Axis::seq_k: return s.seq_k;
    case Axis::batch: return s.batch;
    case Axis::elements: return s.rows() * s.seq_k;
    default: return std::nullopt;
  }
}

std::optional<int64_t> value(const MatmulShape& s, Axis axis) {
  switch (axis) {
    case Axis::big: return s.big();
    case Axis::n: return s.small();
    case Axis::k: return s.k;
    case Axis::batch: return s.batch;
    case Axis::side: return s.weights_in_a() ? 0 : 1;
    default: return std::nullopt;
  }
}

std::optional<int64_t> value(const SdpaShape& s, Axis axis) {
  switch (axis) {
    case Axis::heads: return s.batch * s.heads;
    case Axis::seq_q: return s.seq_q;
    case Axis::seq_k: return s.seq_k;
    case Axis::batch: return s.batch;
    case Axis::head_dim: return s.head_dim;
    default: return std::nullopt;
  }
}

}  // namespace

std::optional<int64_t> value(const Problem& problem, Axis axis) {
  return std::visit([&](const auto& shape) { return value(shape, axis); }, problem.shape);
}

std::array<int64_t, kAxes.size()> axis_values(const Problem& problem) {
  std::array<int64_t, kAxes.size()> values{};
  // Unrolled, so that no axis costs a jump.
  const auto fill = [&]<size_t... at>(const auto& shape, std::index_sequence<at...>) {
    ((values[at] = value(shape, static_cast<Axis>(at)).value_or(0)), ...);
  };
  std::visit([&](const auto& shape) { fill(shape, std::make_index_sequence<kAxes.size()>()); }, problem.shape);
  return values;
}

}  // namespace metallic
