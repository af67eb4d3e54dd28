// SPDX-License-Identifier: Apache-2.0
// softmax cpu_reference: the definition in double precision, which tests compare the other variants with.
#include <cmath>
#include <limits>

#include "ops/element.h"
#include "ops/softmax/contract.h"
#include "ops/softmax/shape.h"
#include "ops/variant.h"

namespace metallic::softmax {
namespace {

constexpr Tuning kTunings[] = {{}};

class CpuReference final : public Kernel {
 public:
  explicit CpuReference(const Problem& problem) : problem_(problem) {}

  Code run(const Args& args, std::byte*, Executor&) const override {
    with_type(problem_.dtype, [&]<typename In>(In) {
      with_type(problem_.out_dtype,
                [&]<typename Out>(Out) { rows(static_cast<const In*>(args.in[0]), static_cast<Out*>(args.out)); });
    });
    return Code::ok;
  }

 private:
  template <typename In, typename Out>
  void rows(const In* in, Out* out) const {
    const SoftmaxShape& s = problem_.as<SoftmaxShape>();
    for (int64_t row = 0; row < s.rows(); ++row, in += s.in_stride, out += s.out_stride) {
      const int64_t visible = visible_keys(s, row);
      const auto x = [&](int64_t j) { return static_cast<double>(s.scale) * to_float(in[j]); };
      double max = -std::numeric_limits<double>::infinity(), sum = 0;
      for (int64_t j = 0; j < visible; ++j) max = std::fmax(max, x(j));
      for (int64_t j = 0; j < visible; ++j) sum += std::exp(x(j) - max);
      for (int64_t j = 0; j < s.seq_k; ++j) out[j] = from_double<Out>(j < visible ? std::exp(x(j) - max) / sum : 0);
    }
  }

  Problem problem_;
};

}  // namespace

extern const Variant cpu_reference = {
    .family = "reference",
    .tunings = kTunings,
    .rejects = [](const Problem&, const Tuning&, const DeviceInfo&) -> std::optional<std::string> { return std::nullopt; },
    .prefer = [](const Problem&, const DeviceInfo&) -> const Tuning& { return kTunings[0]; },
    .prepare = [](const Problem& problem, const Tuning&, const DeviceInfo&, Planner&) -> Result<std::unique_ptr<const Kernel>> {
      return std::make_unique<CpuReference>(problem);
    },
    .reduction_id = [](const Problem&, const Tuning&, const DeviceInfo&) -> std::optional<std::string> { return "double"; },
};

}  // namespace metallic::softmax
