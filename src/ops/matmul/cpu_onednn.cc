// SPDX-License-Identifier: Apache-2.0
// matmul cpu_onednn: the matmul primitive of the oneDNN on this machine.
#include "ops/matmul/contract.h"
#include "ops/matmul/shape.h"
#include "ops/peers/onednn_kernel.h"
#include "ops/variant.h"

namespace metallic::matmul {
namespace {

constexpr Tuning kTunings[] = {{}};

// Describes a batch of matrices with these strides. A distance of 0 makes one matrix that the whole batch shares.
bool describe_operand(const MatmulShape& shape, DType dtype, int64_t rows, int64_t columns, int64_t row, int64_t column,
                      int64_t distance, dnnl_memory_desc_t& made) {
  const cpu::Onednn& api = *cpu::onednn();
  const dnnl_dims_t dims = {distance == 0 ? 1 : shape.batch, rows, columns};
  const dnnl_dims_t strides = {distance == 0 ? rows * row + columns * column : distance, row, column};
  const int skipped = shape.batch == 1 ? 1 : 0;
  return api.memory_desc_init_by_strides(&made, 3 - skipped, dims + skipped, onednn_type(dtype), strides + skipped) ==
         dnnl_success;
}

// Null if oneDNN has no implementation.
PrimitiveDescription description_of(const Problem& problem) {
  const MatmulShape& s = problem.as<MatmulShape>();
  dnnl_memory_desc_t a, b, c;
  dnnl_matmul_desc_t operation;
  const bool fine = cpu::onednn() &&
                    describe_operand(s, problem.dtype, s.m, s.k, s.ta ? 1 : s.lda, s.ta ? s.lda : 1, s.batch_stride_a, a) &&
                    describe_operand(s, problem.dtype, s.k, s.n, s.tb ? 1 : s.ldb, s.tb ? s.ldb : 1, s.batch_stride_b, b) &&
                    describe_operand(s, problem.out_dtype, s.m, s.n, s.ldc, 1, s.batch_stride_c, c) &&
                    cpu::onednn()->matmul_desc_init(&operation, &a, &b, nullptr, &c) == dnnl_success;
  return fine ? describe(&operation, problem.threads, s.alpha, s.beta) : nullptr;
}

}  // namespace

extern const Variant cpu_onednn = {
    .family = "library",
    .tunings = kTunings,
    .rejects = [](const Problem& problem, const Tuning&, const DeviceInfo& device) -> std::optional<std::string> {
      if (!find_library(device.libraries, "onednn")) return "library onednn is not loaded";
      if (auto refusal = refuses_packed(problem)) return refusal;
      const MatmulShape& s = problem.as<MatmulShape>();
      // oneDNN leaves C unchanged at K = 0, and version 2.6 divides by zero at M = 0 or N = 0.
      if (s.batch == 0 || s.m == 0 || s.n == 0 || s.k == 0) return "takes no empty operands";
      if (s.alpha == 0) return "takes alpha other than 0 only";
      if (!description_of(problem)) return "oneDNN has no implementation of it";
      return std::nullopt;
    },
    .prefer = [](const Problem&, const DeviceInfo&) -> const Tuning& { return kTunings[0]; },
    .prepare =
        [](const Problem& problem, const Tuning&, const DeviceInfo&, Planner&) {
          return onednn_kernel(description_of(problem), {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS}, problem.threads);
        },
    .reduction_id = [](const Problem&, const Tuning&, const DeviceInfo&) -> std::optional<std::string> { return std::nullopt; },
};

}  // namespace metallic::matmul
