// SPDX-License-Identifier: Apache-2.0
// The kernel of all scale variants: elements one after the other, from either end.
#pragma once

#include <cstdint>

#include "ops/element.h"
#include "ops/variant.h"
#include "testing/operations/scale/shape.h"

namespace metallic::scale {

inline constexpr Tuning kTunings[] = {{}};

template <bool kBackward>
class ScaleKernel final : public Kernel {
 public:
  explicit ScaleKernel(const Problem& problem) : problem_(problem) {}

  Code run(const Args& args, std::byte*, Executor&) const override {
    const auto& s = problem_.as<ScaleShape>();
    const int64_t count = s.rows * s.n;
    with_types(problem_.dtype, problem_.out_dtype, [&]<typename In, typename Out>(In, Out) {
      const auto* in = static_cast<const In*>(args.in[0]);
      auto* out = static_cast<Out*>(args.out);
      for (int64_t k = 0; k < count; ++k) {
        const int64_t i = kBackward ? count - 1 - k : k;
        out[i] = from_double<Out>(3.0 * to_float(in[i]));
      }
    });
    return Code::ok;
  }

 private:
  Problem problem_;
};

template <bool kBackward>
Variant variant(std::string_view family) {
  return {
      .family = family,
      .tunings = kTunings,
      .rejects = [](const Problem&, const Tuning&, const DeviceInfo&) -> std::optional<std::string> { return std::nullopt; },
      .prefer = [](const Problem&, const DeviceInfo&) -> const Tuning& { return kTunings[0]; },
      .prepare = [](const Problem& problem, const Tuning&, const DeviceInfo&, Planner&) -> Result<std::unique_ptr<const Kernel>> {
        return std::make_unique<ScaleKernel<kBackward>>(problem);
      },
      .reduction_id = [](const Problem&, const Tuning&, const DeviceInfo&) -> std::optional<std::string> { return "none"; },
  };
}

}  // namespace metallic::scale
