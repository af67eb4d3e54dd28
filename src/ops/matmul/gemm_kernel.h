// SPDX-License-Identifier: Apache-2.0
// The GEMM kernel: tasks share blocks of C along M and N; none splits K.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ops/matmul/blocking.h"
#include "ops/matmul/contract.h"
#include "ops/matmul/shape.h"
#include "ops/partition.h"
#include "ops/variant.h"

namespace metallic::matmul {

/// Computes a block of C in the workspace that `workspace_layout` describes, which it does not use if operands are not packed.
using MultiplyBlock = void (*)(const OutputBlock& block, const Blocking& blocking, float* workspace);

/// The micro-kernel of a GEMM for one target, with the loops around it.
struct GemmMicroKernel {
  MultiplyBlock multiply;
  TileShape tile;
  int64_t (*steps)(int64_t k) = [](int64_t k) { return k; };  ///< steps of four bytes in k elements of K
  bool packs = true;                                          ///< whether operands are packed into panels
  bool reads_panels = false;                                  ///< whether it reads panels of packed weights in place
  double per_ns = kPerNs;                                     ///< multiply-adds on one thread
};

class GemmKernel final : public Kernel {
 public:
  GemmKernel(const Problem& problem, const GemmMicroKernel& micro_kernel, const DeviceInfo& device)
      : shape_(problem.as<MatmulShape>()), dtype_(problem.dtype), out_dtype_(problem.out_dtype), micro_kernel_(micro_kernel) {
    if (shape_.batch == 0 || shape_.m == 0 || shape_.n == 0 || shape_.k == 0) return;
    const double work = static_cast<double>(shape_.batch) * static_cast<double>(shape_.m) * static_cast<double>(shape_.n) *
                        static_cast<double>(shape_.k);
    const Blocking whole = blocking_for(micro_kernel_.tile, shape_.m, shape_.n, steps(), narrows(), problem.threads, device);
    // With few rows, every micro-kernel is bound by reading B from the second cache level: about 30 bytes per nanosecond.
    const double read = static_cast<double>(operand_bytes(problem)[1]) / 30;
    tasks_ =
        task_count(problem.threads, shape_.batch * shape_.m * shape_.n, std::max(work / micro_kernel_.per_ns, read), 1, device);
    grid_ = best_grid(shape_, tasks_, whole.tile.mr, whole.tile.nr);
    tasks_ = std::min(tasks_, shape_.batch * grid_.rows * grid_.columns);
    blocking_ = blocking_for(micro_kernel_.tile, grid_.part_m, grid_.part_n, steps(), narrows(), problem.threads, device);
    blocking_.reads_panels = shape_.packed && micro_kernel_.reads_panels;
  }

  size_t workspace() const override { return static_cast<size_t>(tasks_ * floats_per_task()) * sizeof(float); }

  Code run(const Args& args, std::byte* workspace, Executor& executor) const override {
    if (shape_.k == 0) {
      with_type(out_dtype_, [&]<typename Out>(Out) { scale(static_cast<Out*>(args.out)); });
      return Code::ok;
    }
    const int64_t blocks = shape_.batch * grid_.rows * grid_.columns;
    if (blocks == 0) return Code::ok;
    executor.parallel(static_cast<size_t>(tasks_), [&](size_t task) {
      auto* scratch = reinterpret_cast<float*>(workspace) + static_cast<int64_t>(task) * floats_per_task();
      const UnitRange mine = task_range(blocks, tasks_, static_cast<int64_t>(task));
      for (int64_t i = mine.begin; i < mine.end; ++i) micro_kernel_.multiply(output_block(args, i), blocking_, scratch);
    });
    return Code::ok;
  }

 private:
  bool narrows() const { return out_dtype_ != DType::f32; }

  int64_t steps() const { return micro_kernel_.steps(shape_.k); }

  int64_t floats_per_task() const {
    return tasks_ == 0 || !micro_kernel_.packs ? 0 : workspace_layout(blocking_, grid_.part_m, steps(), narrows()).end;
  }

  OutputBlock output_block(const Args& args, int64_t index) const {
    const int64_t batch = index / (grid_.rows * grid_.columns), i = index / grid_.columns % grid_.rows * grid_.part_m,
                  j = index % grid_.columns * grid_.part_n;
    OutputBlock block = {.m = std::min(grid_.part_m, shape_.m - i),
                         .n = std::min(grid_.part_n, shape_.n - j),
                         .k = shape_.k,
                         .a = operand_a(shape_, dtype_, args.in[0], batch),
                         .b = operand_b(shape_, dtype_, args.in[1], batch),
                         .packed = shape_.packed,
                         .column = j,
                         .out_dtype = out_dtype_,
                         .c = output_at(shape_, out_dtype_, args.out, batch, i, j),
                         .c_row = shape_.ldc,
                         .alpha = shape_.alpha,
                         .beta = shape_.beta};
    block.a.data = block.a.at(i, 0);
    if (!block.packed) block.b.data = block.b.at(0, j);
    return block;
  }

  // K = 0: C = beta·C.
  template <typename Out>
  void scale(Out* out) const {
    for (int64_t batch = 0; batch < shape_.batch; ++batch)
      for (int64_t i = 0; i < shape_.m; ++i) {
        Out* c = out + batch * shape_.batch_stride_c + i * shape_.ldc;
        for (int64_t j = 0; j < shape_.n; ++j)
          c[j] = shape_.beta == 0 ? Out{} : from_double<Out>(static_cast<double>(shape_.beta) * to_float(c[j]));
      }
  }

  MatmulShape shape_;
  DType dtype_, out_dtype_;
  GemmMicroKernel micro_kernel_;
  int64_t tasks_ = 0;
  OutputGrid grid_;
  Blocking blocking_ = {};
};

}  // namespace metallic::matmul
