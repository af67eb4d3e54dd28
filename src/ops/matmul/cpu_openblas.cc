// SPDX-License-Identifier: Apache-2.0
// matmul cpu_openblas: sgemm of the OpenBLAS on this machine, once per matrix of the batch.
#include "ops/matmul/blas.h"

namespace metallic::matmul {
namespace {

constexpr Tuning kTunings[] = {{}};

}  // namespace

extern const Variant cpu_openblas = {
    .family = "library",
    .tunings = kTunings,
    .rejects = [](const Problem& problem, const Tuning&,
                  const DeviceInfo& device) { return blas_rejects("openblas", problem, device); },
    .prefer = [](const Problem&, const DeviceInfo&) -> const Tuning& { return kTunings[0]; },
    .prepare = [](const Problem& problem, const Tuning&, const DeviceInfo&,
                  Planner&) { return blas_kernel("openblas", problem); },
    .reduction_id = [](const Problem&, const Tuning&, const DeviceInfo&) -> std::optional<std::string> { return std::nullopt; },
};

}  // namespace metallic::matmul
