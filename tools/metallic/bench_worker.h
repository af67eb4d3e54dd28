// The dispatcher as the source of arms: what metallic arms serves.
#pragma once

#include "dispatch/context.h"
#include "tuner/bench/bench_worker.h"

namespace metallic::cli {

class ContextKernels : public KernelSource {
 public:
  explicit ContextKernels(Context& context) : context_(context) {}
  Result<std::pair<const Variant*, Tuning>> choose(const Problem& problem) override;
  Result<std::unique_ptr<const Kernel>> prepare(const Problem& problem, const Variant& variant, const Tuning& tuning) override;

 protected:
  Context& context_;
};

}  // namespace metallic::cli
