// softmax cpu_reference: the definition, in double precision; what the other variants are tested against.
#include <cmath>
#include <limits>

#include "core/variant.h"
#include "kernels/softmax/contract.h"

namespace metallic::softmax {
namespace {

constexpr Tuning kTunings[] = {{}};

class CpuReference final : public Kernel {
 public:
  explicit CpuReference(const SoftmaxShape& shape) : shape_(shape) {}

  Code run(const Args& args, std::byte*, Executor&) const override {
    for (int64_t row = 0; row < shape_.rows(); ++row) {
      const float* x = static_cast<const float*>(args.in[0]) + row * shape_.in_stride;
      float* y = static_cast<float*>(args.out) + row * shape_.out_stride;
      const int64_t visible = visible_keys(shape_, row);
      double max = -std::numeric_limits<double>::infinity(), sum = 0;
      for (int64_t j = 0; j < visible; ++j) max = std::fmax(max, x[j]);
      for (int64_t j = 0; j < visible; ++j) sum += std::exp(x[j] - max);
      for (int64_t j = 0; j < shape_.seq_k; ++j) y[j] = j < visible ? static_cast<float>(std::exp(x[j] - max) / sum) : 0.0f;
    }
    return Code::ok;
  }

 private:
  SoftmaxShape shape_;
};

}  // namespace

extern const Variant cpu_reference = {
    .family = "reference",
    .tunings = kTunings,
    .rejects = [](const Problem&, const Tuning&, const DeviceFacts&) -> std::optional<std::string> { return std::nullopt; },
    .prefer = [](const Problem&, const DeviceFacts&) { return kTunings[0]; },
    .prepare = [](const Problem& problem, const Tuning&, const DeviceFacts&, Planner&) -> Result<std::unique_ptr<const Kernel>> {
      return std::make_unique<CpuReference>(problem.softmax());
    },
    .reduction_id = [](const Problem&, const Tuning&, const DeviceFacts&) -> std::optional<std::string> { return "double"; },
};

}  // namespace metallic::softmax
