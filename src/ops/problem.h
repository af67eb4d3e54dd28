// A problem: everything about one operation that a kernel may be chosen by, as a plain printable struct.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/dtype.h"
#include "base/status.h"

namespace metallic {

/// The operations; the order is that of `Problem::shape`.
enum class Op : unsigned char { softmax, matmul, sdpa };
inline constexpr std::array kOps = {Op::softmax, Op::matmul, Op::sdpa};

std::string_view name(Op op);
Result<Op> parse_op(std::string_view text);

/// Softmax along seq_k of batch·seq_q rows, out[i] = exp(scale·in[i] − max) / Σ exp(scale·in[j] − max), max over scale·in.
/// A 2-D tensor `[rows, seq_k]` has rank 2, batch 1 and seq_q = rows, and is never causal.
struct SoftmaxShape {
  int rank = 2;
  int64_t batch = 1;
  int64_t seq_q = 0;
  int64_t seq_k = 0;
  bool causal = false;
  int64_t offset = 0;     ///< key j is visible to query i iff j ≤ i + offset
  float scale = 1;        ///< finite and > 0
  int64_t in_stride = 0;  ///< elements from one row to the next
  int64_t out_stride = 0;

  int64_t rows() const { return batch * seq_q; }
  bool contiguous() const { return in_stride == seq_k && out_stride == seq_k; }
  bool operator==(const SoftmaxShape&) const = default;
};

/// C[M,N] = alpha·op(A)[M,K]·op(B)[K,N] + beta·C, all row-major. A is stored [K,M] with `ta`, B [N,K] with `tb`.
/// With beta = 0, C is written without being read. With `packed`, B is one matrix that lies as ops/packed.h says, whatever its
/// order was before: `tb` is false, and ldb and batch_stride_b are 0.
struct MatmulShape {
  int64_t batch = 1;
  int64_t m = 0;
  int64_t k = 0;
  int64_t n = 0;
  bool ta = false;
  bool tb = false;
  bool packed = false;
  float alpha = 1;
  float beta = 0;
  int64_t lda = 0;  ///< elements from one stored row to the next
  int64_t ldb = 0;
  int64_t ldc = 0;
  int64_t batch_stride_a = 0;  ///< elements from one matrix to the next
  int64_t batch_stride_b = 0;
  int64_t batch_stride_c = 0;

  int64_t big() const { return m > n ? m : n; }
  int64_t small() const { return m > n ? n : m; }
  /// Which operand holds the weights: A where M > N, B where N > M; a square has them in A, with `tb` in B. What is packed are
  /// weights.
  bool weights_in_a() const { return !packed && (m > n || (m == n && !tb)); }
  bool contiguous() const;
  /// Whether all rows of A and B begin at multiples of that many elements where both matrices do.
  bool rows_begin_evenly(int64_t elements) const { return (lda | ldb | batch_stride_a | batch_stride_b) % elements == 0; }
  bool operator==(const MatmulShape&) const = default;
};

/// Where the elements of a tensor [batch, heads, rows, head_dim] lie: elements from one to the next; head_dim is contiguous.
struct HeadStrides {
  int64_t batch = 0;
  int64_t head = 0;
  int64_t row = 0;
  bool operator==(const HeadStrides&) const = default;
};

/// Scaled dot-product attention, out[b,h] = softmax(scale·Q[b,h]·K[b,g]ᵀ)·V[b,g] with g = h / (heads / kv_heads):
/// Q and out [batch, heads, seq_q, head_dim], K and V [batch, kv_heads, seq_k, head_dim].
struct SdpaShape {
  int64_t batch = 1;
  int64_t heads = 1;
  int64_t kv_heads = 1;  ///< divides heads; fewer than heads is grouped-query attention
  int64_t seq_q = 0;
  int64_t seq_k = 0;
  int64_t head_dim = 0;
  bool causal = false;
  int64_t offset = 0;  ///< key j is visible to query i iff j ≤ i + offset
  float scale = 1;     ///< finite and > 0; sdpa_problem sets the usual 1/√head_dim
  HeadStrides q, k, v, out;

  int64_t group() const { return kv_heads == 0 ? 0 : heads / kv_heads; }
  bool contiguous() const;
  bool operator==(const SdpaShape&) const = default;
};

/// How many keys query `row` sees under a causal mask: the first that many.
int64_t visible_keys(int64_t row, int64_t seq_q, int64_t seq_k, bool causal, int64_t offset);

using Shape = std::variant<SoftmaxShape, MatmulShape, SdpaShape>;

struct Problem {
  Shape shape;
  DType dtype = DType::f32;      ///< of the inputs, and what rules go by
  DType out_dtype = DType::f32;  ///< of the output: the same, or either of the two is f32
  int threads = 1;               ///< how many threads the executor of its run has

  Op op() const { return static_cast<Op>(shape.index()); }
  const SoftmaxShape& softmax() const { return std::get<SoftmaxShape>(shape); }
  const MatmulShape& matmul() const { return std::get<MatmulShape>(shape); }
  const SdpaShape& sdpa() const { return std::get<SdpaShape>(shape); }
  bool operator==(const Problem&) const = default;
};

/// Contiguous problems; set strides afterwards where they differ.
Problem softmax_problem(int64_t rows, int64_t seq_k);
Problem softmax_problem(int64_t batch, int64_t seq_q, int64_t seq_k);
Problem matmul_problem(int64_t m, int64_t k, int64_t n, bool ta = false, bool tb = false, int64_t batch = 1);
Problem sdpa_problem(int64_t batch, int64_t heads, int64_t kv_heads, int64_t seq_q, int64_t seq_k, int64_t head_dim);

/// Gives a matmul whose batch is 1 packed weights for B.
void make_packed(MatmulShape& matmul);

/// The same problem on tensors that are all of one type.
Problem with_dtype(Problem problem, DType dtype);

/// Gives a softmax or sdpa the mask with this offset, or with seq_k − seq_q, the usual one, where there is none.
void make_causal(SoftmaxShape& softmax, std::optional<int64_t> offset = std::nullopt);
void make_causal(SdpaShape& sdpa, std::optional<int64_t> offset = std::nullopt);

/// Refuses negative dimensions, strides shorter than a row, a causal 2-D softmax, heads that kv_heads does not divide, a scale
/// that is not finite and > 0, a mix of f16 and bf16, and sizes whose bytes do not fit in 62 bits.
Status validate(const Problem& problem);

/// The layout of a problem as rules see it: softmax and sdpa `contiguous|strided`,
/// with `_causal`; matmul `nn|nt|tn|tt`, or `np|tp` where B is packed, with `_strided`.
std::string layout(const Problem& problem);

/// Which of its operation's layouts that is, below kLayouts: what a table is indexed by.
inline constexpr size_t kLayouts = 12;
size_t layout_index(const Problem& problem);

/// What an operation does, for throughput and ceilings.
struct Work {
  double operations;  ///< the guide's count: softmax rows·seq_k·3, matmul M·K·N·2; sdpa that of its two matmuls,
                      ///< 4·heads·seq_q·seq_k·head_dim
  double flops;       ///< floating-point operations, keys behind the mask left out; an exp counts as one
  double bytes;       ///< least traffic: each input that is visible read once, each output written once
};
Work work(const Problem& problem);

/// Bytes of the operands as stored, strides included: in[0], in[1], in[2], out. Absent operands have 0.
inline constexpr size_t kOut = 3;
std::array<int64_t, 4> operand_bytes(const Problem& problem);

/// The dimensions that rules test.
enum class Axis : unsigned char { rows, seq_q, seq_k, batch, big, n, k, side, heads, head_dim, elements };
inline constexpr std::array kAxes = {Axis::rows, Axis::seq_q, Axis::seq_k, Axis::batch,    Axis::big,     Axis::n,
                                     Axis::k,    Axis::side,  Axis::heads, Axis::head_dim, Axis::elements};

std::string_view name(Axis axis);
std::optional<Axis> parse_axis(std::string_view text);

/// A problem's value on an axis, or nothing where its operation lacks it. For matmul `n` is min(M,N), `big` max(M,N) and
/// `side` is 0 where the weights are in A, 1 where they are in B. For sdpa `heads` is batch·heads.
/// For softmax `elements` is rows·seq_k, which tells whether caches hold the problem.
std::optional<int64_t> value(const Problem& problem, Axis axis);

/// The values on all axes, by the axis' number; 0 on those that the operation lacks.
std::array<int64_t, kAxes.size()> axis_values(const Problem& problem);

}  // namespace metallic
