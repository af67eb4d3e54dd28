// A blocked product as a kernel: tasks share the parts of C in both directions; none splits K.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ops/variant.h"
#include "ops/matmul/blocking.h"
#include "ops/matmul/contract.h"
#include "ops/partition.h"

namespace metallic::matmul {

/// What computes a part of C with a workspace of so many floats as `layout` says, or without one.
using MultiplyPart = void (*)(const Part& part, const Blocking& blocking, float* workspace);

/// A way to compute parts: the register tile, how many steps of four bytes K makes, whether operands are copied into the order of
/// the tiles, and whether that of packed weights will do for B.
struct Arithmetic {
  MultiplyPart multiply;
  TileShape tile;
  int64_t (*steps)(int64_t k) = [](int64_t k) { return k; };
  bool packs = true;
  bool reads_panels = false;
  double per_ns = kPerNs;  ///< multiply-adds on one thread
};

class BlockedProduct final : public Kernel {
 public:
  BlockedProduct(const Problem& problem, const Arithmetic& arithmetic, const DeviceInfo& device)
      : shape_(problem.matmul()), dtype_(problem.dtype), out_dtype_(problem.out_dtype), arithmetic_(arithmetic) {
    if (shape_.batch == 0 || shape_.m == 0 || shape_.n == 0 || shape_.k == 0) return;
    const double work = static_cast<double>(shape_.batch) * static_cast<double>(shape_.m) * static_cast<double>(shape_.n) *
                        static_cast<double>(shape_.k);
    const Blocking whole = blocking_for(arithmetic_.tile, shape_.m, shape_.n, steps(), narrows(), problem.threads, device);
    // Few rows read B as fast as the second level gives it, some 30 bytes in a nanosecond, whatever the arithmetic.
    const double read = static_cast<double>(operand_bytes(problem)[1]) / 30;
    tasks_ = task_count(problem.threads, shape_.batch * shape_.m * shape_.n, std::max(work / arithmetic_.per_ns, read), 1, device);
    grid_ = best_grid(shape_, tasks_, whole.tile.mr, whole.tile.nr);
    tasks_ = std::min(tasks_, shape_.batch * grid_.rows * grid_.columns);
    blocking_ = blocking_for(arithmetic_.tile, grid_.part_m, grid_.part_n, steps(), narrows(), problem.threads, device);
    blocking_.reads_panels = shape_.packed && arithmetic_.reads_panels;
  }

  size_t workspace() const override { return static_cast<size_t>(tasks_ * floats_per_task()) * sizeof(float); }

  Code run(const Args& args, std::byte* workspace, Executor& executor) const override {
    if (shape_.k == 0) {
      with_type(out_dtype_, [&]<typename Out>(Out) { scale(static_cast<Out*>(args.out)); });
      return Code::ok;
    }
    const int64_t parts = shape_.batch * grid_.rows * grid_.columns;
    if (parts == 0) return Code::ok;
    executor.parallel(static_cast<size_t>(tasks_), [&](size_t task) {
      auto* scratch = reinterpret_cast<float*>(workspace) + static_cast<int64_t>(task) * floats_per_task();
      const Share mine = share(parts, tasks_, static_cast<int64_t>(task));
      for (int64_t i = mine.begin; i < mine.end; ++i) arithmetic_.multiply(part(args, i), blocking_, scratch);
    });
    return Code::ok;
  }

 private:
  bool narrows() const { return out_dtype_ != DType::f32; }

  int64_t steps() const { return arithmetic_.steps(shape_.k); }

  int64_t floats_per_task() const {
    return tasks_ == 0 || !arithmetic_.packs ? 0 : layout(blocking_, grid_.part_m, steps(), narrows()).end;
  }

  Part part(const Args& args, int64_t index) const {
    const int64_t batch = index / (grid_.rows * grid_.columns), i = index / grid_.columns % grid_.rows * grid_.part_m,
                  j = index % grid_.columns * grid_.part_n;
    Part part = {.m = std::min(grid_.part_m, shape_.m - i),
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
    part.a.data = part.a.at(i, 0);
    if (!part.packed) part.b.data = part.b.at(0, j);
    return part;
  }

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
  Arithmetic arithmetic_;
  int64_t tasks_ = 0;
  Grid grid_;
  Blocking blocking_ = {};
};

}  // namespace metallic::matmul
