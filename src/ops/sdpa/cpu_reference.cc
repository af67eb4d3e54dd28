// SPDX-License-Identifier: Apache-2.0
// sdpa cpu_reference: the definition in double precision, which tests compare the other variants with.
#include <cmath>
#include <limits>

#include "ops/element.h"
#include "ops/sdpa/contract.h"
#include "ops/sdpa/shape.h"
#include "ops/variant.h"

namespace metallic::sdpa {
namespace {

constexpr Tuning kTunings[] = {{}};

class CpuReference final : public Kernel {
 public:
  explicit CpuReference(const Problem& problem) : problem_(problem) {}

  // The weights of one query.
  size_t workspace() const override { return static_cast<size_t>(problem_.as<SdpaShape>().seq_k) * sizeof(double); }

  Code run(const Args& args, std::byte* workspace, Executor&) const override {
    auto* weights = reinterpret_cast<double*>(workspace);
    const SdpaShape& s = problem_.as<SdpaShape>();
    with_type(problem_.dtype, [&]<typename In>(In) {
      with_type(problem_.out_dtype, [&]<typename Out>(Out) {
        for (int64_t batch = 0; batch < s.batch; ++batch)
          for (int64_t head = 0; head < s.heads; ++head)
            for (int64_t i = 0; i < s.seq_q; ++i) attend<In, Out>(args, batch, head, i, weights);
      });
    });
    return Code::ok;
  }

 private:
  template <typename In, typename Out>
  void attend(const Args& args, int64_t batch, int64_t head, int64_t i, double* weights) const {
    const SdpaShape& s = problem_.as<SdpaShape>();
    const int64_t shared = head / s.group(), visible = visible_keys(s, i);
    const In* q = static_cast<const In*>(args.in[0]) + row_at(s.q, batch, head, i);
    const In* k = static_cast<const In*>(args.in[1]) + row_at(s.k, batch, shared, 0);
    const In* v = static_cast<const In*>(args.in[2]) + row_at(s.v, batch, shared, 0);
    Out* out = static_cast<Out*>(args.out) + row_at(s.out, batch, head, i);
    double max = -std::numeric_limits<double>::infinity(), sum = 0;
    for (int64_t j = 0; j < visible; ++j) {
      double score = 0;
      for (int64_t d = 0; d < s.head_dim; ++d) score += static_cast<double>(to_float(q[d])) * to_float(k[j * s.k.row + d]);
      weights[j] = static_cast<double>(s.scale) * score;
      max = std::fmax(max, weights[j]);
    }
    for (int64_t j = 0; j < visible; ++j) sum += weights[j] = std::exp(weights[j] - max);
    for (int64_t d = 0; d < s.head_dim; ++d) {
      double total = 0;
      for (int64_t j = 0; j < visible; ++j) total += weights[j] / sum * to_float(v[j * s.v.row + d]);
      out[d] = from_double<Out>(total);
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

}  // namespace metallic::sdpa
