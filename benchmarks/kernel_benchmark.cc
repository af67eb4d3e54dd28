// SPDX-License-Identifier: Apache-2.0
// Runs and times kernels in the loop of Google Benchmark.
#include "benchmarks/kernel_benchmark.h"

#include <fmt/format.h>

#include <algorithm>
#include <new>
#include <optional>

#include "base/build.h"
#include "ops/label.h"
#include "tuner/bench/buffer.h"
#include "tuner/verify/oracle.h"

namespace metallic::benchmarks {
namespace {

constexpr size_t kChecked = 32;  // rows of a softmax, elements of a matmul

bool failed = false;

Buffer random_buffer(int64_t bytes, DType dtype, uint64_t seed) {
  Buffer buffer(static_cast<size_t>(bytes));
  fill_random(dtype, buffer.data(), buffer.bytes() / size_of(dtype), seed);
  return buffer;
}

struct WarmOperands {
  explicit WarmOperands(const Problem& p) : problem(p) {
    const auto bytes = operand_bytes(problem);
    for (size_t i = 0; i < buffers.size(); ++i)
      buffers[i] = random_buffer(bytes[i], i == kOut ? problem.out_dtype : problem.dtype, i + 1);
  }
  Args args() const { return {.in = {buffers[0].data(), buffers[1].data(), buffers[2].data()}, .out = buffers[kOut].data()}; }

  Problem problem;
  std::array<Buffer, 4> buffers;
};

// The operands of the current problem. Google Benchmark calls a benchmark several times to find its iterations, and benchmarks of
// a problem follow one another: filling operands each time would take longer than the timing.
WarmOperands& operands_of(const Problem& problem) {
  static std::optional<WarmOperands> current;
  if (!current || current->problem != problem) {
    current.reset();  // frees the old ones first
    current.emplace(problem);
  }
  return *current;
}

struct KernelBenchmark {
  Problem problem;
  MakeKernel make;
  Executor* executor;
  bool checked = false;

  void operator()(benchmark::State& state) {
    const auto kernel = make();
    if (!kernel) return fail_benchmark(state, kernel.error().message);
    const Args args = operands_of(problem).args();
    const Buffer workspace((*kernel)->workspace());
    const auto run = [&] { return (*kernel)->run(args, workspace.data(), *executor); };
    if (const Code code = run(); code != Code::ok) return fail_benchmark(state, fmt::format("the kernel failed: {}", name(code)));
    if (!checked)
      if (const auto wrong = first_difference(problem, args, nullptr, kChecked)) return fail_benchmark(state, *wrong);
    checked = true;
    for (auto _ : state) {
      benchmark::DoNotOptimize(run());
      benchmark::ClobberMemory();
    }
    const Work once = work(problem);
    const auto runs = static_cast<double>(state.iterations());
    state.SetItemsProcessed(static_cast<int64_t>(runs * once.operations));
    state.SetBytesProcessed(static_cast<int64_t>(runs * once.bytes));
    state.counters["threads_used"] = executor->threads();
  }
};

}  // namespace

void add(std::string_view group, std::string_view instance, const Problem& problem, Context& context, MakeKernel make) {
  const std::string full_name = fmt::format("{}/{}/{}/{}", group, instance, name(problem.dtype), label(problem));
  auto timed = std::make_shared<KernelBenchmark>(
      KernelBenchmark{.problem = problem, .make = std::move(make), .executor = &context.executor()});
  benchmark::RegisterBenchmark(full_name.c_str(), [timed](benchmark::State& state) {
    try {
      (*timed)(state);
    } catch (const std::bad_alloc&) {
      fail_benchmark(state, "out of memory");
    }
  })->UseRealTime();
}

std::vector<Problem> problems(std::initializer_list<std::string_view> labels) {
  std::vector<Problem> all;
  for (const std::string_view text : labels) {
    const auto some = parse_labels(text).value();
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

void fail_benchmark(benchmark::State& state, const std::string& message) {
  failed = true;
  state.SkipWithError(message.c_str());
}

int run_program(int argc, char** argv, const std::function<void(Context&)>& register_all) {
  const auto context = Context::create({});
  if (!context) {
    fmt::print(stderr, "{}: {}\n", argv[0], context.error().message);
    return 2;
  }
  register_all(**context);
  benchmark::AddCustomContext("metallic_device", fingerprint((*context)->device()));
  benchmark::AddCustomContext("metallic_target", (*context)->device().isa());
  benchmark::AddCustomContext("metallic_build", std::string(build_name()));
  benchmark::AddCustomContext("metallic_cache", "warm");
  // A minute or two for the whole program. First, so that the caller's own flag overrides it.
  std::string min_time = "--benchmark_min_time=0.3";
  std::vector<char*> arguments(argv, argv + argc);
  arguments.insert(arguments.begin() + std::min(argc, 1), min_time.data());
  int count = static_cast<int>(arguments.size());
  arguments.push_back(nullptr);
  benchmark::Initialize(&count, arguments.data());
  if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 2;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return failed ? 1 : 0;
}

}  // namespace metallic::benchmarks
