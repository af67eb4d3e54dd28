// SPDX-License-Identifier: Apache-2.0
// softmax cpu_onednn: the softmax primitive of the oneDNN on this machine. In a row with a NaN or +∞, only that element becomes
// NaN and the others 0; the contract of our own variants has NaN in all.
#include "ops/peers/onednn_kernel.h"
#include "ops/softmax/shape.h"
#include "ops/variant.h"

namespace metallic::softmax {
namespace {

constexpr Tuning kTunings[] = {{}};

// Null if oneDNN has no implementation.
PrimitiveDescription description_of(const Problem& problem) {
  const SoftmaxShape& s = problem.as<SoftmaxShape>();
  const cpu::Onednn* api = cpu::onednn();
  if (!api) return nullptr;
  const dnnl_dims_t dims = {s.rows(), s.seq_k}, in_strides = {s.in_stride, 1}, out_strides = {s.out_stride, 1};
  dnnl_memory_desc_t in, out;
  dnnl_softmax_v2_desc_t operation;
  const bool fine =
      api->memory_desc_init_by_strides(&in, 2, dims, onednn_type(problem.dtype), in_strides) == dnnl_success &&
      api->memory_desc_init_by_strides(&out, 2, dims, onednn_type(problem.out_dtype), out_strides) == dnnl_success &&
      api->softmax_desc_init(&operation, dnnl_forward_inference, dnnl_softmax_accurate, &in, &out, /*axis=*/1) == dnnl_success;
  return fine ? describe(&operation, problem.threads) : nullptr;
}

}  // namespace

extern const Variant cpu_onednn = {
    .family = "library",
    .tunings = kTunings,
    .rejects = [](const Problem& problem, const Tuning&, const DeviceInfo& device) -> std::optional<std::string> {
      if (!find_library(device.libraries, "onednn")) return "library onednn is not loaded";
      const SoftmaxShape& s = problem.as<SoftmaxShape>();
      if (s.causal) return "takes no mask";
      if (s.scale != 1) return "takes scale = 1 only";
      if (problem.out_dtype != DType::f32) return "keeps exp(x) in the output's type: rounds once into f32 only";
      if (s.rows() == 0 || s.seq_k == 0) return "takes no empty operands";
      if (!description_of(problem)) return "oneDNN has no implementation of it";
      return std::nullopt;
    },
    .prefer = [](const Problem&, const DeviceInfo&) -> const Tuning& { return kTunings[0]; },
    .prepare = [](const Problem& problem, const Tuning&, const DeviceInfo&,
                  Planner&) { return onednn_kernel(description_of(problem), {DNNL_ARG_SRC}, problem.threads); },
    .reduction_id = [](const Problem&, const Tuning&, const DeviceInfo&) -> std::optional<std::string> { return std::nullopt; },
};

}  // namespace metallic::softmax
