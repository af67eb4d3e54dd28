// A product of a big matrix and a few columns as a kernel: the big one is streamed once, and the tasks share its big dimension.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "ops/variant.h"
#include "ops/matmul/contract.h"
#include "ops/partition.h"

namespace metallic::matmul {

inline constexpr int64_t kMostColumns = 16;

/// Weights W and columns X of one matrix, Y = alpha·W·X + beta·Y.
struct Columns {
  int64_t k, n;
  DType dtype;  ///< of W
  const void* w;
  int64_t w_row;  ///< from one stored row of W to the next: along `big` for dot products, along K for scaled rows
  const float* x;
  int64_t x_step;  ///< from one K to the next for scaled rows; dot products have X in vectors, [K/vector][n][vector]
  DType out_dtype;
  void* y;
  int64_t y_big, y_column;
  float alpha, beta;
  int64_t rows;     ///< the tuning
  bool prefetches;  ///< W into the second cache level: where it is not there already
};

// Whether a row of weights, as it is stored, lies along K.
inline bool along_k(const MatmulShape& shape) { return shape.weights_in_a() ? !shape.ta : shape.tb; }

// Copying an element of X costs about as much as this many multiply-adds, by vectors.
constexpr double kPackCost = 2;

/// A way to multiply: what puts X [begin, end) by vectors or rows of K into the order that `multiply` takes, which computes
/// elements [begin, end) along `big`, and how many K such a vector holds, in 16 floats or what passes for them.
struct Streaming {
  void (*pack)(const Operand& x, int64_t k, int64_t n, int64_t begin, int64_t end, float* to);
  void (*multiply)(const Columns& columns, int64_t begin, int64_t end);
  int64_t of_vector = 1;
  int64_t floats = 1;
};

class StreamedProduct final : public Kernel {
 public:
  StreamedProduct(const Problem& problem, int64_t rows, const Streaming& streaming, const DeviceInfo& device)
      : shape_(problem.matmul()),
        dtype_(problem.dtype),
        out_dtype_(problem.out_dtype),
        rows_(rows),
        along_k_(along_k(shape_)),
        streaming_(streaming),
        vectors_((shape_.k + streaming_.of_vector - 1) / streaming_.of_vector),
        // A single column may lie there already.
        packs_(needs_packing()) {
    const double columns = static_cast<double>(shape_.batch) * static_cast<double>(shape_.small());
    const double work = columns * static_cast<double>(shape_.big()) * static_cast<double>(shape_.k);
    // One column reads as many bytes as 62 in a nanosecond from the second level.
    const double weights = static_cast<double>(shape_.batch) * static_cast<double>(shape_.big()) * static_cast<double>(shape_.k);
    tasks_ = task_count(problem.threads, shape_.batch * units(),
                        std::max(work, 0.8 * weights * static_cast<double>(size_of(dtype_))), kPerNs, device);
    prefetches_ =
        shape_.batch * shape_.big() * shape_.k * static_cast<int64_t>(size_of(dtype_)) > tasks_ * device.cpu().l2_bytes * 3 / 4;
    pack_tasks_ =
        task_count(problem.threads, shape_.batch * vectors_, columns * static_cast<double>(shape_.k) * kPackCost, kPerNs, device);
  }

  size_t workspace() const override { return packs_ ? static_cast<size_t>(shape_.batch * packed_floats()) * sizeof(float) : 0; }

  Code run(const Args& args, std::byte* workspace, Executor& executor) const override {
    if (shape_.batch == 0 || shape_.small() == 0) return Code::ok;
    auto* packed = reinterpret_cast<float*>(workspace);
    if (packs_ && vectors_ > 0)
      over(shape_.batch, vectors_, pack_tasks_, executor, [&](int64_t batch, int64_t begin, int64_t end) {
        streaming_.pack(columns(args, batch), shape_.k, shape_.small(), begin, end, packed + batch * packed_floats());
      });
    over(shape_.batch, units(), tasks_, executor, [&](int64_t batch, int64_t begin, int64_t end) {
      streaming_.multiply(piece(args, packed, batch), begin * unit(), std::min(end * unit(), shape_.big()));
    });
    return Code::ok;
  }

 private:
  // What tasks share: rows, or cache lines of a row.
  int64_t unit() const { return along_k_ ? 1 : 64 / static_cast<int64_t>(size_of(dtype_)); }
  int64_t units() const { return (shape_.big() + unit() - 1) / unit(); }
  int64_t packed_floats() const { return vectors_ * streaming_.floats * shape_.small(); }

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

  // Calls function(batch, begin, end) for all of batches × [0, count), each task's share in as few calls as it takes.
  template <typename Function>
  static void over(int64_t batches, int64_t count, int64_t tasks, Executor& executor, const Function& function) {
    executor.parallel(static_cast<size_t>(tasks), [&](size_t task) {
      const Share mine = share(batches * count, tasks, static_cast<int64_t>(task));
      for (int64_t at = mine.begin; at < mine.end;) {
        const int64_t batch = at / count, end = std::min(mine.end, (batch + 1) * count);
        function(batch, at - batch * count, end - batch * count);
        at = end;
      }
    });
  }

  Columns piece(const Args& args, const float* packed, int64_t batch) const {
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
            .rows = rows_,
            .prefetches = prefetches_};
  }

  MatmulShape shape_;
  DType dtype_, out_dtype_;
  int64_t rows_;
  bool along_k_;
  Streaming streaming_;
  int64_t vectors_;
  bool packs_;
  int64_t tasks_, pack_tasks_;
  bool prefetches_;
};

}  // namespace metallic::matmul
