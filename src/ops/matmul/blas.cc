// SPDX-License-Identifier: Apache-2.0
// Runs sgemm once per matrix of the batch.
#include "ops/matmul/blas.h"

#include <algorithm>
#include <limits>

#include "ops/matmul/contract.h"
#include "ops/matmul/shape.h"

namespace metallic::matmul {
namespace {

class BlasMatmul final : public Kernel {
 public:
  BlasMatmul(const cpu::Blas& blas, const Problem& problem)
      : blas_(blas), shape_(problem.as<MatmulShape>()), threads_(problem.threads) {}

  Code run(const Args& args, std::byte*, Executor&) const override {
    blas_.set_threads(&threads_);
    const auto op = [](bool transposed) { return transposed ? cpu::Blas::kTransposed : cpu::Blas::kPlain; };
    const auto narrow = [](int64_t value) { return static_cast<int>(value); };
    for (int64_t batch = 0; batch < shape_.batch; ++batch)
      blas_.sgemm(cpu::Blas::kRowMajor, op(shape_.ta), op(shape_.tb), narrow(shape_.m), narrow(shape_.n), narrow(shape_.k),
                  shape_.alpha, operand_a<float>(shape_, args.in[0], batch).data, narrow(shape_.lda),
                  operand_b<float>(shape_, args.in[1], batch).data, narrow(shape_.ldb), shape_.beta,
                  static_cast<float*>(args.out) + batch * shape_.batch_stride_c, narrow(shape_.ldc));
    return Code::ok;
  }

 private:
  const cpu::Blas& blas_;
  MatmulShape shape_;
  int threads_;
};

}  // namespace

std::optional<std::string> blas_rejects(std::string_view library, const Problem& problem, const DeviceInfo& device) {
  if (!find_library(device.libraries, library)) return fmt::format("library {} is not loaded", library);
  if (auto refusal = refuses_packed(problem)) return refusal;
  if (problem.dtype != DType::f32 || problem.out_dtype != DType::f32) return "takes f32 only";
  const MatmulShape& s = problem.as<MatmulShape>();
  if (s.batch == 0 || s.m == 0 || s.n == 0 || s.k == 0) return "takes no empty operands";
  if (s.alpha == 0) return "does not read A and B at alpha = 0, so their NaN are lost";
  if (std::max({s.m, s.n, s.k, s.lda, s.ldb, s.ldc}) > std::numeric_limits<int>::max()) return "takes 32-bit sizes only";
  return std::nullopt;
}

Result<std::unique_ptr<const Kernel>> blas_kernel(std::string_view library, const Problem& problem) {
  const cpu::Blas* blas = cpu::find_blas(library);
  if (!blas) return fail(Code::unsupported, "library {} is not loaded", library);
  return std::make_unique<BlasMatmul>(*blas, problem);
}

}  // namespace metallic::matmul
