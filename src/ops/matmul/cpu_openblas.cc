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
                  const DeviceFacts& facts) { return blas_rejects("openblas", problem, facts); },
    .prefer = [](const Problem&, const DeviceFacts&) -> const Tuning& { return kTunings[0]; },
    .prepare = [](const Problem& problem, const Tuning&, const DeviceFacts&,
                  Planner&) { return blas_kernel("openblas", problem); },
    .reduction_id = [](const Problem&, const Tuning&, const DeviceFacts&) -> std::optional<std::string> { return std::nullopt; },
};

}  // namespace metallic::matmul
