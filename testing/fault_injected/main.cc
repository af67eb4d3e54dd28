// SPDX-License-Identifier: Apache-2.0
// Fault-injected build for tests of the gate: a bench worker that repeats a share of the rows, METALLIC_TEST_REPEATS (0.05: 5 %;
// 1: all), of the problem METALLIC_TEST_SLOWED.
#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <iostream>
#include <vector>

#include "ops/label.h"
#include "ops/softmax/shape.h"
#include "tools/metallic/bench_worker.h"
#include "tools/metallic/inputs.h"

namespace metallic::cli {
namespace {

// Runs a kernel, then the same work or a part of it again, which writes the same results.
class RepeatingKernel final : public Kernel {
 public:
  explicit RepeatingKernel(std::vector<std::unique_ptr<const Kernel>> runs) : runs_(std::move(runs)) {}
  size_t workspace() const override {
    size_t most = 0;
    for (const auto& kernel : runs_) most = std::max(most, kernel->workspace());
    return most;
  }
  Code run(const Args& args, std::byte* workspace, Executor& executor) const override {
    for (const auto& kernel : runs_)
      if (const Code code = kernel->run(args, workspace, executor); code != Code::ok) return code;
    return Code::ok;
  }

 private:
  std::vector<std::unique_ptr<const Kernel>> runs_;
};

class FaultInjectedKernels final : public ContextKernels {
 public:
  FaultInjectedKernels(Context& context, std::string slowed, double share)
      : ContextKernels(context), slowed_(std::move(slowed)), share_(share) {}

  Result<std::unique_ptr<const Kernel>> prepare(const Problem& problem, const Variant& variant, const Tuning& tuning) override {
    METALLIC_TRY(auto whole, ContextKernels::prepare(problem, variant, tuning));
    if (label(problem) != slowed_) return whole;
    std::vector<std::unique_ptr<const Kernel>> runs;
    runs.push_back(std::move(whole));
    double left = share_;
    for (; left >= 1; left -= 1) {
      METALLIC_TRY(runs.emplace_back(), ContextKernels::prepare(problem, variant, tuning));
    }
    if (problem.op() != kSoftmax || problem.as<SoftmaxShape>().batch != 1)
      return fail(Code::unsupported, "only a two-dimensional softmax can be slowed");
    const auto rows = std::llround(left * static_cast<double>(problem.as<SoftmaxShape>().rows()));
    Problem part = with_dtype(softmax_problem(rows, problem.as<SoftmaxShape>().seq_k), problem.dtype);
    part.threads = problem.threads;
    if (rows > 0) {
      METALLIC_TRY(runs.emplace_back(), ContextKernels::prepare(part, variant, tuning));
    }
    return std::make_unique<RepeatingKernel>(std::move(runs));
  }

 private:
  std::string slowed_;
  double share_;
};

int serve() {
  const char* slowed = std::getenv("METALLIC_TEST_SLOWED");
  const char* share = std::getenv("METALLIC_TEST_REPEATS");
  const auto ctx = context("");
  if (!ctx || !slowed || !share) {
    fmt::print(stderr, "set METALLIC_TEST_SLOWED and METALLIC_TEST_REPEATS\n");
    return 2;
  }
  FaultInjectedKernels kernels(**ctx, slowed, std::atof(share));
  run_bench_worker(std::cin, std::cout, (*ctx)->device(), (*ctx)->executor(), kernels);
  return 0;
}

}  // namespace
}  // namespace metallic::cli

int main() { return metallic::cli::serve(); }
