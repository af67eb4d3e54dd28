// SPDX-License-Identifier: Apache-2.0
// The bench worker: parses requests, prepares kernels and times them.
#include "tuner/bench/bench_worker.h"

#include <algorithm>
#include <istream>
#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>
#include <vector>

#include "base/build.h"
#include "base/json.h"
#include "ops/label.h"
#include "ops/registry.h"
#include "tuner/bench/idle.h"
#include "tuner/bench/timer.h"

namespace metallic {
namespace {

constexpr size_t kLongestRequest = 1 << 20;
constexpr size_t kMostKernels = 1000;

struct OpenKernel {
  Problem problem;
  Cache cache;
  std::string name;
  std::unique_ptr<const Kernel> kernel;
  double seconds = 0;  // of one call, the least so far
};

class BenchWorker {
 public:
  BenchWorker(const DeviceInfo& device, Executor& executor, KernelSource& source)
      : device_(device), executor_(executor), source_(source) {}

  Result<Json> answer(const std::string& line) {
    METALLIC_TRY(const Json parsed, parse_json(line, "request", kLongestRequest));
    const JsonObject request(parsed, "request:");
    METALLIC_TRY(const std::string ask, request.text("ask"));
    if (ask == "hello")
      return Json{{"protocol", kBenchProtocol},
                  {"build", build_name()},
                  {"device", fingerprint(device_)},
                  {"threads", executor_.threads()}};
    if (ask == "choose") return choose(request);
    if (ask == "open") return open(request);
    if (ask == "time") return time(request);
    return fail(Code::invalid_argument, "request: ask is {}: use hello, choose, open or time", in_quotes(ask));
  }

 private:
  Result<Problem> problem_of(const JsonObject& request) const {
    METALLIC_TRY(const std::string text, request.text("label"));
    METALLIC_TRY(const std::string type, request.text("dtype"));
    METALLIC_TRY(Problem problem, parse_label(text));
    const auto dtype = parse_dtype(type);
    if (!dtype) return fail(Code::invalid_argument, "request: dtype {}: use {}", in_quotes(type), kDTypeNames);
    problem = with_dtype(std::move(problem), *dtype);
    problem.threads = executor_.threads();
    return problem;
  }

  // The variant and tuning that a request names, if they can run the problem here.
  Result<std::pair<const Variant*, Tuning>> named(const JsonObject& request, const Problem& problem) const {
    METALLIC_TRY(const std::string variant_name, request.text("variant"));
    METALLIC_TRY(const std::string tuning_text, request.text("tuning"));
    const Variant* variant = find_variant(problem.op(), variant_name);
    const auto tuning = variant ? find_tuning(*variant, tuning_text) : std::nullopt;
    if (!tuning) return fail(Code::not_found, "this build has no variant {}@{}", variant_name, tuning_text);
    if (variant->backend() != device_.backend) return fail(Code::unsupported, "{} runs on another device", variant_name);
    if (const auto reason = variant->rejects(problem, *tuning, device_))
      return fail(Code::unsupported, "{} rejects {}: {}", variant_name, label(problem), *reason);
    return std::pair(variant, *tuning);
  }

  Result<Json> choose(const JsonObject& request) const {
    METALLIC_TRY(const Problem problem, problem_of(request));
    auto choice = request.has("variant") ? named(request, problem) : source_.choose(problem);
    if (!choice && choice.error().code != Code::invalid_argument) choice = source_.choose(problem);
    if (!choice) return tl::unexpected<Error>(choice.error());
    return Json{{"variant", choice->first->name}, {"tuning", to_string(choice->second)}};
  }

  Result<Json> open(const JsonObject& request) {
    METALLIC_TRY(const int64_t seed, request.integer("seed", 0, INT64_MAX));
    std::optional<int> memory;
    if (request.has("memory")) {
      METALLIC_TRY(memory, request.integer("memory", kSharedMemoryFd, kSharedMemoryFd));
    }
    METALLIC_TRY(const Json* list, request.array("arms", kMostKernels));
    kernels_.clear();
    operands_.reset();
    for (const Json& item : *list) {
      const JsonObject object(item, "request: arms");
      METALLIC_TRY(const Problem problem, problem_of(object));
      METALLIC_TRY(const auto choice, named(object, problem));
      METALLIC_TRY(const std::string cache, object.text("cache"));
      if (cache != name(Cache::warm) && cache != name(Cache::cold))
        return fail(Code::invalid_argument, "request: cache {}: use warm or cold", in_quotes(cache));
      METALLIC_TRY(auto kernel, source_.prepare(problem, *choice.first, choice.second));
      kernels_.push_back({.problem = problem,
                          .cache = cache == name(Cache::warm) ? Cache::warm : Cache::cold,
                          .name = to_string(*choice.first, choice.second),
                          .kernel = std::move(kernel)});
    }
    std::vector<OperandUse> uses;
    for (const OpenKernel& opened : kernels_) uses.push_back({opened.problem, opened.cache, opened.kernel->workspace()});
    // Not measured: both builds must rotate through equally many bytes.
    METALLIC_TRY(operands_, Operands::create(uses, device_, 2 * device_.cpu().llc_bytes, static_cast<uint64_t>(seed), memory));
    for (OpenKernel& opened : kernels_) {
      METALLIC_TRY(opened.seconds, checked_call(opened.problem, opened.cache, *opened.kernel, opened.name, *operands_, executor_,
                                                static_cast<uint64_t>(seed)));
    }
    sleep();
    return Json{{"arms", kernels_.size()}};
  }

  Result<Json> time(const JsonObject& request) {
    METALLIC_TRY(const int64_t number, request.integer("arm", 0, static_cast<int64_t>(kernels_.size()) - 1));
    METALLIC_TRY(const int64_t place, request.integer("place", 0, INT64_MAX));
    METALLIC_TRY(const double seconds, request.number("seconds"));
    if (!(seconds > 0 && seconds <= 60))
      return fail(Code::invalid_argument, "request: seconds is {}: use above 0 to 60", seconds);
    OpenKernel& opened = kernels_[static_cast<size_t>(number)];
    operands_->seek(place);
    const auto [call_s, iterations] =
        Timer(*operands_, executor_, seconds).time(opened.problem, opened.cache, *opened.kernel, opened.seconds);
    opened.seconds = std::min(opened.seconds, std::max(call_s, 1e-9));
    sleep();
    return Json{{"time_ns", std::max(call_s * 1e9, 1e-3)}, {"iterations", iterations}, {"place", operands_->position()}};
  }

  // The client times the other worker next: no thread here may spin, nor may those of libraries.
  void sleep() {
    executor_.rest();
    wait_until_idle();
  }

  const DeviceInfo& device_;
  Executor& executor_;
  KernelSource& source_;
  std::vector<OpenKernel> kernels_;
  std::optional<Operands> operands_;
};

}  // namespace

void run_bench_worker(std::istream& in, std::ostream& out, const DeviceInfo& device, Executor& executor, KernelSource& source) {
  BenchWorker worker(device, executor, source);
  for (std::string line; std::getline(in, line);) {
    const Result<Json> answer = worker.answer(line);
    const Json json = answer ? *answer : Json{{"error", answer.error().message}};
    out << json.dump(-1, ' ', false, Json::error_handler_t::replace) << std::endl;
  }
}

}  // namespace metallic
