// matmul cpu_blis: sgemm of the BLIS that this machine has, a batch as a loop.
#include "ops/matmul/blas.h"

namespace metallic::matmul {
namespace {

constexpr Tuning kTunings[] = {{}};

}  // namespace

extern const Variant cpu_blis = {
    .family = "library",
    .tunings = kTunings,
    .rejects = [](const Problem& problem, const Tuning&, const DeviceInfo& device) -> std::optional<std::string> {
      if (auto reason = blas_rejects("blis", problem, device)) return reason;
      // Its kernels for AVX2 load whole vectors at these edges, seen with operands that end at an unreadable page (0.9.0).
      const MatmulShape& s = problem.matmul();
      if (s.n % 4 > 1) return "reads past the end of C where N mod 4 is 2 or 3";
      if (s.tb && s.k % 8 != 0) return "reads past the end of A where B is transposed and K is no multiple of 8";
      return std::nullopt;
    },
    .prefer = [](const Problem&, const DeviceInfo&) -> const Tuning& { return kTunings[0]; },
    .prepare = [](const Problem& problem, const Tuning&, const DeviceInfo&, Planner&) { return blas_kernel("blis", problem); },
    .reduction_id = [](const Problem&, const Tuning&, const DeviceInfo&) -> std::optional<std::string> { return std::nullopt; },
};

}  // namespace metallic::matmul
