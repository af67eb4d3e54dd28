// The timed run of a kernel, and the program around it.
#include "benchmarks/operands.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <new>
#include <optional>

#include "base/build.h"
#include "ops/label.h"
#include "tuner/verify/oracle.h"

namespace metallic::benchmarks {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kChecked = 32;  // rows of a softmax, elements of a matmul

bool failed = false;

std::shared_ptr<std::byte> aligned(int64_t bytes, DType dtype, uint64_t seed) {
  const size_t size = (static_cast<size_t>(bytes) / kAlignment + 1) * kAlignment;
  std::shared_ptr<std::byte> buffer(static_cast<std::byte*>(std::aligned_alloc(kAlignment, size)), std::free);
  if (!buffer) throw std::bad_alloc();
  fill_random(dtype, buffer.get(), size / size_of(dtype), seed);
  return buffer;
}

// The operands of the problem that is being timed. The library calls a benchmark several times to find its iterations,
// and benchmarks of one problem follow one another: making them anew each time would take longer than the timing.
Operands& operands_of(const Problem& problem) {
  static std::optional<Operands> current;
  if (!current || current->problem() != problem) {
    current.reset();  // before the next ones are made: never two at once
    current.emplace(problem);
  }
  return *current;
}

struct Timed {
  Problem problem;
  MakeKernel make;
  Executor* executor;
  bool checked = false;

  void operator()(benchmark::State& state) {
    const auto kernel = make();
    if (!kernel) return fail_benchmark(state, kernel.error().message);
    const Args args = operands_of(problem).args();
    const auto workspace = aligned(static_cast<int64_t>((*kernel)->workspace()), DType::f32, 0);
    const auto run = [&] { return (*kernel)->run(args, workspace.get(), *executor); };
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

Operands::Operands(const Problem& problem) : problem_(problem) {
  const auto bytes = operand_bytes(problem);
  for (size_t i = 0; i < buffers_.size(); ++i)
    buffers_[i] = aligned(bytes[i], i == kOut ? problem.out_dtype : problem.dtype, i + 1);
}

void add(std::string_view group, std::string_view instance, const Problem& problem, Context& context, MakeKernel make) {
  const std::string full_name = fmt::format("{}/{}/{}/{}", group, instance, name(problem.dtype), label(problem));
  auto timed = std::make_shared<Timed>(Timed{.problem = problem, .make = std::move(make), .executor = &context.executor()});
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
  // Makes the whole program take a minute or two; in front, so that the caller's own flag comes after it and holds.
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
