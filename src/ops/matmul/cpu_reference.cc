// SPDX-License-Identifier: Apache-2.0
// matmul cpu_reference: the definition in double precision, which tests compare the other variants with.
#include "ops/element.h"
#include "ops/matmul/contract.h"
#include "ops/matmul/shape.h"
#include "ops/variant.h"

namespace metallic::matmul {
namespace {

constexpr Tuning kTunings[] = {{}};

class CpuReference final : public Kernel {
 public:
  explicit CpuReference(const Problem& problem) : problem_(problem) {}

  Code run(const Args& args, std::byte*, Executor&) const override {
    with_type(problem_.dtype, [&]<typename In>(In) {
      with_type(problem_.out_dtype, [&]<typename Out>(Out) { multiply<In>(args, static_cast<Out*>(args.out)); });
    });
    return Code::ok;
  }

 private:
  template <typename In, typename Out>
  void multiply(const Args& args, Out* out) const {
    const MatmulShape& s = problem_.as<MatmulShape>();
    for (int64_t batch = 0; batch < s.batch; ++batch, out += s.batch_stride_c) {
      const auto a = operand_a<In>(s, args.in[0], batch);
      const ElementsOfB<In> b(s, problem_.dtype, args.in[1], batch);
      for (int64_t i = 0; i < s.m; ++i)
        for (int64_t j = 0; j < s.n; ++j) {
          double sum = 0;
          for (int64_t k = 0; k < s.k; ++k) sum += static_cast<double>(to_float(a.at(i, k))) * to_float(b.at(k, j));
          Out& result = out[i * s.ldc + j];
          const double kept = s.beta == 0 ? 0 : static_cast<double>(s.beta) * to_float(result);
          result = from_double<Out>(s.alpha * sum + kept);
        }
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

}  // namespace metallic::matmul
