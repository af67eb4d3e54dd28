// What the benchmark programs share: operands that exist while they are timed, the timed run, the program's frame.
#pragma once

#include <benchmark/benchmark.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ops/problem.h"
#include "ops/tuning.h"
#include "ops/variant.h"
#include "dispatch/context.h"

namespace metallic::benchmarks {

/// Random operands of a problem, each aligned to 64 bytes.
class Operands {
 public:
  explicit Operands(const Problem& problem);  ///< throws bad_alloc
  Args args() const { return {.in = {buffers_[0].get(), buffers_[1].get(), buffers_[2].get()}, .out = buffers_[kOut].get()}; }
  const Problem& problem() const { return problem_; }

 private:
  Problem problem_;
  std::array<std::shared_ptr<std::byte>, 4> buffers_;
};

/// One benchmark of a kernel. `make` gives the kernel when the benchmark is first run.
using MakeKernel = std::function<Result<std::unique_ptr<const Kernel>>()>;

/// Registers <group>/<instance>/<dtype>/<label>: a kernel's run on warm operands, its result checked before it is timed.
void add(std::string_view group, std::string_view instance, const Problem& problem, Context& context, MakeKernel make);

/// The problems of several labels with ranges; labels are literals here, so a wrong one ends the program.
std::vector<Problem> problems(std::initializer_list<std::string_view> labels);

/// Why a benchmark's loop must stop: ends it as failed, and the program with status 1.
void fail_benchmark(benchmark::State& state, const std::string& message);

/// The program: makes a context from the environment, lets `register_all` add the benchmarks, and runs those that the
/// library's flags select. Status 2 where the environment or the command line is wrong, 1 where a benchmark failed.
int run_program(int argc, char** argv, const std::function<void(Context&)>& register_all);

}  // namespace metallic::benchmarks
