// A problem: everything about one operation that a kernel may be chosen by, as a plain printable struct.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "core/dtype.h"
#include "core/status.h"

namespace metallic {

/// The operations; the order is that of `Problem::shape`.
enum class Op : unsigned char { softmax, matmul };
inline constexpr std::array kOps = {Op::softmax, Op::matmul};

std::string_view name(Op op);
Result<Op> parse_op(std::string_view text);

/// Softmax along seq_k of batch·seq_q rows, out[i] = exp(in[i] − max) / Σ exp(in[j] − max).
/// A 2-D tensor `[rows, seq_k]` has rank 2, batch 1 and seq_q = rows, and is never causal.
struct SoftmaxShape {
  int rank = 2;
  int64_t batch = 1;
  int64_t seq_q = 0;
  int64_t seq_k = 0;
  bool causal = false;
  int64_t offset = 0;     ///< key j is visible to query i iff j ≤ i + offset
  int64_t in_stride = 0;  ///< elements from one row to the next
  int64_t out_stride = 0;

  int64_t rows() const { return batch * seq_q; }
  bool contiguous() const { return in_stride == seq_k && out_stride == seq_k; }
  bool operator==(const SoftmaxShape&) const = default;
};

/// C[M,N] = alpha·op(A)[M,K]·op(B)[K,N] + beta·C, all row-major. A is stored [K,M] with `ta`, B [N,K] with `tb`.
/// With beta = 0, C is written without being read.
struct MatmulShape {
  int64_t batch = 1;
  int64_t m = 0;
  int64_t k = 0;
  int64_t n = 0;
  bool ta = false;
  bool tb = false;
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
  /// Which operand holds the weights: A where M > N, B where N > M; a square has them in A, with `tb` in B.
  bool weights_in_a() const { return m > n || (m == n && !tb); }
  bool contiguous() const;
  bool operator==(const MatmulShape&) const = default;
};

using Shape = std::variant<SoftmaxShape, MatmulShape>;

struct Problem {
  Shape shape;
  DType dtype = DType::f32;
  int threads = 1;  ///< how many threads the executor of its run has

  Op op() const { return static_cast<Op>(shape.index()); }
  const SoftmaxShape& softmax() const { return std::get<SoftmaxShape>(shape); }
  const MatmulShape& matmul() const { return std::get<MatmulShape>(shape); }
  bool operator==(const Problem&) const = default;
};

/// Contiguous problems; set strides afterwards where they differ.
Problem softmax_problem(int64_t rows, int64_t seq_k);
Problem softmax_problem(int64_t batch, int64_t seq_q, int64_t seq_k);
Problem matmul_problem(int64_t m, int64_t k, int64_t n, bool ta = false, bool tb = false, int64_t batch = 1);

/// Gives `softmax` the mask with this offset, or with seq_k − seq_q, the usual one, where there is none.
void make_causal(SoftmaxShape& softmax, std::optional<int64_t> offset = std::nullopt);

/// Refuses negative dimensions, strides shorter than a row, a causal 2-D softmax, and sizes whose bytes do not fit in 62 bits.
Status validate(const Problem& problem);

/// The layout of a problem as rules see it: softmax `contiguous|strided`, with `_causal`; matmul `nn|nt|tn|tt`, with `_strided`.
std::string layout(const Problem& problem);

/// What an operation does, for throughput and ceilings.
struct Work {
  double operations;  ///< the guide's count: softmax rows·seq_k·3, matmul M·K·N·2
  double flops;       ///< floating-point operations; an exp counts as one
  double bytes;       ///< least traffic: each input read once, each output written once
};
Work work(const Problem& problem);

/// Bytes of the operands as stored, strides included: in[0], in[1], out. Absent operands have 0.
std::array<int64_t, 3> operand_bytes(const Problem& problem);

/// The dimensions that rules test.
enum class Axis : unsigned char { rows, seq_q, seq_k, batch, big, n, k, side };
inline constexpr std::array kAxes = {Axis::rows, Axis::seq_q, Axis::seq_k, Axis::batch, Axis::big, Axis::n, Axis::k, Axis::side};

std::string_view name(Axis axis);
std::optional<Axis> parse_axis(std::string_view text);

/// A problem's value on an axis, or nothing where its operation lacks it. For matmul `n` is min(M,N), `big` max(M,N) and
/// `side` is 0 where the weights are in A, 1 where they are in B.
std::optional<int64_t> value(const Problem& problem, Axis axis);

}  // namespace metallic
