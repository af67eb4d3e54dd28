// SPDX-License-Identifier: Apache-2.0
// matmul cpu_blis: sgemm of the BLIS on this machine, once per matrix of the batch.
#include "ops/matmul/blas.h"
#include "ops/matmul/shape.h"

namespace metallic::matmul {
namespace {

constexpr Tuning kTunings[] = {{}};

}  // namespace

extern const Variant cpu_blis = {
    .family = "library",
    .tunings = kTunings,
    .rejects = [](const Problem& problem, const Tuning&, const DeviceInfo& device) -> std::optional<std::string> {
      if (auto reason = blas_rejects("blis", problem, device)) return reason;
      // The AVX2 kernels of BLIS 0.9.0 load whole vectors at these edges and fault if the next page is unreadable.
      const MatmulShape& s = problem.as<MatmulShape>();
      if (s.n % 4 > 1) return "reads past the end of C where N mod 4 is 2 or 3";
      if (s.tb && s.k % 8 != 0) return "reads past the end of A where B is transposed and K is no multiple of 8";
      return std::nullopt;
    },
    .prefer = [](const Problem&, const DeviceInfo&) -> const Tuning& { return kTunings[0]; },
    .prepare = [](const Problem& problem, const Tuning&, const DeviceInfo&, Planner&) { return blas_kernel("blis", problem); },
    .reduction_id = [](const Problem&, const Tuning&, const DeviceInfo&) -> std::optional<std::string> { return std::nullopt; },
};

}  // namespace metallic::matmul
