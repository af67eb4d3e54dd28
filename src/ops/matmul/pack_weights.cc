// SPDX-License-Identifier: Apache-2.0
// Packs weights into panels of 32 columns.
#include "ops/matmul/pack_weights.h"

#include <algorithm>

#include "base/math.h"
#include "ops/element.h"
#include "ops/matmul/contract.h"
#include "ops/matmul/packed.h"
#include "ops/matmul/shape.h"
#include "ops/partition.h"

namespace metallic::matmul {
namespace {

Status check(const Problem& problem) {
  if (problem.op() != kMatmul)
    return fail(Code::invalid_argument, "only a matmul has weights to pack, not {}", name(problem.op()));
  const MatmulShape& s = problem.as<MatmulShape>();
  if (s.packed) return fail(Code::invalid_argument, "B is packed already: give the problem that it has as a plain matrix");
  if (s.batch != 1) return fail(Code::invalid_argument, "packed weights are one matrix, the batch is {}", s.batch);
  return validate(problem);
}

Problem packed_problem(const Problem& problem) {
  Problem made = problem;
  make_packed(made.as<MatmulShape>());
  return made;
}

// Packs columns [32·panel, 32·(panel + 1)). A few steps of K at a time keep the written lines in the first cache level for both
// layouts of B.
template <typename T>
void pack_panel(const Strided<T>& b, const MatmulShape& s, DType dtype, int64_t panel, T* packed) {
  constexpr int64_t kAtOnce = 64;
  const int64_t all_k = packed_k(dtype, s.k), first = panel * kPanel, columns = std::min(kPanel, s.n - first);
  for (int64_t k0 = 0; k0 < all_k; k0 += kAtOnce) {
    const int64_t end = std::min(all_k, k0 + kAtOnce), there = std::clamp(s.k, k0, end);
    for (int64_t j = 0; j < kPanel; ++j) {
      const int64_t known = j < columns ? there : k0;
      for (int64_t k = k0; k < known; ++k) packed[packed_index(dtype, s.k, k, first + j)] = b.at(k, first + j);
      for (int64_t k = known; k < end; ++k) packed[packed_index(dtype, s.k, k, first + j)] = T{};
    }
  }
}

}  // namespace

Result<int64_t> packed_bytes(const Problem& problem) {
  METALLIC_CHECK(check(problem));
  const Problem packed = packed_problem(problem);
  METALLIC_CHECK(validate(packed));
  return operand_bytes(packed)[1];
}

Status pack_weights(const Problem& problem, const void* b, void* packed, Executor& executor) {
  METALLIC_CHECK(packed_bytes(problem));
  const MatmulShape& s = problem.as<MatmulShape>();
  const int64_t panels = ceil_div(s.n, kPanel);
  const int64_t tasks = std::clamp<int64_t>(executor.threads(), 1, std::max<int64_t>(1, panels));
  with_type(problem.dtype, [&]<typename T>(T) {
    const Strided<T> from = operand_b<T>(s, b, 0);
    executor.parallel(static_cast<size_t>(tasks), [&](size_t task) {
      const UnitRange mine = task_range(panels, tasks, static_cast<int64_t>(task));
      for (int64_t panel = mine.begin; panel < mine.end; ++panel)
        pack_panel(from, s, problem.dtype, panel, static_cast<T*>(packed));
    });
  });
  return {};
}

}  // namespace metallic::matmul
