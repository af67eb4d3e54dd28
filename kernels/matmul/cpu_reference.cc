// matmul cpu_reference: the definition, summed in double precision; what the other variants are tested against.
#include "core/variant.h"
#include "kernels/matmul/contract.h"

namespace metallic::matmul {
namespace {

constexpr Tuning kTunings[] = {{}};

class CpuReference final : public Kernel {
 public:
  explicit CpuReference(const MatmulShape& shape) : shape_(shape) {}

  Code run(const Args& args, std::byte*, Executor&) const override {
    for (int64_t batch = 0; batch < shape_.batch; ++batch) {
      const Strided a = operand_a(shape_, args.in[0], batch), b = operand_b(shape_, args.in[1], batch);
      float* c = static_cast<float*>(args.out) + batch * shape_.batch_stride_c;
      for (int64_t i = 0; i < shape_.m; ++i)
        for (int64_t j = 0; j < shape_.n; ++j) {
          double sum = 0;
          for (int64_t k = 0; k < shape_.k; ++k)
            sum += static_cast<double>(a.data[i * a.row + k * a.column]) * b.data[k * b.row + j * b.column];
          float& result = c[i * shape_.ldc + j];
          const double kept = shape_.beta == 0 ? 0 : static_cast<double>(shape_.beta) * result;
          result = static_cast<float>(shape_.alpha * sum + kept);
        }
    }
    return Code::ok;
  }

 private:
  MatmulShape shape_;
};

}  // namespace

extern const Variant cpu_reference = {
    .family = "reference",
    .tunings = kTunings,
    .rejects = [](const Problem&, const Tuning&, const DeviceFacts&) -> std::optional<std::string> { return std::nullopt; },
    .prefer = [](const Problem&, const DeviceFacts&) { return kTunings[0]; },
    .prepare = [](const Problem& problem, const Tuning&, const DeviceFacts&, Planner&) -> Result<std::unique_ptr<const Kernel>> {
      return std::make_unique<CpuReference>(problem.matmul());
    },
    .reduction_id = [](const Problem&, const Tuning&, const DeviceFacts&) -> std::optional<std::string> { return "double"; },
};

}  // namespace metallic::matmul
