// SPDX-License-Identifier: Apache-2.0
// Kernel benchmarks: registers the timed run of a kernel with Google Benchmark; shared by the benchmark programs.
#pragma once

#include <benchmark/benchmark.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dispatch/context.h"
#include "ops/problem.h"
#include "ops/tuning.h"
#include "ops/variant.h"

namespace metallic::benchmarks {

/// Returns the kernel when a benchmark first runs.
using MakeKernel = std::function<Result<std::unique_ptr<const Kernel>>()>;

/// Registers <group>/<instance>/<dtype>/<label>: runs of a kernel on warm operands, after a check of its result.
void add(std::string_view group, std::string_view instance, const Problem& problem, Context& context, MakeKernel make);

/// The problems of labels, ranges allowed. A wrong label ends the program.
std::vector<Problem> problems(std::initializer_list<std::string_view> labels);

/// Ends a benchmark as failed; the program then exits with status 1.
void fail_benchmark(benchmark::State& state, const std::string& message);

/// The main function: creates a context from the environment, registers the benchmarks, and runs those that the flags of Google
/// Benchmark select. Returns 2 if the environment or the command line is wrong, 1 if a benchmark failed.
int run_program(int argc, char** argv, const std::function<void(Context&)>& register_all);

}  // namespace metallic::benchmarks
