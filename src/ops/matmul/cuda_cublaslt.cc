// SPDX-License-Identifier: Apache-2.0
// matmul cuda_cublaslt: the installed cuBLASLt, with each of the algorithms that its heuristics rank first.
#ifdef METALLIC_WITH_CUDA
#include <algorithm>
#include <array>
#include <memory>

#include "device/peers/cublaslt.h"
#include "ops/cuda/device.h"
#include "ops/matmul/contract.h"
#include "ops/matmul/shape.h"
#include "ops/variant.h"

namespace metallic::matmul {
namespace {

constexpr Tuning kTunings[] = {{{{{"algorithm", 0}}}}, {{{{"algorithm", 1}}}}, {{{{"algorithm", 2}}}}, {{{{"algorithm", 3}}}}};
constexpr size_t kMostWorkspace = 32 << 20;
constexpr uint32_t kAlignment = 16;  // of operands, in bytes: what tensors usually have and the fastest algorithms need

cudaDataType_t cuda_type(DType dtype) {
  return dtype == DType::f16 ? CUDA_R_16F : dtype == DType::bf16 ? CUDA_R_16BF : CUDA_R_32F;
}

template <typename Handle>
using Owned = std::unique_ptr<std::remove_pointer_t<Handle>, cublasStatus_t (*)(Handle)>;

// Row-major C = A·B is column-major Cᵀ = Bᵀ·Aᵀ: B is the first operand here, and what is stored by rows is transposed already.
struct MatmulPlan {
  cublasLtHandle_t handle;
  Owned<cublasLtMatmulDesc_t> desc;
  Owned<cublasLtMatrixLayout_t> b, a, c;
  cublasLtMatmulHeuristicResult_t chosen;
};

Owned<cublasLtMatrixLayout_t> layout_of(const cuda::CublasLt& api, DType dtype, int64_t rows, int64_t columns, int64_t stride,
                                        int64_t batch, int64_t batch_stride) {
  cublasLtMatrixLayout_t made = nullptr;
  const auto count = static_cast<int32_t>(batch);
  const bool fine = api.layout_create(&made, cuda_type(dtype), static_cast<uint64_t>(rows), static_cast<uint64_t>(columns),
                                      stride) == CUBLAS_STATUS_SUCCESS &&
                    api.layout_set(made, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof(count)) == CUBLAS_STATUS_SUCCESS &&
                    api.layout_set(made, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &batch_stride, sizeof(batch_stride)) ==
                        CUBLAS_STATUS_SUCCESS;
  Owned<cublasLtMatrixLayout_t> owned(made, api.layout_destroy);
  if (!fine) owned.reset();
  return owned;
}

// Null if cuBLASLt has no such algorithm for the problem with operands at multiples of `alignment` bytes.
std::unique_ptr<const MatmulPlan> plan_matmul(const Problem& problem, int64_t algorithm, uint32_t alignment) {
  const cuda::CublasLt* api = cuda::cublaslt();
  const cublasLtHandle_t handle = cuda::cublaslt_handle();
  if (!api || !handle) return nullptr;
  const MatmulShape& s = problem.as<MatmulShape>();
  cublasLtMatmulDesc_t desc = nullptr;
  if (api->desc_create(&desc, CUBLAS_COMPUTE_32F, CUDA_R_32F) != CUBLAS_STATUS_SUCCESS) return nullptr;
  auto made = std::make_unique<MatmulPlan>(
      MatmulPlan{.handle = handle,
                 .desc = {desc, api->desc_destroy},
                 .b = layout_of(*api, problem.dtype, s.tb ? s.k : s.n, s.tb ? s.n : s.k, s.ldb, s.batch, s.batch_stride_b),
                 .a = layout_of(*api, problem.dtype, s.ta ? s.m : s.k, s.ta ? s.k : s.m, s.lda, s.batch, s.batch_stride_a),
                 .c = layout_of(*api, problem.out_dtype, s.n, s.m, s.ldc, s.batch, s.batch_stride_c),
                 .chosen = {}});
  if (!made->a || !made->b || !made->c) return nullptr;
  const cublasOperation_t op_b = s.tb ? CUBLAS_OP_T : CUBLAS_OP_N, op_a = s.ta ? CUBLAS_OP_T : CUBLAS_OP_N;
  api->desc_set(desc, CUBLASLT_MATMUL_DESC_TRANSA, &op_b, sizeof(op_b));
  api->desc_set(desc, CUBLASLT_MATMUL_DESC_TRANSB, &op_a, sizeof(op_a));
  cublasLtMatmulPreference_t preference = nullptr;
  if (api->preference_create(&preference) != CUBLAS_STATUS_SUCCESS) return nullptr;
  const Owned<cublasLtMatmulPreference_t> owned(preference, api->preference_destroy);
  api->preference_set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &kMostWorkspace, sizeof(kMostWorkspace));
  for (const auto which : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                           CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
    api->preference_set(preference, which, &alignment, sizeof(alignment));
  // By default split-K may accumulate in the output's type, but the contract is f32, rounded once.
  constexpr uint32_t kReduction = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
  if (api->preference_set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &kReduction, sizeof(kReduction)) !=
      CUBLAS_STATUS_SUCCESS)
    return nullptr;
  std::array<cublasLtMatmulHeuristicResult_t, std::size(kTunings)> results{};
  int found = 0;
  if (api->heuristic(handle, desc, made->b.get(), made->a.get(), made->c.get(), made->c.get(), preference,
                     static_cast<int>(results.size()), results.data(), &found) != CUBLAS_STATUS_SUCCESS ||
      algorithm >= found || results[static_cast<size_t>(algorithm)].state != CUBLAS_STATUS_SUCCESS)
    return nullptr;
  made->chosen = results[static_cast<size_t>(algorithm)];
  return made;
}

class Call final : public Kernel {
 public:
  // `unaligned` may be null.
  Call(std::unique_ptr<const MatmulPlan> aligned, std::unique_ptr<const MatmulPlan> unaligned, const MatmulShape& shape)
      : aligned_(std::move(aligned)), unaligned_(std::move(unaligned)), alpha_(shape.alpha), beta_(shape.beta) {}

  size_t workspace() const override {
    return std::max(aligned_->chosen.workspaceSize, unaligned_ ? unaligned_->chosen.workspaceSize : 0);
  }

  Code run(const Args& args, std::byte* workspace, Executor& executor) const override {
    const auto places =
        reinterpret_cast<uintptr_t>(args.in[0]) | reinterpret_cast<uintptr_t>(args.in[1]) | reinterpret_cast<uintptr_t>(args.out);
    const MatmulPlan* const plan = places % kAlignment == 0 ? aligned_.get() : unaligned_.get();
    if (!plan) return Code::unsupported;
    const auto status =
        cuda::cublaslt()->matmul(plan->handle, plan->desc.get(), &alpha_, args.in[1], plan->b.get(), args.in[0], plan->a.get(),
                                 &beta_, args.out, plan->c.get(), args.out, plan->c.get(), &plan->chosen.algo, workspace,
                                 plan->chosen.workspaceSize, static_cast<cudaStream_t>(executor.stream()));
    return status == CUBLAS_STATUS_SUCCESS ? Code::ok : Code::internal;
  }

 private:
  std::unique_ptr<const MatmulPlan> aligned_, unaligned_;
  float alpha_, beta_;
};

}  // namespace

extern const Variant cuda_cublaslt = {
    .family = "library",
    .tunings = kTunings,
    .rejects = [](const Problem& problem, const Tuning& tuning, const DeviceInfo& device) -> std::optional<std::string> {
      if (auto reason = cuda::refuses_device(device)) return reason;
      if (!find_library(device.libraries, "cublaslt")) return "library cublaslt is not loaded";
      if (auto reason = refuses_packed(problem)) return reason;
      const MatmulShape& s = problem.as<MatmulShape>();
      if (s.batch == 0 || s.m == 0 || s.n == 0 || s.k == 0) return "takes no empty operands";
      if (!plan_matmul(problem, tuning["algorithm"], kAlignment)) return "cuBLASLt has no such algorithm for it";
      return std::nullopt;
    },
    .prefer = [](const Problem&, const DeviceInfo&) -> const Tuning& { return kTunings[0]; },
    .prepare = [](const Problem& problem, const Tuning& tuning, const DeviceInfo&,
                  Planner&) -> Result<std::unique_ptr<const Kernel>> {
      auto aligned = plan_matmul(problem, tuning["algorithm"], kAlignment);
      if (!aligned) return fail(Code::internal, "cuBLASLt no longer accepts the problem");
      auto unaligned =
          plan_matmul(problem, 0, static_cast<uint32_t>(std::min(size_of(problem.dtype), size_of(problem.out_dtype))));
      return std::make_unique<Call>(std::move(aligned), std::move(unaligned), problem.as<MatmulShape>());
    },
    .reduction_id = [](const Problem&, const Tuning&, const DeviceInfo&) -> std::optional<std::string> { return std::nullopt; },
};

}  // namespace metallic::matmul
#endif
