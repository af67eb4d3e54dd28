// SPDX-License-Identifier: Apache-2.0
// The GEMV kernel: up to 16 columns times a big matrix of weights, which is read once; tasks share the big dimension.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/math.h"
#include "ops/matmul/contract.h"
#include "ops/matmul/shape.h"
#include "ops/partition.h"
#include "ops/variant.h"

namespace metallic::matmul {

inline constexpr int64_t kMostColumns = 16;

/// One matrix of the batch: Y = alpha·W·X + beta·Y with weights W and n columns X. Strides are in elements.
struct GemvArgs {
  int64_t k, n;
  DType dtype;  ///< of W
  const void* w;
  int64_t w_row;  ///< from one stored row of W to the next: along `big` for dot products, along K for axpy
  const float* x;
  int64_t x_step;  ///< for axpy, from one K to the next; for dot products X is in vectors, [K/vector][n][vector]
  DType out_dtype;
  void* y;
  int64_t y_big, y_column;
  float alpha, beta;
  int64_t tile_rows;  ///< weight rows of a register tile: the tuning
  bool prefetch;      ///< whether W is prefetched, because it is not in the second cache level
};

/// Whether stored rows of the weights are contiguous along K.
inline bool along_k(const MatmulShape& shape) { return shape.weights_in_a() ? !shape.ta : shape.tb; }

/// Packing an element of X costs about as much as this many multiply-adds.
constexpr double kPackCost = 2;

/// The functions of a GEMV for one target, and the vectors in which they take X.
struct GemvMicroKernel {
  /// Packs vectors [begin, end) of X, or rows of K for axpy.
  void (*pack)(const Operand& x, int64_t k, int64_t n, int64_t begin, int64_t end, float* to);
  /// Computes elements [begin, end) along `big`.
  void (*multiply)(const GemvArgs& args, int64_t begin, int64_t end);
  int64_t vector_k = 1;       ///< elements of K in a vector of X
  int64_t vector_floats = 1;  ///< its size in floats, for one column
};

class GemvKernel final : public Kernel {
 public:
  GemvKernel(const Problem& problem, int64_t tile_rows, const GemvMicroKernel& micro_kernel, const DeviceInfo& device)
      : shape_(problem.as<MatmulShape>()),
        dtype_(problem.dtype),
        out_dtype_(problem.out_dtype),
        tile_rows_(tile_rows),
        along_k_(along_k(shape_)),
        micro_kernel_(micro_kernel),
        vectors_(ceil_div(shape_.k, micro_kernel_.vector_k)),
        packs_(needs_packing()) {
    const double columns = static_cast<double>(shape_.batch) * static_cast<double>(shape_.small());
    const double work = columns * static_cast<double>(shape_.big()) * static_cast<double>(shape_.k);
    // A single column reads up to 62 bytes per nanosecond from the second cache level.
    const double weights = static_cast<double>(shape_.batch) * static_cast<double>(shape_.big()) * static_cast<double>(shape_.k);
    tasks_ = task_count(problem.threads, shape_.batch * units(),
                        std::max(work, 0.8 * weights * static_cast<double>(size_of(dtype_))), kPerNs, device);
    prefetch_ =
        shape_.batch * shape_.big() * shape_.k * static_cast<int64_t>(size_of(dtype_)) > tasks_ * device.cpu().l2_bytes * 3 / 4;
    pack_tasks_ =
        task_count(problem.threads, shape_.batch * vectors_, columns * static_cast<double>(shape_.k) * kPackCost, kPerNs, device);
  }

  size_t workspace() const override { return packs_ ? static_cast<size_t>(shape_.batch * packed_floats()) * sizeof(float) : 0; }

  Code run(const Args& args, std::byte* workspace, Executor& executor) const override {
    if (shape_.batch == 0 || shape_.small() == 0) return Code::ok;
    auto* packed = reinterpret_cast<float*>(workspace);
    if (packs_ && vectors_ > 0)
      for_all(shape_.batch, vectors_, pack_tasks_, executor, [&](int64_t batch, int64_t begin, int64_t end) {
        micro_kernel_.pack(columns(args, batch), shape_.k, shape_.small(), begin, end, packed + batch * packed_floats());
      });
    for_all(shape_.batch, units(), tasks_, executor, [&](int64_t batch, int64_t begin, int64_t end) {
      micro_kernel_.multiply(matrix(args, packed, batch), begin * unit(), std::min(end * unit(), shape_.big()));
    });
    return Code::ok;
  }

 private:
  // Tasks share rows of the weights, or cache lines of them.
  int64_t unit() const { return along_k_ ? 1 : 64 / static_cast<int64_t>(size_of(dtype_)); }
  int64_t units() const { return ceil_div(shape_.big(), unit()); }
  int64_t packed_floats() const { return vectors_ * micro_kernel_.vector_floats * shape_.small(); }

  // A single column of floats may be in the right order already.
  bool needs_packing() const {
    if (dtype_ != DType::f32) return true;
    const bool contiguous_k = shape_.weights_in_a() ? shape_.tb : !shape_.ta;
    if (along_k_) return shape_.small() > 1 || !contiguous_k;
    return shape_.small() > 1 && contiguous_k;
  }

  Operand weights(const Args& args, int64_t batch) const {
    return shape_.weights_in_a() ? operand_a(shape_, dtype_, args.in[0], batch) : operand_b(shape_, dtype_, args.in[1], batch);
  }

  // X as K rows of n columns.
  Operand columns(const Args& args, int64_t batch) const {
    if (shape_.weights_in_a()) return operand_b(shape_, dtype_, args.in[1], batch);
    const Operand a = operand_a(shape_, dtype_, args.in[0], batch);
    return {dtype_, a.data, a.column, a.row};
  }

  // Calls function(batch, begin, end) for all of batches × [0, count), once per task and matrix.
  template <typename Function>
  static void for_all(int64_t batches, int64_t count, int64_t tasks, Executor& executor, const Function& function) {
    executor.parallel(static_cast<size_t>(tasks), [&](size_t task) {
      const UnitRange mine = task_range(batches * count, tasks, static_cast<int64_t>(task));
      for (int64_t at = mine.begin; at < mine.end;) {
        const int64_t batch = at / count, end = std::min(mine.end, (batch + 1) * count);
        function(batch, at - batch * count, end - batch * count);
        at = end;
      }
    });
  }

  GemvArgs matrix(const Args& args, const float* packed, int64_t batch) const {
    const bool in_a = shape_.weights_in_a();
    const Operand x = columns(args, batch);
    return {.k = shape_.k,
            .n = shape_.small(),
            .dtype = dtype_,
            .w = weights(args, batch).data,
            .w_row = in_a ? shape_.lda : shape_.ldb,
            .x = packs_ ? packed + batch * packed_floats() : static_cast<const float*>(x.data),
            .x_step = packs_ ? shape_.small() : x.row,
            .out_dtype = out_dtype_,
            .y = output_at(shape_, out_dtype_, args.out, batch, 0, 0),
            .y_big = in_a ? shape_.ldc : 1,
            .y_column = in_a ? 1 : shape_.ldc,
            .alpha = shape_.alpha,
            .beta = shape_.beta,
            .tile_rows = tile_rows_,
            .prefetch = prefetch_};
  }

  MatmulShape shape_;
  DType dtype_, out_dtype_;
  int64_t tile_rows_;
  bool along_k_;
  GemvMicroKernel micro_kernel_;
  int64_t vectors_;
  bool packs_;
  int64_t tasks_, pack_tasks_;
  bool prefetch_;
};

}  // namespace metallic::matmul
