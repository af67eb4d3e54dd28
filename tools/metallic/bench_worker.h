// SPDX-License-Identifier: Apache-2.0
// The dispatcher as the kernel source of the bench worker.
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
