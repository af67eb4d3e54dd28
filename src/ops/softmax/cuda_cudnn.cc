// SPDX-License-Identifier: Apache-2.0
// softmax cuda_cudnn: the softmax of the installed cuDNN. A row is an image whose keys are channels, or one line.
#ifdef METALLIC_WITH_CUDA
#include <cuda_runtime_api.h>

#include <map>
#include <memory>
#include <mutex>

#include "device/cuda/check.h"
#include "device/peers/cudnn.h"
#include "ops/cuda/device.h"
#include "ops/softmax/contract.h"
#include "ops/softmax/shape.h"
#include "ops/variant.h"

namespace metallic::softmax {
namespace {

constexpr Tuning kTunings[] = {{{{{"channels", 0}}}}, {{{{"channels", 1}}}}};

int cudnn_type(DType dtype) {
  return dtype == DType::f16 ? cuda::Cudnn::kHalf : dtype == DType::bf16 ? cuda::Cudnn::kBfloat16 : cuda::Cudnn::kFloat;
}

// One handle per device, since creating it takes time and memory. The mutex keeps a call together with the stream set for it.
struct Handle {
  std::mutex mutex;
  void* handle = nullptr;
};

Result<Handle*> handle_of_device() {
  static std::mutex mutex;
  static std::map<int, Handle> handles;
  int device = 0;
  METALLIC_CUDA(cudaGetDevice(&device));
  const std::lock_guard lock(mutex);
  Handle& found = handles[device];
  if (!found.handle && cuda::cudnn()->create(&found.handle) != 0)
    return fail(Code::internal, "cuDNN cannot be initialized on this device");
  return &found;
}

using Descriptor = std::unique_ptr<void, int (*)(void*)>;

Descriptor descriptor_of(DType dtype, int64_t rows, int64_t keys, int64_t stride, bool channels) {
  const cuda::Cudnn& api = *cuda::cudnn();
  void* made = nullptr;
  if (api.descriptor_create(&made) != 0) return {nullptr, api.descriptor_destroy};
  Descriptor owned(made, api.descriptor_destroy);
  const int n = static_cast<int>(rows), k = static_cast<int>(keys), apart = static_cast<int>(stride);
  const int status = channels ? api.descriptor_set(made, cudnn_type(dtype), n, k, 1, 1, apart, 1, 1, 1)
                              : api.descriptor_set(made, cudnn_type(dtype), n, 1, 1, k, apart, k, k, 1);
  if (status != 0) owned.reset();
  return owned;
}

class Call final : public Kernel {
 public:
  Call(Handle& handle, Descriptor in, Descriptor out) : handle_(handle), in_(std::move(in)), out_(std::move(out)) {}

  Code run(const Args& args, std::byte*, Executor& executor) const override {
    const float one = 1, zero = 0;
    const cuda::Cudnn& api = *cuda::cudnn();
    const std::lock_guard lock(handle_.mutex);
    if (api.set_stream(handle_.handle, executor.stream()) != 0) return Code::internal;
    const int status = api.softmax(handle_.handle, cuda::Cudnn::kAccurate, cuda::Cudnn::kInstance, &one, in_.get(), args.in[0],
                                   &zero, out_.get(), args.out);
    return status == 0 ? Code::ok : status / 1000 == cuda::Cudnn::kNotSupported / 1000 ? Code::unsupported : Code::internal;
  }

 private:
  Handle& handle_;
  Descriptor in_, out_;
};

}  // namespace

extern const Variant cuda_cudnn = {
    .family = "library",
    .tunings = kTunings,
    .rejects = [](const Problem& problem, const Tuning&, const DeviceInfo& device) -> std::optional<std::string> {
      if (auto reason = cuda::refuses_device(device)) return reason;
      if (!find_library(device.libraries, "cudnn")) return "library cudnn is not loaded";
      const SoftmaxShape& s = problem.as<SoftmaxShape>();
      if (s.causal) return "takes no mask";
      if (s.scale != 1) return "takes scale = 1 only";
      if (problem.out_dtype != problem.dtype) return "takes one type";
      if (s.rows() == 0 || s.seq_k == 0) return "takes no empty operands";
      if (std::max(s.in_stride, s.out_stride) > INT32_MAX / s.rows()) return "counts elements in 32 bits";
      return std::nullopt;
    },
    .prefer = [](const Problem&, const DeviceInfo&) -> const Tuning& { return kTunings[0]; },
    .prepare = [](const Problem& problem, const Tuning& tuning, const DeviceInfo&,
                  Planner&) -> Result<std::unique_ptr<const Kernel>> {
      METALLIC_TRY(Handle* const handle, handle_of_device());
      const SoftmaxShape& s = problem.as<SoftmaxShape>();
      const bool channels = tuning["channels"] == 1;
      Descriptor in = descriptor_of(problem.dtype, s.rows(), s.seq_k, s.in_stride, channels);
      Descriptor out = descriptor_of(problem.dtype, s.rows(), s.seq_k, s.out_stride, channels);
      if (!in || !out) return fail(Code::internal, "cuDNN no longer accepts the problem");
      return std::make_unique<Call>(*handle, std::move(in), std::move(out));
    },
    .reduction_id = [](const Problem&, const Tuning&, const DeviceInfo&) -> std::optional<std::string> { return std::nullopt; },
};

}  // namespace metallic::softmax
#endif
